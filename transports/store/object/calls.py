"""Calls of the client, in threads of their own, so that whoever waits for one can be interrupted.

The client's blocking calls notice a Ctrl-C only when they end, which on a dead link takes minutes;
a wait for a thread ends at once. The thread is a daemon: the process does not wait for it. (The
client's asynchronous calls can be dropped, but its threads may still be busy with them when Python
ends: 6 of 100 processes were aborted at their very end.)
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def answered(call: Callable[[], Result], within_s: float) -> Result:
    """Return what a call gives. Raises TimeoutError, and whatever it raises.

    A call that takes too long is given up; it ends by the client's own time limit.
    """
    future: Future[Result] = Future()
    threading.Thread(target=_make, args=(call, future), name="voltar-object", daemon=True).start()
    return future.result(within_s)


def _make(call: Callable[[], Result], future: "Future[Result]") -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
