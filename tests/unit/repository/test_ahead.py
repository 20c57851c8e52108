"""Several calls on their way: how many, in which order, and what becomes of errors."""

import hashlib
import threading
from collections.abc import Iterable

import pytest

from backup.report import ignore
from backup.repository import Group, prune_repository, repair_index
from backup.repository.ahead import for_each, mapped, opening, small
from backup.repository.catalog import annotate, forget, history
from backup.repository.manifest import Extent
from tests.memory_store import MemoryStore
from tests.saved import checked, content, plain, reopened, save
from tests.tars import END, header, padded
from transports.errors import ConnectionLost

WAIT_S = 20


class Crowd:
    """Counts who is inside at the same time, and holds each until `expected` were."""

    def __init__(self, expected: int) -> None:
        self.most = 0
        self._expected = expected
        self._inside = 0
        self._met = threading.Event()
        self._lock = threading.Lock()

    def join(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            if self.most >= self._expected:
                self._met.set()
        self._met.wait(WAIT_S)
        with self._lock:
            self._inside -= 1


class Distant(MemoryStore):
    """A store of which 3 calls at once pay; calls of a kind wait until some meet there."""

    def __init__(self) -> None:
        super().__init__(parallel=3)
        self.crowds: dict[str, Crowd] = {}

    def put(self, name, data):
        self._join("put", name)
        super().put(name, data)

    def get(self, name, offset=0, length=None):
        self._join("get", name)
        return super().get(name, offset, length)

    def delete(self, name):
        self._join("delete", name)
        super().delete(name)

    def _join(self, verb: str, name: str) -> None:
        crowd = self.crowds.get(f"{verb} {name.split('/', maxsplit=1)[0]}")
        if crowd is not None:
            crowd.join()

    def expect(self, call: str, number: int) -> Crowd:
        self.crowds[call] = Crowd(number)
        return self.crowds[call]


def noise(number: int, size: int = 2000) -> bytes:
    return hashlib.shake_128(b"%d" % number).digest(size)


def archive(number: int) -> bytes:
    body = noise(number, 3000)
    return header(b"file", size=len(body)) + padded(body) + END


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 3000)


@pytest.fixture
def store():
    return Distant()


@pytest.fixture
def repository(store):
    return plain(store)


def counted(items: Iterable[int], taken: list[int]) -> Iterable[int]:
    for item in items:
        taken.append(item)
        yield item


@pytest.mark.parametrize("at_once", [1, 2, 7, 100])
def test_results_come_in_order(at_once):
    assert list(mapped(lambda n: n * n, range(50), at_once)) == [n * n for n in range(50)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_items_are_taken_as_they_are_needed(at_once):
    taken: list[int] = []

    results = mapped(str, counted(range(50), taken), at_once)
    for _ in range(10):
        next(results)

    assert len(taken) <= 10 + at_once
    results.close()


@pytest.mark.parametrize(("items", "beside"), [(1, False), (2, True)])
def test_only_where_something_goes_on_beside_it_a_thread_is_started(items, beside):
    (first, *_) = mapped(lambda _: threading.get_ident(), range(items), 3)

    assert (first != threading.get_ident()) == beside


def test_who_gives_up_does_not_wait():
    """Python may do it amid the start of a thread, for which the wait would have to wait."""
    go_on = threading.Event()
    results = mapped(lambda number: number == 0 or go_on.wait(20), range(3), 3)
    next(results)

    given_up = threading.Thread(target=results.close)
    given_up.start()
    given_up.join(10)

    assert not given_up.is_alive()
    go_on.set()


def test_large_items_are_fewer_at_once():
    taken: list[int] = []

    results = mapped(str, counted(range(20), taken), 10, size=lambda _: 40, most=100)
    next(results)

    assert taken == [0, 1, 2]
    results.close()


def test_an_item_that_is_larger_than_all_that_is_allowed_goes_alone():
    sizes = [10, 500, 10, 10]

    results = mapped(lambda n: n, range(4), 3, size=sizes.__getitem__, most=100)

    assert list(results) == [0, 1, 2, 3]


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_one_raises_comes_in_its_place(at_once):
    def work(n: int) -> int:
        if n == 5:
            raise ConnectionLost("cut")
        return n

    results = mapped(work, range(50), at_once)

    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ConnectionLost):
        next(results)


def test_after_an_error_what_was_begun_is_over_and_no_other_is_begun():
    done: list[int] = []
    failed = threading.Event()
    before = set(threading.enumerate())  # what another test gave up may be about to end

    def work(n: int) -> None:
        if n == 0:
            failed.set()
            raise ConnectionLost("cut")
        failed.wait(WAIT_S)
        done.append(n)

    with pytest.raises(ConnectionLost):
        for_each(work, range(1000), 4)

    assert len(done) < 10
    left = set(threading.enumerate()) - before
    assert not [each for each in left if each.name.startswith("voltar-ahead")]


def test_of_a_store_that_answers_at_once_nothing_is_asked_beside():
    assert small(MemoryStore()) == 1
    assert small(MemoryStore(parallel=2)) > 2


@pytest.mark.parametrize(("size", "at_once"), [(2000, 1), (20 << 20, 5)])
def test_what_is_opened_in_no_time_is_opened_one_after_the_other(size, at_once):
    assert opening(MemoryStore(), size, 5) == at_once
    assert opening(MemoryStore(parallel=2), size, 5) == small(MemoryStore(parallel=2))


@pytest.mark.usefixtures("tiny")
def test_several_packs_are_on_their_way(repository, store):
    crowd = store.expect("put packs", 3)

    with repository.writer() as writer:
        for number in range(40):
            writer.add(noise(number), Group.DATA)
        writer.finish()

    assert crowd.most == 3
    assert checked(repository).damages == []


@pytest.mark.usefixtures("tiny")
def test_to_a_disk_one_pack_goes_after_the_other():
    store = Distant()
    store.parallel = 1
    repository = plain(store)
    crowd = store.expect("put packs", 1)

    with repository.writer() as writer:
        for number in range(40):
            writer.add(noise(number), Group.DATA)
        writer.finish()

    assert crowd.most == 1


@pytest.mark.usefixtures("tiny")
def test_what_lies_in_many_packs_is_fetched_side_by_side(repository, store):
    with repository.writer() as writer:
        ids = [writer.add(noise(number), Group.DATA) for number in range(40)]
        writer.finish()
    again = reopened(repository)
    crowd = store.expect("get packs", 6)

    read = list(again.read([Extent(each.id.hex(), 0, 2000) for each in ids]))

    assert [bytes(piece) for piece in read] == [noise(number) for number in range(40)]
    assert crowd.most >= 6


@pytest.mark.parametrize("kind", ["snapshots", "annotations", "forgotten"])
def test_small_objects_are_fetched_side_by_side(repository, store, kind):
    ids = [save(repository, [archive(n)], number=n) for n in range(15)]
    for each in history(repository)[:7]:
        annotate(repository, each, repository.clock(), tags=["x"])
    forget(repository, ids[7:])
    crowd = store.expect(f"get {kind}", 6)

    found, damaged = reopened(repository).recorded()

    assert damaged == []
    assert [each.id for each in found] == ids
    assert [each.id for each in found if each.forgotten] == ids[7:]
    assert [each.id for each in found if each.snapshot.tags] == ids[:7]
    assert crowd.most >= 6


@pytest.mark.usefixtures("tiny")
def test_check_reads_packs_and_manifests_side_by_side(repository, store):
    for number in range(10):
        save(repository, [archive(number)], number=number)
    crowds = [store.expect(f"get {kind}", 6) for kind in ("packs", "snapshots", "index")]

    found = checked(repository)

    assert found.damages == []
    assert (found.snapshots, found.packs) == (10, 20)
    assert min(crowd.most for crowd in crowds) >= 6


@pytest.mark.usefixtures("tiny")
def test_the_manifests_of_many_snapshots_are_fetched_side_by_side(repository, store):
    for number in range(10):
        save(repository, [archive(number)], number=number)
    again = reopened(repository)
    again.readings.current()
    crowd = store.expect("get packs", 6)

    done = prune_repository(again, ignore, dry_run=True)

    assert done.packs.number == 20
    assert crowd.most >= 6


def test_packs_are_deleted_side_by_side(repository, store):
    forget(repository, [save(repository, [archive(n)], number=n) for n in range(6)])
    crowd = store.expect("delete packs", 6)

    done = prune_repository(reopened(repository), ignore, exclusive=True)

    assert done.deleted.number == 12
    assert list(store.list("packs")) == []
    assert crowd.most >= 6


def test_indexes_are_made_anew_from_packs_side_by_side(repository, store):
    saved = [save(repository, [archive(n)], number=n) for n in range(6)]
    for info in list(store.list("index")):
        store.delete(info.name)
    crowd = store.expect("get packs", 6)

    done = repair_index(reopened(repository), ignore)

    assert (done.packs, done.lost) == (12, {})
    assert content(reopened(repository)).keys() == set(saved)
    assert crowd.most >= 6
