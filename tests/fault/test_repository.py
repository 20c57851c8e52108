"""The store fails at every single call of making a repository and of saving a snapshot.

After each failure the earlier snapshots read back bit for bit, a check finds no damage, the same
again succeeds, and no temporary file stays for ever.
"""

import contextlib
import shutil
import sys
from itertools import count
from pathlib import Path

import pytest

from backup.errors import RepositoryExists
from backup.repository import create, open_repository
from backup.repository.names import KEYS
from tests.faults import (
    Fault,
    FaultyStore,
    assert_no_temporary_file_stays,
    dying,
    killed_at,
)
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, PASSWORD, checked, chunks_of, content, reopened, save
from tests.tars import END, header, noise, padded
from transports.errors import TransportError
from transports.store.file import FileStore

MODULE = "tests.fault.test_repository"
FAULTS = [Fault.ERROR, Fault.LOST_REPLY, Fault.TORN, Fault.FULL]
EARLIER = header(b"earlier", size=3000) + padded(noise(3000, b"earlier")) + END
BODIES = [noise(300_000, b"%d" % n) for n in range(6)]
TAR = b"".join(header(b"%d" % n, size=len(b)) + padded(b) for n, b in enumerate(BODIES)) + END


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_packs(monkeypatch)


def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs and indexes so small that one snapshot needs several."""
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 100_000)
    monkeypatch.setattr("backup.repository.index.PACKS_PER_OBJECT", 2)


def put(store: FileStore, objects: dict[str, bytes]) -> None:
    store.create()
    for name, data in objects.items():
        store.put(name, data)


@pytest.mark.parametrize(
    ("fault", "password"),
    [
        *((fault, None) for fault in FAULTS),
        (Fault.ERROR, PASSWORD),
        (Fault.LOST_REPLY, PASSWORD),
    ],
    ids=str,
)
def test_making_a_repository(tmp_path, fault, password):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        faulty = FaultyStore(FileStore(directory), fail_at, fault, directory)
        try:
            create(faulty, password)
        except TransportError:
            assert faulty.failed
        if not faulty.failed:
            break
        made_again(directory, password)
        assert_no_temporary_file_stays(directory)

    assert fail_at > 5


def made_again(directory: Path, password: str | None) -> None:
    """The same again makes the repository, or finds it made by the call whose reply was lost."""
    with contextlib.suppress(RepositoryExists):
        create(FileStore(directory), password)
    repository = open_repository(FileStore(directory), password)
    assert content(repository) == {}
    assert checked(repository).damages == []
    assert len(list(repository.store.list(KEYS))) == (0 if password is None else 1)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
def test_saving_a_snapshot(tmp_path, fault, kind):
    template = MemoryStore()
    repository = MAKERS[kind](template)
    save(repository, [EARLIER])
    earlier = content(reopened(repository))

    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        put(FileStore(directory), template.objects)
        faulty = FaultyStore(FileStore(directory), fail_at, fault, directory)
        try:
            save(reopened(repository, faulty), [TAR], number=1)
        except TransportError:
            assert faulty.failed
        if not faulty.failed:
            break
        assert_unharmed(reopened(repository, FileStore(directory)), earlier)
        assert_no_temporary_file_stays(directory)
        shutil.rmtree(directory)

    assert fail_at > 12


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.LOST_REPLY, Fault.FULL], ids=str)
def test_saving_a_snapshot_with_several_puts_on_their_way(fault):
    template = MemoryStore()
    repository = MAKERS["plain"](template)
    save(repository, [EARLIER])
    earlier = content(reopened(repository))

    for fail_at in count(1):
        store = MemoryStore(parallel=3)
        store.create()
        store.objects = dict(template.objects)
        faulty = FaultyStore(store, fail_at, fault, Path())
        try:
            save(reopened(repository, faulty), [TAR], number=1)
        except TransportError:
            assert faulty.failed
        if not faulty.failed:
            break
        assert_unharmed(reopened(repository, store), earlier)

    assert fail_at > 12


def assert_unharmed(repository, earlier):
    """Nothing is damaged, what was there reads as before, and the same again succeeds."""
    assert checked(repository).damages == []
    read = content(repository)
    assert earlier.items() <= read.items()
    assert set(read.values()) <= {EARLIER, TAR}

    saved = save(reopened(repository), [TAR], number=1)

    assert content(reopened(repository))[saved] == TAR
    assert checked(repository).damages == []


def test_what_was_stored_before_the_failure_is_not_stored_again(tmp_path):
    store = FileStore(tmp_path)
    repository = MAKERS["plain"](store)
    faulty = FaultyStore(store, 9, Fault.ERROR, tmp_path)
    with pytest.raises(TransportError):
        save(reopened(repository, faulty), [TAR])
    found = len(chunks_of(reopened(repository)))
    stored = sum(info.size for info in store.list("packs"))

    save(reopened(repository), [TAR])

    added = sum(info.size for info in store.list("packs")) - stored
    assert found > 1
    assert added < len(TAR) - 200_000


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.LOST_REPLY], ids=lambda fault: fault.value)
@pytest.mark.parametrize("kind", MAKERS)
def test_reading_gives_everything_or_an_error(kind, fault):
    store = MemoryStore()
    repository = MAKERS[kind](store)
    save(repository, [EARLIER])
    save(reopened(repository), [TAR], number=1)

    for fail_at in count(1):
        faulty = FaultyStore(store, fail_at, fault, Path())
        try:
            read = content(reopened(repository, faulty))
        except TransportError:
            read = None
        if not faulty.failed:
            break
        assert read is None

    assert read is not None
    assert set(read.values()) == {EARLIER, TAR}
    assert fail_at > 8


def test_the_process_is_killed_while_it_saves(tmp_path):
    """kill -9, at each change of the store in turn, half a put done."""
    template = MemoryStore()
    repository = MAKERS["plain"](template)
    save(repository, [EARLIER])
    earlier = content(reopened(repository))

    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        put(FileStore(directory), template.objects)
        if not killed_at(fail_at, directory, MODULE, "save"):
            break
        assert_unharmed(reopened(repository, FileStore(directory)), earlier)
        assert_no_temporary_file_stays(directory)

    assert fail_at > 9


def test_what_was_stored_before_a_kill_is_not_stored_again(tmp_path):
    store = FileStore(tmp_path)
    repository = MAKERS["plain"](store)
    assert killed_at(7, tmp_path, MODULE, "save")
    indexes = len(list(store.list("index")))
    found = len(chunks_of(reopened(repository)))
    stored = sum(info.size for info in store.list("packs"))

    save(reopened(repository), [TAR])

    assert indexes > 0
    assert found > 1
    added = sum(info.size for info in store.list("packs")) - stored
    assert added < len(TAR) - 200_000 * indexes


@pytest.mark.parametrize("kind", MAKERS)
def test_the_process_is_killed_while_it_makes_a_repository(tmp_path, kind):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        if not killed_at(fail_at, directory, MODULE, kind):
            break
        made_again(directory, PASSWORD if kind == "sealed" else None)
        assert_no_temporary_file_stays(directory)

    assert fail_at > 2


if __name__ == "__main__":
    small_packs(pytest.MonkeyPatch())
    doomed, (act,) = dying(sys.argv)
    if act == "save":
        save(open_repository(doomed, None), [TAR], number=1)
    else:
        create(doomed, PASSWORD if act == "sealed" else None)
