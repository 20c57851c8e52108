"""A disk is full: that of the store stops a backup or a prune and harms nothing; that of the cache
stops neither."""

import os
import subprocess

import pytest

from backup.report import ignore
from backup.repository import Repository, prune_repository
from tests.aged import (
    BODY_SIZE,
    NOTHING_UNUSED,
    PRUNED_AT,
    Hours,
    aged,
    contents,
    forget_at,
    leave_a_pack,
    opened_at,
    prune_at,
    save_at,
    tar,
    tiny_packs,
)
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, checked, reopened, save, tables_of
from transports.errors import OutOfSpace
from transports.store.file import FileStore

PAGE = 4096


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    tiny_packs(monkeypatch)


@pytest.fixture
def small(tmp_path):
    """A file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def leave(directory, size):
    """Fill a disk but for some bytes."""
    filler = directory / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            file.truncate(max(0, file.tell() - size))


def pruned(repository: Repository) -> None:
    prune_repository(repository, ignore, max_unused=NOTHING_UNUSED)


def backed_up(repository: Repository) -> None:
    save(repository, [tar("abcdefXYZ")], time=repository.clock(), run="full")


@pytest.mark.parametrize("act", [backed_up, pruned], ids=lambda act: act.__name__)
@pytest.mark.parametrize("room", [0, PAGE, 3 * PAGE, 12 * PAGE, 40 * PAGE])
def test_a_cache_on_a_full_disk_stops_nothing(small, room, act):
    hours = Hours()
    repository = aged("sealed", MemoryStore(), hours)
    before = contents(repository, hours)
    leave(small, room)
    cached = opened_at(repository, hours)
    cached.cache = small

    act(cached)

    assert before.items() <= contents(repository, hours).items()
    assert checked(repository).damages == []


@pytest.mark.parametrize("act", [backed_up, pruned], ids=lambda act: act.__name__)
def test_a_disk_that_fills_while_the_cache_is_used_stops_nothing(small, act):
    hours = Hours()
    repository = aged("sealed", MemoryStore(), hours)
    before = contents(repository, hours)
    cached = opened_at(repository, hours)
    cached.cache = small
    cached.readings.current()
    leave(small, 0)

    act(cached)

    assert before.items() <= contents(repository, hours).items()
    assert checked(repository).damages == []


@pytest.mark.parametrize("act", [backed_up, pruned], ids=lambda act: act.__name__)
def test_a_full_store_stops_it_and_harms_nothing(small, act):
    """There is room for some more pages each time, until there is enough."""
    template, hours = MemoryStore(), Hours()
    repository = aged("plain", template, hours)
    before = contents(repository, hours)
    failures = []
    for pages in range(0, 26, 2):
        directory = small / "store"
        subprocess.run(["rm", "-rf", directory, small / "filler"], check=True)
        for name, data in template.objects.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        leave(small, pages * PAGE)
        hours.hour, store = PRUNED_AT, FileStore(directory)
        full = opened_at(repository, hours, store)
        try:
            act(full)
        except OutOfSpace:
            failures.append(pages)
            assert contents(full, hours) == before
        assert before.items() <= contents(full, hours).items()
        assert checked(full).damages == []
        assert list((directory / "tmp").iterdir()) == []
        (small / "filler").unlink()
        act(opened_at(repository, hours, store))
        assert before.items() <= contents(full, hours).items()
        assert checked(full).damages == []

    assert 0 in failures
    assert pages not in failures


def filled(directory, hours):
    """Make a store that a backup has filled, in which only some packs are used, and some in part.

    What is not was forgotten long ago; of the backup there are packs that no index lists.
    """
    repository = MAKERS["plain"](FileStore(directory))
    lost = save_at(repository, hours, 0, "abcdefghi")
    save_at(repository, hours, 1, "adklm")
    forget_at(repository, hours, 2, lost)
    leave_a_pack(repository, hours, 30)
    return repository


def free(directory):
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("pages", [0, 1, 3, 10])
def test_prune_frees_a_full_store(small, pages):
    """Days later all is gone that nobody needs, though there was no room to copy what is used."""
    hours = Hours()
    repository = filled(small / "store", hours)
    before = contents(repository, hours)
    leave(small, pages * PAGE)
    room = free(small)

    for hour in range(60, 360, 30):
        prune_at(repository, hours, hour)
        assert contents(repository, hours) == before
        assert checked(repository).damages == []

    assert free(small) > room + 6 * BODY_SIZE
    used = [blob for table in tables_of(reopened(repository)) for blob in table.blobs]
    assert len(used) == len({blob.chunk for blob in used}) < 9


def test_prune_that_is_alone_needs_no_room_at_all(small):
    hours = Hours()
    repository = filled(small / "store", hours)
    before = contents(repository, hours)
    leave(small, 0)
    hours.hour = 60

    done = prune_repository(opened_at(repository, hours), ignore, exclusive=True)

    assert done.deleted.number >= 3
    assert free(small) >= done.deleted.size
    assert contents(repository, hours) == before
    found = checked(repository)
    assert (found.damages, found.unlisted, found.condemned) == ([], 0, 0)
