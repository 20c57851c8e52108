"""A store at no more than so many bytes a second."""

import threading
import time

import pytest

from tests.memory_store import MemoryStore
from tests.unit.transports.test_retrying import Clock
from transports.store import Settings, open_store
from transports.store.throttled import Allowance, Throttled
from transports.store.timing import SMALL

MIB = 1 << 20


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    """1 MiB a second up, 4 MiB a second down."""
    inner = MemoryStore()
    inner.create()
    up, down = (Allowance(rate, clock=clock, stop=clock) for rate in (MIB, 4 * MIB))
    return Throttled(inner, up, down)


def test_what_was_put_has_taken_its_time(store, clock):
    for number in range(3):
        store.put(f"packs/{number}", bytes(8 * MIB))

    assert sum(clock.waits) == pytest.approx(24)


def test_what_was_got_has_taken_its_time(store, clock):
    store.put("packs/a", bytes(8 * MIB))
    clock.waits.clear()

    for _ in range(3):
        store.get("packs/a")
    assert sum(clock.waits) == pytest.approx(6)

    store.get("packs/a", 0, 4 * MIB)
    assert sum(clock.waits) == pytest.approx(7)


def test_a_slow_line_is_not_slowed_down_more(store, clock, monkeypatch):
    def slowly(name, data):
        clock.now += 30

    monkeypatch.setattr(store._store, "put", slowly)

    store.put("packs/a", bytes(8 * MIB))

    assert clock.waits == []


def test_small_objects_are_counted_but_do_not_wait(store, clock):
    for number in range(8):
        store.put(f"keys/{number}", bytes(SMALL - 1))
    assert clock.waits == []

    store.put("packs/a", bytes(MIB))

    assert sum(clock.waits) == pytest.approx(9, abs=0.001)


def test_uploads_and_downloads_do_not_wait_for_each_other(store, clock):
    store.put("keys/a", bytes(SMALL - 1))
    store.put("keys/b", bytes(SMALL - 1))

    store.get("keys/a")
    store.get("keys/b", 0, 100)

    assert clock.waits == []


def test_threads_share_the_limit():
    inner = MemoryStore()
    inner.create()
    lock = threading.Lock()

    class Shared(Clock):
        def wait(self, timeout=None):
            with lock:  # everybody sees the time that passed
                return super().wait(timeout)

    clock = Shared()
    allowance = Allowance(MIB, clock=clock, stop=clock)
    store = Throttled(inner, allowance, Allowance(None))
    threads = [
        threading.Thread(target=store.put, args=(f"packs/{number}", bytes(2 * MIB)))
        for number in range(4)
    ]
    began = clock.now
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now - began >= 8


def test_a_limit_holds_on_a_directory_too(tmp_path):
    store = open_store(str(tmp_path / "store"), Settings(upload_limit=8 * MIB))
    store.create()
    began = time.monotonic()

    store.put("packs/a", bytes(2 * MIB))

    assert time.monotonic() - began >= 0.25
