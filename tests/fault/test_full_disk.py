"""A disk is full: that of the store stops a backup or a prune and harms nothing; that of the cache
stops neither."""

import subprocess
from itertools import count

import pytest

from backup.report import ignore
from backup.repository import Repository, prune_repository
from tests.aged import (
    NOTHING_UNUSED,
    PRUNED_AT,
    Hours,
    aged,
    contents,
    opened_at,
    tar,
    tiny_packs,
)
from tests.memory_store import MemoryStore
from tests.saved import checked, save
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
    """There is room for one more page each time, until there is enough."""
    template, hours = MemoryStore(), Hours()
    repository = aged("plain", template, hours)
    before = contents(repository, hours)
    failures = 0
    for pages in count():
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
            failures += 1
        else:
            break
        assert contents(full, hours) == before
        assert checked(full).damages == []
        assert list((directory / "tmp").iterdir()) == []
        (small / "filler").unlink()
        act(opened_at(repository, hours, store))
        assert before.items() <= contents(full, hours).items()
        assert checked(full).damages == []

    assert failures > 2
