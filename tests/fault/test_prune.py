"""The store fails at every single call of a prune that has everything to do that prune can do.

After each failure a check finds no damage, every snapshot reads back bit for bit, the same again
succeeds, and in the end nothing that is unused is left. The same for an exclusive prune, and for
indexes that are made anew.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from backup.report import ignore
from backup.repository import (
    Repository,
    SnapshotId,
    open_repository,
    prune_repository,
    repair_index,
)
from backup.repository.catalog import annotate, forget, history
from tests.aged import (
    NOTHING_UNUSED,
    PRUNED_AT,
    Hours,
    aged,
    contents,
    kinds,
    opened_at,
    prune_at,
    save_at,
    tar,
    tiny_packs,
)
from tests.faults import (
    Fault,
    FaultyStore,
    Meeting,
    assert_no_temporary_file_stays,
    dying,
    killed_at,
)
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, checked, reopened, save, tables_of
from transports.errors import Refused, TransportError
from transports.store import ObjectInfo, Store
from transports.store.file import FileStore

Act = Callable[[Repository], object]


def pruned(repository: Repository) -> None:
    prune_repository(repository, ignore, max_unused=NOTHING_UNUSED)


def pruned_alone(repository: Repository) -> None:
    prune_repository(repository, ignore, max_unused=NOTHING_UNUSED, exclusive=True)


def relisted(repository: Repository) -> None:
    assert repair_index(repository, ignore).lost == {}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    tiny_packs(monkeypatch)


@pytest.fixture
def hours():
    return Hours()


def copied(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy.create()
    copy.objects = dict(store.objects)
    return copy


@pytest.mark.parametrize("kind", MAKERS)
def test_the_prune_that_fails_below_has_everything_to_do(kind, hours):
    store = MemoryStore()
    repository = aged(kind, store, hours)
    before = contents(repository, hours)

    done = prune_at(repository, hours, PRUNED_AT)

    assert done.snapshots == done.adopted == 1
    assert min(done.copied.number, done.condemned.number, done.deleted.number, done.merged) > 1
    assert contents(repository, hours) == before
    assert checked(repository).damages == []
    assert_nothing_unused_stays(repository, hours)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("plain", Fault.ERROR), ("sealed", Fault.LOST_REPLY), ("plain", Fault.FULL)],
    ids=str,
)
@pytest.mark.parametrize("act", [pruned, pruned_alone, relisted], ids=lambda act: act.__name__)
def test_wherever_the_store_fails_nothing_is_harmed(kind, act, fault, hours):
    template = MemoryStore()
    repository = aged(kind, template, hours)
    before = contents(repository, hours)
    seen: list[object] = []

    for fail_at in count(1):
        hours.hour, store = PRUNED_AT, copied(template)
        faulty = FaultyStore(store, fail_at, fault, Path())
        failed_at(opened_at(repository, hours, faulty), act, faulty)
        if not faulty.failed:
            break
        if left(store, template) not in seen:  # else it is as some call before left it
            seen.append(left(store, template))
            assert_unharmed(opened_at(repository, hours, store), hours, before, act)

    assert fail_at > 20
    assert len(seen) > 6


def left(store: MemoryStore, before: MemoryStore) -> object:
    """Describe a store so that what the same calls have left looks the same."""
    gone = before.objects.keys() - store.objects.keys()
    return gone, kinds(store.objects.keys() - before.objects.keys())


def failed_at(repository: Repository, act: Act, faulty: FaultyStore) -> None:
    try:
        act(repository)
    except TransportError:
        assert faulty.failed


def assert_unharmed(
    repository: Repository, hours: Hours, before: dict[SnapshotId, bytes], again: Act
) -> None:
    """Nothing is damaged; the same again succeeds; nothing stays for ever."""
    hours.hour = PRUNED_AT
    assert checked(repository).damages == []
    assert contents(repository, hours) == before

    again(opened_at(repository, hours))

    assert contents(repository, hours) == before
    assert checked(repository).damages == []
    assert_nothing_unused_stays(repository, hours)
    assert contents(repository, hours) == before


def assert_nothing_unused_stays(repository: Repository, hours: Hours) -> None:
    """Some days and prunes later, all that is stored is used, and stored once."""
    for _ in range(8):
        done = prune_at(repository, hours, hours.hour + 25)
        if not (done.deleted.number or done.condemned.number):
            break

    found = checked(repository)
    blobs = [blob.chunk for table in tables_of(reopened(repository)) for blob in table.blobs]
    assert (done.unused, done.condemned.number, found.unlisted, found.condemned) == (0, 0, 0, 0)
    assert found.damages == []
    assert len(blobs) == len(set(blobs))
    assert kinds(names(repository.store)).keys() == {"packs", "index", "snapshots"}


def names(store: Store) -> list[str]:
    kinds = ("packs", "index", "snapshots", "condemned", "forgotten", "annotations")
    return [info.name for kind in kinds for info in store.list(kind)]


def backed_up(repository: Repository) -> None:
    """Save what lies in packs of all kinds: live, condemned, unlisted, and none at all."""
    save(repository, [tar("abcdefghistuvwxyz")], time=repository.clock(), run="now")


@pytest.mark.parametrize("other", [backed_up, pruned], ids=lambda act: f"while-{act.__name__}")
@pytest.mark.parametrize("act", [backed_up, pruned], ids=lambda act: act.__name__)
def test_two_hosts_may_meet_anywhere(act, other, hours):
    """One does all of its work between two calls of the other one's, at each place in turn."""
    template = MemoryStore()
    repository = aged("plain", template, hours)
    before = contents(repository, hours)

    for meet_at in count(1):
        hours.hour, store = PRUNED_AT, copied(template)
        meeting = Meeting(store, meet_at, partial(other, opened_at(repository, hours, store)))
        act(opened_at(repository, hours, meeting))
        if not meeting.met:
            break
        found = opened_at(repository, hours, store)
        after = contents(found, hours)
        assert checked(found).damages == []
        assert before.items() <= after.items()
        hours.hour += 25
        pruned(opened_at(repository, hours, store))
        assert contents(found, hours) == after
        assert checked(found).damages == []

    assert meet_at > 20


ACTS = {act.__name__: act for act in (pruned, relisted)}


@pytest.mark.parametrize("act", ACTS)
def test_wherever_the_process_is_killed_nothing_is_harmed(act, hours, tmp_path):
    template = MemoryStore()
    repository = aged("plain", template, hours)
    before = contents(repository, hours)

    for fail_at in count(1):
        hours.hour, directory = PRUNED_AT, tmp_path / str(fail_at)
        write(template, directory)
        if not killed_at(fail_at, directory, "tests.fault.test_prune", act):
            break
        store = in_memory(directory)
        assert_unharmed(opened_at(repository, hours, store), hours, before, ACTS[act])
        assert_no_temporary_file_stays(directory)

    assert fail_at > 10


@pytest.mark.parametrize("act", [pruned, relisted], ids=lambda act: act.__name__)
def test_wherever_a_write_is_torn_nothing_is_harmed(act, hours, tmp_path):
    template = MemoryStore()
    repository = aged("sealed", template, hours)
    before = contents(repository, hours)

    for fail_at in count(1):
        hours.hour, directory = PRUNED_AT, tmp_path / str(fail_at)
        write(template, directory)
        faulty = FaultyStore(FileStore(directory), fail_at, Fault.TORN, directory, ("put",))
        failed_at(opened_at(repository, hours, faulty), act, faulty)
        if not faulty.failed:
            break
        store = in_memory(directory)
        assert_unharmed(opened_at(repository, hours, store), hours, before, act)
        assert_no_temporary_file_stays(directory)

    assert fail_at > 4


def write(store: MemoryStore, directory: Path) -> None:
    """Make a directory what a FileStore with these objects is."""
    for name, data in store.objects.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def in_memory(directory: Path) -> MemoryStore:
    """Return what a new process finds in a FileStore's directory."""
    found, store = FileStore(directory), MemoryStore()
    store.create()
    store.objects = {name: found.get(name) for name in ["voltar.json", *names(found)]}
    return store


class NoDelete:
    """Another store, for somebody who may add, list and read, and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.url = store.url
        self.parallel = store.parallel
        self.write_once, self.close = store.write_once, store.close
        self.put, self.get, self.list = store.put, store.get, store.list

    def create(self) -> None:
        raise Refused("cannot make the store: permission denied")

    def stat(self, name: str) -> ObjectInfo:
        raise Refused(f"cannot look at {name}: permission denied")

    def delete(self, name: str) -> None:
        raise Refused(f"cannot delete {name}: permission denied")


@pytest.fixture(params=MAKERS)
def without_right(request, hours):
    """A repository with a history, at a store that lets nothing be deleted."""
    store = MemoryStore()
    repository = aged(request.param, store, hours)
    return opened_at(repository, hours, NoDelete(store))


def test_whoever_may_not_delete_backs_up_and_forgets(without_right, hours):
    """By each of: a new process, one with an old reading, one whose reading is too old."""
    slow, too_slow = (opened_at(without_right, hours) for _ in range(2))
    too_slow.readings.current()
    hours.hour += 20
    slow.readings.current()
    hours.hour += 10
    saved = save_at(without_right, hours, hours.hour, "axyz")
    saved_slowly = save(slow, [tar("aXYZ")], time=hours())
    saved_too_slowly = save(too_slow, [tar("aABC")], time=hours())

    forget(opened_at(without_right, hours), [saved_slowly])
    (newest,) = (each for each in history(without_right) if each.id == saved)
    annotate(without_right, newest, hours(), pinned=True)

    found = contents(without_right, hours)
    assert found[saved] == tar("axyz")
    assert found[saved_too_slowly] == tar("aABC")
    assert saved_slowly not in found
    assert checked(without_right).damages == []


def test_prune_says_so_where_it_may_not_delete(without_right, hours):
    before = contents(without_right, hours)

    with pytest.raises(Refused, match="permission denied"):
        pruned(without_right)

    assert contents(without_right, hours) == before
    assert checked(without_right).damages == []


def test_a_dry_run_of_prune_needs_no_right_to_delete_or_to_add(without_right, hours):
    store = without_right.store
    store.put = store.delete

    done = prune_repository(without_right, ignore, max_unused=NOTHING_UNUSED, dry_run=True)

    assert done.snapshots == done.adopted == 1
    assert min(done.copied.number, done.condemned.number, done.deleted.number) > 1


if __name__ == "__main__":
    tiny_packs(pytest.MonkeyPatch())
    doomed, (act_name,) = dying(sys.argv)
    found_there = open_repository(doomed, None)
    found_there.clock = Hours(PRUNED_AT)
    ACTS[act_name](found_there)
