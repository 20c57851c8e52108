"""Patience with a store: what is tried again, when, for how long, and what is told."""

import threading

import pytest

from backup.repository.timing import LONGEST_WRITE
from tests.faults import Fault, FaultyStore
from tests.memory_store import MemoryStore
from transports.errors import (
    ConnectionLost,
    ObjectExists,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    Unreadable,
)
from transports.store.retrying import FIRST_PATIENCE_S, PATIENCE_S, Retrying
from transports.store.timing import SMALL, SMALL_WITHIN_S, within_s


class Clock(threading.Event):
    """A clock that only waiting moves; `waits` is how long each wait was. It stops nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        self.now += timeout or 0
        return self.is_set()


class Failing:
    """Another store whose calls fail with `errors`, one after the other, and then work."""

    def __init__(self, errors):
        self.errors = list(errors)
        self.store = MemoryStore()
        self.store.create()
        self.calls = 0

    def __getattr__(self, verb):
        def call(*words):
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return getattr(self.store, verb)(*words)

        return call


def lost(count):
    return [ConnectionLost(f"lost {number}", hint="a hint") for number in range(count)]


def retrying(store, clock, told=None):
    say = [].append if told is None else told.append
    return Retrying(
        store,
        on_retry=lambda error, wait_s: say((str(error), wait_s)),
        clock=clock,
        stop=clock,
        jitter=lambda: 1.0,
    )


ACTS = {
    "create": (),
    "put": ("packs/a", b"x"),
    "get": ("packs/there",),
    "stat": ("packs/there",),
    "delete": ("packs/there",),
}


@pytest.mark.parametrize("verb", ACTS)
def test_a_lost_connection_is_tried_again(verb):
    far, clock = Failing(lost(2)), Clock()
    told: list[tuple[str, float]] = []
    far.store.put("packs/there", b"y")

    getattr(retrying(far, clock, told), verb)(*ACTS[verb])

    assert far.calls == 3
    assert clock.waits == [0.5, 1.0]
    assert told == [("lost 0", 0.5), ("lost 1", 1.0)]


def test_a_listing_that_broke_begins_anew_and_names_nothing_twice():
    whole = MemoryStore()
    whole.create()
    for number in range(5):
        whole.put(f"packs/{number}", b"x")

    class Broken:
        broken = False

        def list(self, kind):
            for number, info in enumerate(whole.list(kind)):
                if number == 3 and not self.broken:
                    self.broken = True
                    raise ConnectionLost("in the middle")
                yield info

    names = [info.name for info in retrying(Broken(), Clock()).list("packs")]

    assert names == [f"packs/{number}" for number in range(5)]


@pytest.mark.parametrize(
    "error", [Refused, ObjectNotFound, ObjectExists, OutOfSpace, Unreadable], ids=str
)
def test_nothing_else_is_tried_again(error):
    far, clock = Failing([error("no")]), Clock()

    with pytest.raises(error):
        retrying(far, clock).put("packs/a", b"x")

    assert (far.calls, clock.waits) == (1, [])


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.LOST_REPLY])
@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_lost_reply_is_success_when_it_is_tried_again(tmp_path, verb, fault):
    store = MemoryStore()
    store.create()
    store.put("packs/there", b"y")
    faulty = FaultyStore(store, 1, fault, tmp_path)

    getattr(retrying(faulty, Clock()), verb)(*ACTS[verb])

    assert store.objects == {"put": {"packs/there": b"y", "packs/a": b"x"}, "delete": {}}[verb]
    assert len(faulty.calls) == 2


def test_waits_grow_to_half_a_minute_and_end():
    far, clock = Failing([]), Clock()
    patient = retrying(far, clock)
    patient.put("packs/a", b"x")
    far.errors = lost(1000)

    with pytest.raises(ConnectionLost, match=r"lost \d+; tried \d+ times in \d+ s") as gave_up:
        patient.get("packs/a")

    assert gave_up.value.hint == "a hint"
    assert clock.waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]
    assert set(clock.waits[7:]) == {30}
    assert PATIENCE_S - 30 < sum(clock.waits) <= PATIENCE_S


def test_a_store_that_never_answered_is_given_up_sooner():
    clock = Clock()

    with pytest.raises(ConnectionLost):
        retrying(Failing(lost(1000)), clock).get("packs/a")

    assert FIRST_PATIENCE_S / 2 < sum(clock.waits) <= FIRST_PATIENCE_S


@pytest.mark.parametrize(("draw", "wait_s"), [(0.0, 0.25), (0.5, 0.375), (1.0, 0.5)])
def test_two_hosts_do_not_wait_equally_long(draw, wait_s):
    clock = Clock()
    patient = Retrying(
        Failing(lost(1)),
        on_retry=lambda *_: None,
        clock=clock,
        stop=clock,
        jitter=lambda: draw,
    )

    patient.put("packs/a", b"x")

    assert clock.waits == [wait_s]


def test_what_a_repository_writes_in_time_is_in_time_with_all_retries():
    longest = 2 * within_s(SMALL) + PATIENCE_S

    assert within_s(SMALL) == SMALL_WITHIN_S
    assert longest < LONGEST_WRITE.total_seconds()
