"""Either store fails at every single call of a copy, or somebody prunes at it.

After each failure a check of the target finds no damage, what is there is a copy of what is in the
source, the same again copies the rest, and nothing is there twice.
"""

import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from backup.copy import Failed, copy, planned
from backup.report import ignore
from backup.repository import Repository, open_repository
from backup.repository.catalog import annotate, forget, history
from tests.aged import PRUNED_AT, Hours, opened_at, prune_at, tar, tiny_packs
from tests.faults import Fault, FaultyStore, Meeting, dying, killed_at
from tests.memory_store import MemoryStore
from tests.saved import checked, content, memory, plain, save, sealed
from transports.errors import TransportError
from transports.store import Store
from transports.store.file import FileStore

HISTORY = ["abc", "abcdef", "defgh"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    tiny_packs(monkeypatch)


@pytest.fixture
def hours():
    return Hours()


@pytest.fixture
def source(hours):
    """A repository with some snapshots, one of them pinned."""
    repository = sealed(MemoryStore())
    for number, names in enumerate(HISTORY):
        save(repository, [tar(names)], number=number)
    annotate(repository, history(repository)[1], hours(), pinned=True)
    return repository


def copied(source: Repository, target: Repository) -> list[object]:
    every = [each for each in history(source) if each.forgotten is None]
    return list(copy(source, target, planned(every, every, history(target)), ignore))


def emptied(template: MemoryStore, parallel: int = 1) -> MemoryStore:
    store = MemoryStore(parallel)
    store.create()
    store.objects = dict(template.objects)
    return store


def assert_right_in_the_end(source: Repository, target: Repository, hours: Hours) -> None:
    """What is there is right; the same again copies what is missing, and no more."""
    wanted = list(content(opened_at(source, hours)).values())
    found = content(opened_at(target, hours)).values()
    assert checked(target).damages == []
    assert all(each in wanted for each in found)

    done = copied(opened_at(source, hours), opened_at(target, hours))

    assert len(done) == len(wanted) - len(found)
    assert list(content(opened_at(target, hours)).values()) == wanted
    assert [each.pinned for each in history(target)] == [False, True, False]
    assert checked(target).damages == []
    prune_at(opened_at(target, hours), hours, hours.hour + 25)
    prune_at(opened_at(target, hours), hours, hours.hour + 25)
    assert list(content(opened_at(target, hours)).values()) == wanted
    hours.hour = 0


@pytest.mark.parametrize(
    ("fault", "parallel"), [(Fault.ERROR, 1), (Fault.LOST_REPLY, 3), (Fault.FULL, 1)], ids=str
)
def test_wherever_the_target_fails_nothing_is_harmed(source, hours, fault, parallel):
    template = MemoryStore()
    made = plain(template)

    for fail_at in count(1):
        store = emptied(template, parallel)
        faulty = FaultyStore(store, fail_at, fault, Path())
        try:
            copied(opened_at(source, hours), opened_at(made, hours, faulty))
        except TransportError:
            assert faulty.failed
        if not faulty.failed:
            break
        assert_right_in_the_end(source, opened_at(made, hours, store), hours)

    assert fail_at > 15


@pytest.mark.parametrize(("fault", "parallel"), [(Fault.ERROR, 3), (Fault.LOST_REPLY, 1)], ids=str)
def test_wherever_the_source_fails_nothing_is_harmed(source, hours, fault, parallel):
    template = MemoryStore()
    made = plain(template)

    for fail_at in count(1):
        store = emptied(template)
        faulty = FaultyStore(emptied(memory(source), parallel), fail_at, fault, Path())
        target = opened_at(made, hours, store)
        try:
            copied(opened_at(source, hours, faulty), target)
        except TransportError:
            assert faulty.failed
        if not faulty.failed:
            break
        assert_right_in_the_end(source, target, hours)

    assert fail_at > 10


def test_wherever_the_process_is_killed_nothing_is_harmed(hours, tmp_path):
    origin = plain(FileStore(tmp_path / "source"))
    for number, names in enumerate(HISTORY):
        save(origin, [tar(names)], number=number)
    annotate(origin, history(origin)[1], hours(), pinned=True)

    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        target = plain(FileStore(directory))
        if not killed_at(fail_at, directory, "tests.fault.test_copy", str(tmp_path / "source")):
            break
        assert_right_in_the_end(origin, target, hours)

    assert fail_at > 10


def test_what_was_stored_before_a_failure_is_not_stored_again(source, hours):
    made = plain(MemoryStore())
    faulty = FaultyStore(made.store, 9, Fault.ERROR, Path(), ("put",))
    with pytest.raises(TransportError):
        copied(opened_at(source, hours), opened_at(made, hours, faulty))
    before = sum(info.size for info in made.store.list("packs"))

    copied(opened_at(source, hours), opened_at(made, hours))

    whole = plain(MemoryStore())
    copied(opened_at(source, hours), opened_at(whole, hours))
    stored = sum(info.size for info in whole.store.list("packs"))
    added = sum(info.size for info in made.store.list("packs")) - before
    assert before > 6000
    assert added < stored - 6000 + 3000


def forget_and_prune(repository: Repository, hours: Hours) -> None:
    """Forget the first snapshot, and prune so often that nothing is left of it; a day goes by."""
    hour = hours.hour
    (first, *_) = history(opened_at(repository, hours))
    forget(opened_at(repository, hours), [first.id])
    for day in range(1, 4):
        prune_at(opened_at(repository, hours), hours, hour + 25 * day)
    hours.hour = hour


def test_the_source_may_be_pruned_meanwhile(source, hours):
    """At each place in turn, a snapshot is forgotten, and its data are deleted."""
    template = MemoryStore()
    made = plain(template)
    kept = list(content(source).values())[1:]

    for meet_at in count(1):
        store, origin = emptied(template), emptied(memory(source))
        at_origin = opened_at(source, hours, origin)
        meeting = Meeting(origin, meet_at, partial(forget_and_prune, at_origin, hours))
        done = copied(opened_at(source, hours, meeting), opened_at(made, hours, store))
        if not meeting.met:
            break
        target = opened_at(made, hours, store)
        assert not any(isinstance(each, Failed) for each in done)
        assert list(content(target).values())[-2:] == kept
        assert checked(target).damages == []

    assert meet_at > 12


def prune(repository: Repository, hours: Hours) -> None:
    """Prune as a host does whose clock goes on: by now, what is unused is condemned."""
    prune_at(opened_at(repository, hours), hours, hours.hour)


def test_the_target_may_be_pruned_meanwhile(source, hours):
    """The target has, condemned or not, what the copy needs, from snapshots that are forgotten."""
    made = plain(MemoryStore())
    gone = [save(made, [tar(names)], number=number) for number, names in enumerate(HISTORY)]
    forget(opened_at(made, hours), gone)
    template = memory(made)
    wanted = list(content(source).values())

    for meet_at in count(1):
        hours.hour = PRUNED_AT
        store = emptied(template)
        target = opened_at(made, hours, store)
        meeting = Meeting(store, meet_at, partial(prune, opened_at(made, hours, store), hours))
        copied(opened_at(source, hours), opened_at(made, hours, meeting))
        if not meeting.met:
            break
        assert list(content(target).values()) == wanted
        for day in (1, 2, 3):
            prune_at(opened_at(made, hours, store), hours, PRUNED_AT + 25 * day)
        assert list(content(opened_at(made, hours, store)).values()) == wanted
        assert checked(target).damages == []

    assert meet_at > 15


def main(origin: Path, target: Store) -> None:
    """Copy as a process that is killed while it does."""
    copied(open_repository(FileStore(origin), None), open_repository(target, None))


if __name__ == "__main__":
    tiny_packs(pytest.MonkeyPatch())
    doomed, (place,) = dying(sys.argv)
    main(Path(place), doomed)
