"""A thread that runs the client's requests, so that whoever waits for one can be interrupted.

The client's blocking calls notice a Ctrl-C only when they end, which on a dead link takes minutes.
A wait for a future ends at once, and the request is dropped.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


class Loop:
    """An event loop in a thread of its own, started with the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, request: Callable[[], Awaitable[Result]], within_s: float) -> Result:
        """Make a request in the loop's thread and return what it gives.

        Raises TimeoutError, and whatever the request raises.
        """
        bounded = _bounded(request, within_s)
        future = asyncio.run_coroutine_threadsafe(bounded, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread, and requests that nobody waits for any more."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="voltar-object", daemon=True
                )
                self._thread.start()
            return self._loop


async def _bounded(request: Callable[[], Awaitable[Result]], within_s: float) -> Result:
    async with asyncio.timeout(within_s):
        return await request()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run until stopped; then cancel what is left, and wait until it has noticed."""
    try:
        loop.run_forever()
        loop.run_until_complete(_end(asyncio.all_tasks(loop)))
    finally:
        loop.close()


async def _end(tasks: "set[asyncio.Task[object]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
