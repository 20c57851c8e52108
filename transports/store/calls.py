"""Calls in threads of their own, so that whoever waits for one can be interrupted, or give it up.

A blocking call notices a Ctrl-C only when it ends, which on a dead link takes minutes; a wait for a
thread ends at once. The thread is a daemon: the process does not wait for it. (The asynchronous
calls of the client for buckets can be dropped, but its threads may still be busy with them when
Python ends: 6 of 100 processes were aborted at their very end.)
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, TypeVar

from transports.errors import ConnectionLost

Result = TypeVar("Result")

_LOOK_EVERY_S: Final = 0.1
_GRACE_S: Final = 1.0


def answered(call: Callable[[], Result], within_s: float) -> Result:
    """Return what a call gives. Raises TimeoutError, and whatever it raises.

    A call that takes too long is given up; it ends by the client's own time limit.
    """
    return _begun(call).result(within_s)


def unless(stop: threading.Event, call: Callable[[], Result]) -> Result:
    """Return what a call gives; once `stop` is set, it is given up after a second.

    Raises ConnectionLost then, and whatever the call raises. The interrupt itself ends what the
    main thread waits for, so a thread is for what that does afterwards.
    """
    if threading.current_thread() is threading.main_thread() and not stop.is_set():
        return call()
    future = _begun(call)
    while not wait([future], _LOOK_EVERY_S).done:
        if stop.is_set() and not wait([future], _GRACE_S).done:
            raise ConnectionLost("the run was interrupted")
    return future.result()


def _begun(call: Callable[[], Result]) -> "Future[Result]":
    future: Future[Result] = Future()
    threading.Thread(target=_make, args=(call, future), name="voltar-call", daemon=True).start()
    return future


def _make(call: Callable[[], Result], future: "Future[Result]") -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
