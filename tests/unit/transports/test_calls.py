"""Calls that are waited for no longer than somebody wants their result."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.memory_store import MemoryStore
from transports.errors import ConnectionLost
from transports.store import Settings, calls, open_store
from transports.store.calls import unless
from transports.store.retrying import Retrying
from transports.store.throttled import Allowance, Throttled

MIB = 1 << 20


@pytest.fixture
def stop():
    return threading.Event()


def beside(act, *words):
    """The outcome of a call that another thread makes."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act, *words).result()


def test_a_call_gives_what_it_gives(stop):
    def fails():
        raise ValueError("as it is")

    assert beside(unless, stop, lambda: 1) == 1
    with pytest.raises(ValueError, match="as it is"):
        beside(unless, stop, fails)


@pytest.mark.parametrize("make", [beside, lambda act, *words: act(*words)], ids=["pool", "main"])
def test_a_call_that_hangs_is_given_up_once_the_run_is_to_end(stop, monkeypatch, make):
    monkeypatch.setattr(calls, "_GRACE_S", 0.1)
    never = threading.Event()
    stop.set()

    with pytest.raises(ConnectionLost, match="interrupted"):
        make(unless, stop, never.wait)

    never.set()


def test_a_call_that_is_nearly_over_is_waited_for(stop):
    began = threading.Event()
    stop.set()

    def soon():
        began.set()
        return not threading.Event().wait(0.2)

    assert beside(unless, stop, soon)


def test_nothing_is_tried_again_or_read_when_the_run_is_to_end(stop):
    class Lost(MemoryStore):
        def put(self, name, data):
            del name, data
            stop.set()
            raise ConnectionLost("lost")

    patient = Retrying(Lost(), on_retry=lambda *_: None, stop=stop)

    with pytest.raises(ConnectionLost, match="lost"):
        patient.put("packs/a", b"x")
    with pytest.raises(ConnectionLost, match="interrupted"):
        patient.get("packs/a")


def test_who_has_stored_does_not_wait_and_who_has_not_does_not_begin(stop):
    inner = MemoryStore()
    inner.create()
    store = Throttled(inner, Allowance(1, stop=stop), Allowance(None))
    stop.set()

    store.put("packs/a", bytes(MIB))
    with pytest.raises(ConnectionLost, match="interrupted"):
        store.put("packs/b", bytes(MIB))

    assert [*inner.objects] == ["packs/a"]


def test_who_opens_a_store_can_end_its_waits(tmp_path, stop):
    store = open_store(str(tmp_path), Settings(upload_limit=1, stop=stop))
    threading.Timer(0.2, stop.set).start()

    store.put("packs/a", bytes(2 * MIB))

    assert store.stat("packs/a").size == 2 * MIB
