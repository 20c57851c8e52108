"""Whoever can write to a store, and has no key, can make nobody restore anything wrong.

A small encrypted repository with an object of every kind has each byte of each object flipped, one
at a time; objects cut off, swapped, renamed, replayed and forged. Each time a restore, done as the
command line does it, is refused before the first byte is handed to whoever would write it; or what
it hands out is right to the last byte, and `check` reports what was done.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import pytest

from backup.errors import RepositoryError
from backup.lookup import find_snapshot
from backup.members import selection
from backup.report import ignore
from backup.repository import (
    Group,
    Repository,
    SnapshotId,
    check,
    open_repository,
    prune_repository,
)
from backup.repository.catalog import annotate, forget, history
from backup.survey import Selection, survey
from tests.aged import Hours, kinds, opened_at
from tests.memory_store import MemoryStore
from tests.saved import cheap_key, content, password_of, plain, put_key, save, sealed
from tests.tars import END, header, padded
from transports.store import Store
from transports.store.protocol import Buffer

RECOVERY = ("recover.py", "recover.txt")  # run by people, who are told to look at them first
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Remembering(MemoryStore):
    """A store somebody else keeps: `ever` has all objects that were ever put."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: dict[str, bytes] = {}

    def put(self, name: str, data: Buffer) -> None:
        super().put(name, data)
        self.ever[name] = self.objects[name]


def tar(names: bytes) -> bytes:
    files = (header(b"%c" % name, size=40) + padded(b"%c" % name * 40) for name in names)
    return b"".join(files) + END


class Victim:
    """A repository with all kinds of objects; `saved` needs a condemned pack, and newer ones."""

    def __init__(self, make: Callable[[Store], Repository] = sealed) -> None:
        self.store = Remembering()
        self.hours = hours = Hours()
        self.repository = repository = make(self.store)
        self.password = password_of(repository)
        if self.password:
            put_key(self.store, cheap_key(repository, "second"))
        self._at(0, b"a")
        forget(self.again(), self.again().snapshot_ids())
        hours.hour = 25
        slow = self.again()
        slow.readings.current()
        hours.hour = 26
        prune_repository(self.again(), ignore)
        self.saved = save(slow, [tar(b"ab")], time=hours())
        annotate(self.again(), history(self.again())[0], hours(), tags=["t"], pinned=True)
        forget(self.again(), [self._at(27, b"c")])
        with self.again().writer() as writer:
            writer.add(b"left by a run that was killed", Group.DATA)
            writer.flush()
        assert kinds(self.store.objects).keys() >= {"annotations", "condemned", "forgotten"}
        assert self.restored() == tar(b"ab")

    def again(self) -> Repository:
        return opened_at(self.repository, self.hours)

    def _at(self, hour: float, names: bytes) -> SnapshotId:
        self.hours.hour = hour
        return save(self.again(), [tar(names)], time=self.hours())

    def objects(self, *wanted: str) -> dict[str, bytes]:
        """Return the objects of some kinds, or of all that voltar reads."""
        return {
            name: data
            for name, data in self.store.objects.items()
            if name not in RECOVERY and (not wanted or name.split("/")[0] in wanted)
        }

    def restored(self) -> bytes | None:
        """Return what a restore hands out; None where it is refused, and nothing was handed out."""
        written: list[bytes] = []
        try:
            repository = open_repository(self.store, self.password)
            _, snapshot = find_snapshot(repository, self.saved)
            written.extend(map(bytes, selection(survey(repository, snapshot, Selection()))))
        except RepositoryError:
            assert written == []
            return None
        return b"".join(written)

    def damages(self) -> bool:
        """Whether a check reports any; or refuses to begin."""
        try:
            repository = open_repository(self.store, self.password)
        except RepositoryError:
            return True
        return bool(check(repository, ignore).damages)

    def is_safe(self) -> bool:
        """Whether a restore is refused, or is right and a check tells what is wrong."""
        restored = self.restored()
        return restored is None or (restored == tar(b"ab") and self.damages())


@pytest.fixture(autouse=True)
def no_bundles(monkeypatch):
    """Let every file be a chunk of its own, however small."""
    monkeypatch.setattr("backup.recorder.BUNDLED_BELOW", 10)


@pytest.fixture
def victim():
    return Victim()


def flipped(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def unnoticed(victim: Victim, changes: dict[str, Iterator[bytes]]) -> list[tuple[str, int]]:
    """Make changes, one at a time; return those that are not safe."""
    found = []
    for name, versions in changes.items():
        data = victim.store.objects[name]
        for number, changed in enumerate(versions):
            victim.store.objects[name] = changed
            if not victim.is_safe():
                found.append((name, number))
        victim.store.objects[name] = data
    return found


KINDS = (
    "voltar.json",
    "keys",
    "packs",
    "index",
    "snapshots",
    "condemned",
    "forgotten",
    "annotations",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_byte_is_noticed_before_anything_is_written(victim, kind):
    changes = {name: flipped(data) for name, data in victim.objects(kind).items()}

    assert unnoticed(victim, changes) == []
    assert changes
    assert victim.restored() == tar(b"ab")
    assert not victim.damages()


@pytest.mark.parametrize("kind", ["condemned", "annotations"])
def test_so_are_those_of_a_repository_without_encryption_where_a_digest_names_them(kind):
    """Of packs, indexes and snapshots test_damage.py says so. A marker is named by its snapshot: of
    its salt nothing depends on, and who can write there can put one of his own."""
    victim = Victim(plain)
    changes = {name: flipped(data) for name, data in victim.objects(kind).items()}

    assert unnoticed(victim, changes) == []
    assert changes


def test_no_other_kind_of_object_is_in_a_repository(victim):
    assert kinds(victim.objects()).keys() == set(KINDS)


def test_every_cut_off_and_lengthened_object_is_noticed(victim):
    changes = {
        name: iter([data[:length] for length in range(0, len(data), 11)] + [data[:-1], data + b"0"])
        for name, data in victim.objects().items()
    }

    assert unnoticed(victim, changes) == []


def test_objects_that_changed_places_are_noticed(victim):
    """Those of other kinds too: a pack as an index, an annotation as a marker."""
    objects = victim.store.objects
    unsafe = []
    for one, two in combinations(victim.objects(), 2):
        objects[one], objects[two] = objects[two], objects[one]
        if not victim.is_safe():
            unsafe.append((one, two))
        objects[one], objects[two] = objects[two], objects[one]

    assert unsafe == []


def test_renamed_objects_are_noticed(victim):
    """To another id, and to every other kind."""
    unsafe = []
    for name in victim.objects():
        kind, _, object_id = name.partition("/")
        others = [f"{other}/{object_id or 'f' * 64}" for other in KINDS[1:] if other != kind]
        for renamed in [*others, f"{kind}/{'0' * 64}"]:
            before = dict(victim.store.objects)
            victim.store.objects[renamed] = victim.store.objects.pop(name)
            if not victim.is_safe():
                unsafe.append((name, renamed))
            victim.store.objects = before

    assert unsafe == []


def test_deleted_objects_that_a_restore_needs_are_noticed(victim):
    """Others may go unnoticed: without its marker a snapshot is back, without its list a pack is
    live again. Whoever may delete could as well delete the snapshot."""
    for name, data in victim.objects().items():
        del victim.store.objects[name]
        assert victim.restored() in (None, tar(b"ab"))
        victim.store.objects[name] = data


def test_objects_that_were_deleted_and_are_put_back_change_nothing_that_is_restored(victim):
    """An old snapshot may be back; then it is what it was, or refused."""
    once = {tar(b"a"), tar(b"ab"), tar(b"c")}
    gone = victim.store.ever.keys() - victim.store.objects.keys()
    assert {name.split("/")[0] for name in gone} == {"snapshots", "forgotten"}

    for name in gone:
        victim.store.objects[name] = victim.store.ever[name]
        assert victim.restored() == tar(b"ab")
        assert set(content(victim.again()).values()) <= once
        del victim.store.objects[name]


def test_prune_keeps_what_is_needed_whatever_is_put_back(victim):
    """All that was ever deleted is put back before each of several prunes."""
    for _ in range(4):
        victim.hours.hour += 25
        victim.store.objects |= victim.store.ever
        try:
            prune_repository(victim.again(), ignore)
        except RepositoryError:
            continue
        assert victim.restored() == tar(b"ab")

    assert victim.restored() == tar(b"ab")


@pytest.mark.parametrize("forger", [plain, partial(sealed, number=1)], ids=["plain", "sealed"])
@pytest.mark.parametrize("kind", KINDS[2:])
def test_objects_of_somebody_who_has_no_key_are_refused(victim, kind, forger):
    """They are made as the format says, under his own key, or without encryption."""
    forged = Victim(forger).objects(kind)
    if kind == "forgotten":  # its name says which of ours is meant
        forged = {f"forgotten/{victim.saved}": data for data in forged.values()}

    victim.store.objects |= forged

    assert forged
    assert victim.restored() == tar(b"ab")
    assert victim.damages()


def test_a_key_object_of_another_repository_opens_nothing(victim):
    theirs = Victim(partial(sealed, number=1))
    for name in victim.objects("keys"):
        del victim.store.objects[name]
    victim.store.objects |= theirs.objects("keys")

    assert victim.restored() is None


def test_without_a_key_nothing_can_be_read(victim):
    """No name, no tag, no bytes of files, and no frame that could be decompressed."""
    secrets = (b"volume:data", b"a" * 20, b"pinned", b"2026-11-2", ZSTD_MAGIC)

    found = [
        (name, secret)
        for name, data in victim.objects(*KINDS[2:]).items()
        for secret in secrets
        if secret in data
    ]

    assert found == []
    assert any(ZSTD_MAGIC in data for data in Victim(plain).objects("packs").values())
