"""What a check tells, and what it must not take for damage. Damage itself is in test_damage.py."""

import pytest

from backup.errors import IntegrityError
from backup.recorder import Recorder
from backup.report import Advanced, Event, Finished, Started, ignore
from backup.repository import Group, Snapshot, SnapshotId, repair_index
from backup.repository.check import check
from tests.memory_store import MemoryStore
from tests.saved import (
    NOW,
    cheap_key,
    checked,
    content,
    memory,
    plain,
    put_key,
    reopened,
    save,
    sealed,
    tables_of,
)
from tests.tars import END, header, padded
from transports.errors import ObjectNotFound

TAR = header(b"file", size=5) + padded(b"hello") + END
OTHER = header(b"other", size=3) + padded(b"new") + END


def test_an_empty_repository_is_right():
    found = checked(plain(MemoryStore()))

    assert (found.packs, found.snapshots, found.size, found.damages) == (0, 0, 0, [])


def test_progress_is_told():
    repository = plain(MemoryStore())
    save(repository, [TAR])
    events: list[Event] = []

    found = check(reopened(repository), events.append)

    assert events[0] == Started("check", "packs", found.size, 2, unit="packs")
    assert sum(event.size for event in events if isinstance(event, Advanced)) == found.size
    assert Started("check", "snapshots", 0, 1, unit="snapshots") in events
    assert events[-1] == Finished("check", "snapshots")


def test_packs_of_an_interrupted_backup_are_no_damage():
    repository = plain(MemoryStore())
    save(repository, [TAR])
    with repository.writer() as writer:
        writer.add(b"chunk that no index lists", Group.DATA)
        writer.finish()
    store = memory(repository)
    latest = [name for name in store.objects if name.startswith("index/")][-1]
    store.delete(latest)

    found = checked(repository)

    assert (found.unlisted, found.damages, found.packs) == (1, [], 3)


def test_a_snapshot_that_is_committed_during_the_check_is_no_damage():
    """A check of a large repository takes hours; backups go on meanwhile."""
    repository = plain(MemoryStore())
    save(repository, [TAR])
    added: list[SnapshotId] = []

    def backup_meanwhile(event):
        if isinstance(event, Advanced) and not added:
            other = header(b"other", size=3) + padded(b"new") + END
            added.append(save(reopened(repository), [other], number=1))

    found = check(reopened(repository), backup_meanwhile)

    assert added
    assert found.damages == []


def test_an_index_that_is_replaced_during_the_check_is_no_damage(monkeypatch):
    store = MemoryStore()
    repository = plain(store)
    save(repository, [TAR])
    get = store.get

    def vanishing(name, offset=0, length=None):
        if name == "index/0000":
            raise ObjectNotFound("gone")
        return get(name, offset, length)

    store.put("index/0000", b"x")
    monkeypatch.setattr(store, "get", vanishing)

    assert check(reopened(repository), ignore).damages == []


def test_a_key_that_is_removed_during_the_check_is_no_damage(monkeypatch):
    store = MemoryStore()
    repository = sealed(store)
    key = put_key(store, cheap_key(repository, "second"))
    names = list(store.list("keys"))
    monkeypatch.setattr(store, "list", lambda kind: iter(names if kind == "keys" else []))
    store.delete(key)

    assert check(repository, ignore).damages == []


def test_a_snapshot_that_is_forgotten_during_the_check_is_no_damage():
    store = MemoryStore()
    repository = plain(store)
    saved = save(repository, [TAR])

    def forget(event):
        if event == Started("check", "snapshots", 0, 1):
            store.delete(f"snapshots/{saved}")

    found = check(reopened(repository), forget)

    assert found.damages == []


def test_notes_are_passed_over():
    repository = plain(MemoryStore())
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        recorder.note(b"sock\xff", "a socket")
        manifest = recorder.finish()
        writer.finish()
    repository.commit(Snapshot(time=NOW, host="h", source="volume:v", run="r", manifest=manifest))

    assert checked(repository).damages == []


def with_two_indexes(repository):
    """Save two snapshots, a day apart; return the index objects that each has put."""
    store, indexes = memory(repository), []
    for number, tar in enumerate((TAR, OTHER)):
        before = set(store.objects)
        save(reopened(repository), [tar], number=24 * number)
        indexes += [name for name in set(store.objects) - before if name.startswith("index/")]
    return indexes


def spoilt(store, name):
    store.objects[name] += b"x"


def lost(store, name):
    del store.objects[name]


@pytest.mark.parametrize("harm", [spoilt, lost], ids=lambda harm: harm.__name__)
def test_of_a_damaged_index_nothing_else_is_said_than_how_to_mend_it(harm):
    """What it listed is all there, and looks as if it were lost."""
    repository = plain(MemoryStore())
    index, _ = with_two_indexes(repository)
    before = content(reopened(repository))
    harm(memory(repository), index)

    found = checked(repository)

    assert {damage.object.partition("/")[0] for damage in found.damages} == {"index"}
    assert found.damages[-1].text == "2 packs that snapshots need are in no index"
    assert len(found.damages) == 1 + (harm is spoilt)
    assert found.unlisted == 0
    assert "voltar repair index" in (found.hint or "")
    with pytest.raises(IntegrityError, match="index") as raised:
        content(reopened(repository))
    assert "voltar repair index" in (raised.value.hint or "")

    repair_index(reopened(repository), ignore)

    assert (checked(repository).damages, checked(repository).hint) == ([], None)
    assert content(reopened(repository)) == before


def test_for_a_pack_that_is_cut_off_no_index_is_blamed():
    repository = plain(MemoryStore())
    save(repository, [TAR])
    objects = memory(repository).objects
    for name in [name for name in objects if name.startswith("packs/")]:
        objects[name] = objects[name][:-1]

    assert checked(repository).hint is None
    with pytest.raises(IntegrityError, match="in no pack of the repository") as raised:
        content(reopened(repository))
    assert "voltar check" in (raised.value.hint or "")


def test_beside_a_lost_index_real_damage_is_told():
    """Of the packs that it listed, and with what killed backups have left told apart."""
    repository = plain(MemoryStore())
    index, _ = with_two_indexes(repository)
    store = memory(repository)
    with repository.writer() as writer:
        writer.add(b"chunk that no index lists", Group.DATA)
        writer.flush()
    listed = {table.pack for table in tables_of(reopened(repository))}
    lost(store, index)
    orphans = listed - {table.pack for table in tables_of(reopened(repository))}
    data = min(orphans, key=lambda pack: b"hello" not in store.objects[f"packs/{pack}"])
    store.objects[f"packs/{data}"] = store.objects[f"packs/{data}"].replace(b"hello", b"hallo")

    found = checked(repository)

    assert found.damages[0].object == "index"
    assert f"packs/{data}" in {damage.object for damage in found.damages}
    assert [damage.text for damage in found.damages if damage.snapshot] == [
        "volume:data: file cannot be read whole"
    ]
    assert found.unlisted == 1
