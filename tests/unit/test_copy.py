"""Snapshots come out of another repository as they were put into the first one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.bodies import Bodies
from backup.copy import Copied, Doubled, Failed, Gone, copy, demand_two, planned
from backup.errors import UsageError
from backup.listing import Listed
from backup.members import archive
from backup.recorder import BUNDLED_BELOW, Recorder
from backup.report import ignore
from backup.repository import (
    Extent,
    Group,
    Member,
    MountFacts,
    Note,
    Repository,
    Snapshot,
    Statistics,
    VolumeFacts,
)
from backup.repository.catalog import annotate, forget, history
from backup.repository.manifest import encode_line
from backup.scope import Scope
from backup.tar.split import split
from tests.memory_store import MemoryStore
from tests.saved import (
    NOW,
    checked,
    content,
    memory,
    plain,
    reopened,
    save,
    sealed,
)
from tests.strategies import tars
from tests.tars import END, header, noise, padded

EVERYTHING = Scope()
LARGE = BUNDLED_BELOW + 700_000


def file(name: bytes, body: bytes) -> bytes:
    return header(name, size=len(body)) + padded(body)


def tree(*names: str, size: int = 3000) -> bytes:
    """An archive of files; a name stands for what is in it."""
    return b"".join(file(name.encode(), noise(size, name.encode())) for name in names) + END


@pytest.fixture
def source():
    return sealed(MemoryStore())


@pytest.fixture
def target():
    return plain(MemoryStore())


def copied(source: Repository, target: Repository, scope: Scope = EVERYTHING) -> list[object]:
    """Copy all that a scope has, as processes of their own would."""
    source, target = reopened(source), reopened(target)
    every = history(source)
    wanted = [each for each in every if each.forgotten is None and scope.matches(each)]
    return list(copy(source, target, planned(wanted, every, history(target)), ignore))


def streams(repository: Repository) -> list[bytes]:
    """The tar streams of all snapshots, the oldest first."""
    return list(content(reopened(repository)).values())


def packs_read(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of packs are read from now on."""
    sizes: list[int] = []
    get = store.get

    def counting(name, offset=0, length=None):
        data = get(name, offset, length)
        if name.startswith("packs/"):
            sizes.append(len(data))
        return data

    monkeypatch.setattr(store, "get", counting)
    return sizes


def bare(repository: Repository, snapshot: Snapshot) -> list[object]:
    """A manifest's records without what differs between repositories."""
    return [
        msgspec.structs.replace(line, extents=[]) if isinstance(line, Member) else line
        for line in reopened(repository).manifest(snapshot)
    ]


def test_a_copy_reads_as_the_original_and_in_another_repository(source, target):
    save(source, [tree("a", "b") + bytes(512)])
    save(source, [tree("b", "c", size=LARGE)], number=1)

    done = copied(source, target)

    assert [type(each) for each in done] == [Copied, Copied]
    assert streams(target) == streams(source)
    assert checked(target).damages == []


@given(st.lists(tars(), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_any_archives_are_copied_byte_for_byte(archives):
    source, target = plain(MemoryStore()), sealed(MemoryStore())
    for number, each in enumerate(archives):
        save(source, [each], number=number)

    copied(source, target)

    assert streams(target) == archives
    for (_, one), (_, other) in zip(source.snapshots(), target.snapshots(), strict=True):
        assert bare(source, one) == bare(target, other)


def captured(repository: Repository, **facts: object) -> Snapshot:
    """Save what a capture would: with what was listed, with notes, and all that is said of it."""
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for number, entry in enumerate(split([tree("d", "e")])):
            listed = Listed(entry.path, "f", 0o644, 1, 2, 3, 4, 50 + number, 60 + number, 1, 9, b"")
            recorder.add(entry, None if entry.kind == "z" else listed)
        recorder.note(b"d\xff", "changed while it was read")
        manifest = recorder.finish()
        writer.finish()
    snapshot = Snapshot(
        time=NOW,
        host="there",
        source="volume:data",
        run="abcd",
        volume=VolumeFacts(name="data", driver="x", options={"o": "p"}, labels={"l": "m"}),
        mount=MountFacts(container="db", destination="/data", read_only=True),
        definition={"format": 1, "Image": "db"},
        tags=["nightly"],
        program="voltar 0",
        lost=["attributes"],
        notes=1,
        excludes=["*.tmp"],
        statistics=Statistics(entries=2, files=2, size=6, read=5, excluded=1, seconds=2.5),
        manifest=manifest,
    )
    repository.commit(snapshot)
    return snapshot


def test_a_copy_says_what_the_original_says(source, target):
    given_facts = captured(source)

    (done,) = copied(source, target)

    assert isinstance(done, Copied)
    ((_, found),) = target.snapshots()
    same = {"manifest", "original", "statistics"}
    for field in Snapshot.__struct_fields__:
        if field not in same:
            assert getattr(found, field) == getattr(given_facts, field), field
    assert found.original == done.original.id
    assert found.statistics == msgspec.structs.replace(
        given_facts.statistics, added=found.statistics.added, stored=found.statistics.stored
    )


def test_what_was_listed_and_noted_is_in_the_copy(source, target):
    captured(source)

    copied(source, target)

    ((_, original),), ((_, found),) = source.snapshots(), target.snapshots()
    lines = bare(target, found)
    assert lines == bare(source, original)
    assert [(line.inode, line.ctime_ns) for line in lines if isinstance(line, Member)] == [
        (60, 50), (61, 51), (0, 0),
    ]  # fmt: skip
    assert [line for line in lines if isinstance(line, Note)]


def test_tags_and_pins_that_were_given_later_go_with_it(source, target):
    save(source, [tree("a")])
    (recorded,) = history(source)
    annotate(source, recorded, NOW, tags=["gold"], pinned=True)

    copied(source, target)

    (found,) = history(reopened(target))
    assert (found.snapshot.tags, found.pinned) == (["gold"], True)


def test_a_parent_is_the_copy_of_the_parent(source, target):
    first = save(source, [tree("a")])
    save(source, [tree("a", "b")], number=1, parent=first)
    save(source, [tree("c")], number=2, parent="f" * 64)

    copied(source, target)

    one, two, three = history(reopened(target))
    assert one.snapshot.parent is None
    assert two.snapshot.parent == one.id
    assert three.snapshot.parent is None


def test_the_parent_may_have_been_copied_by_an_earlier_run(source, target):
    first = save(source, [tree("a")])
    copied(source, target)
    save(source, [tree("a", "b")], number=1, parent=first)

    copied(source, target)

    one, two = history(reopened(target))
    assert two.snapshot.parent == one.id


def test_what_was_copied_is_passed_over(source, target):
    save(source, [tree("a")])
    copied(source, target)
    before = dict(memory(target).objects)

    assert copied(source, target) == []
    assert memory(target).objects == before


def test_what_another_run_copies_meanwhile_is_not_there_twice(source, target):
    for number, name in enumerate("abc"):
        save(source, [tree(name)], number=number)
    every = history(source)
    running = copy(reopened(source), target, planned(every, every, history(target)), ignore)
    copied(source, target)

    assert [type(each) for each in running] == [Doubled] * 3
    assert streams(target) == streams(source)


def test_a_copy_that_comes_back_is_the_original(source, target):
    save(source, [tree("a")])
    copied(source, target)
    third = plain(MemoryStore())
    copied(target, third)

    assert copied(third, source) == []
    assert copied(third, target) == []
    assert [each.snapshot.original for each in history(third)] == [history(source)[0].id]


def test_forgotten_snapshots_are_not_copied(source, target):
    forget(source, [save(source, [tree("a")])])
    save(source, [tree("b")], number=1)

    copied(source, target)

    assert streams(target) == [tree("b")]


def test_a_copy_that_was_forgotten_is_made_again(source, target):
    save(source, [tree("a")])
    copied(source, target)
    forget(target, [each.id for each in history(target)])

    assert len(copied(source, target)) == 1


def test_only_what_is_chosen_is_copied(source, target):
    save(source, [tree("a")], source="volume:a")
    save(source, [tree("b")], source="volume:b", number=1)

    copied(source, target, Scope(sources=["volume:b"]))

    assert streams(target) == [tree("b")]


def test_a_body_is_read_once_for_all_snapshots_that_have_it(source, target, monkeypatch):
    save(source, [tree("large", size=LARGE)])
    save(source, [tree("large", "more", size=LARGE)], number=1)
    read = packs_read(memory(source), monkeypatch)

    copied(source, target)

    assert sum(read) < 2.2 * LARGE
    assert streams(target) == streams(source)


def test_a_body_that_an_earlier_run_has_copied_is_not_read_again(source, target, monkeypatch):
    save(source, [tree("large", size=LARGE)])
    copied(source, target)
    save(source, [tree("large", "small")], number=1)
    save(source, [tree("large", "more", size=LARGE)], number=2)
    read = packs_read(memory(source), monkeypatch)

    copied(source, target)

    assert sum(read) < 1.3 * LARGE
    assert streams(target) == streams(source)


def test_bodies_that_the_target_has_no_more_are_read_again(source, target):
    """The manifest that says where bodies are is there, and the pack with the bodies is not."""
    save(source, [tree("large", size=LARGE)])
    copied(source, target)
    (pack,) = (info.name for info in target.store.list("packs") if info.size > 100_000)
    target.store.delete(pack)
    save(source, [tree("large", size=LARGE)], number=1)

    (done,) = copied(source, target)

    assert isinstance(done, Copied)
    last = history(reopened(target))[-1].snapshot
    assert b"".join(archive(reopened(target), last)) == tree("large", size=LARGE)


@pytest.mark.parametrize("size", [3000, LARGE])
def test_what_the_target_has_backed_up_itself_is_not_stored_again(source, target, size):
    names = [f"{number:03}" for number in range(4_000_000 // size)]
    save(source, [tree(*names, size=size)])
    save(target, [tree(*names, size=size)])

    (done,) = copied(source, target)

    assert isinstance(done, Copied)
    assert done.added < 20_000  # the manifest says where from


def test_one_that_is_damaged_keeps_no_other_from_being_copied(source, target):
    save(source, [tree("lost", size=LARGE)])
    (lost,) = (info.name for info in source.store.list("packs") if info.size > 100_000)
    save(source, [tree("good")], number=1)
    data = bytearray(memory(source).objects[lost])
    data[1000] ^= 1
    memory(source).objects[lost] = bytes(data)

    bad, good = copied(source, target)

    assert isinstance(bad, Failed)
    assert "damaged" in str(bad.error)
    assert isinstance(good, Copied)
    assert streams(target) == [tree("good")]
    assert checked(target).damages == []


@pytest.mark.parametrize("change", [-1, 1, -3000])
def test_a_manifest_whose_extents_do_not_fit_is_refused(source, target, change):
    saved = save(source, [tree("a", "b")])
    snapshot = source.snapshot(saved)
    lines = list(source.manifest(snapshot))
    assert isinstance(lines[0], Member)
    (extent,) = lines[0].extents
    lines[0] = msgspec.structs.replace(
        lines[0], extents=[Extent(extent.chunk, extent.offset, extent.length + change)]
    )
    forged(source, snapshot, lines)
    forget(source, [saved])

    (done,) = copied(source, target)

    assert isinstance(done, Failed)
    assert history(target) == []


def forged(repository: Repository, snapshot: Snapshot, lines: list[object]) -> None:
    text = b"".join(encode_line(line) for line in lines)  # type: ignore[arg-type]
    with repository.writer() as writer:
        chunk = writer.add(text, Group.MANIFEST)
        writer.finish()
    manifest = [Extent(chunk.id.hex(), 0, len(text))]
    repository.commit(msgspec.structs.replace(snapshot, manifest=manifest))


def test_one_that_is_deleted_before_its_turn_is_no_damage(source, target):
    saved = save(source, [tree("a")])
    plan = planned(history(source), history(source), [])
    for kind in ("packs", "snapshots"):
        for info in list(source.store.list(kind)):
            source.store.delete(info.name)

    (done,) = copy(reopened(source), target, plan, ignore)

    assert isinstance(done, Gone)
    assert done.original.id == saved


def test_a_repository_is_not_copied_into_itself(source):
    with pytest.raises(UsageError, match="same repository"):
        demand_two(source, reopened(source))


def test_bodies_are_found_by_all_of_their_extents():
    bodies = Bodies()
    one, two = Extent("ab" * 32, 0, 5), Extent("cd" * 32, 7, 1 << 40)

    bodies.add([one, two], [two])
    bodies.add([one], [two, one])

    assert bodies.find([one, two]) == [two]
    assert bodies.find([one]) == [two, one]
    assert bodies.find([two]) is None
    bodies.close()
