"""Another store, at no more than so many bytes a second.

An object travels at the speed of the line; the limit is kept by waiting, before it for what others
have used, and after it until its own time is over. So whenever a call of more than `SMALL` bytes
returns, all transfers together have used no more than the limit allows, but for small ones: those
are counted, so that others wait for them, and are not held back themselves. The record that makes
a backup valid, or a list of what may be deleted, must not wait for minutes behind data.
"""

import threading
import time
from collections.abc import Callable

from transports.errors import ConnectionLost
from transports.store.around import Around
from transports.store.protocol import Buffer, Store
from transports.store.timing import SMALL


class Allowance:
    """So many bytes a second, for several threads together."""

    def __init__(
        self,
        rate: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        stop: threading.Event | None = None,
    ) -> None:
        """Nothing waits any more once `stop` is set."""
        self._rate = rate
        self._clock = clock
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._free_from = clock()
        """When all that was spent is paid for."""

    def spend(self, size: int) -> tuple[float, float]:
        """Account for so many bytes; return when their time begins, and when it is over."""
        with self._lock:
            begin = max(self._free_from, self._clock())
            self._free_from = begin + (size / self._rate if self._rate else 0.0)
            return begin, self._free_from

    def wait_until(self, when: float) -> bool:
        """Wait for a time of this clock; return whether it has come."""
        while (wait_s := when - self._clock()) > 0:
            if self._stop.wait(wait_s):
                return False
        return True


class Throttled(Around):
    """A store around another; both may be used by several threads."""

    def __init__(self, store: Store, upload: Allowance, download: Allowance) -> None:
        super().__init__(store)
        self._upload = upload
        self._download = download

    def put(self, name: str, data: Buffer) -> None:
        size = memoryview(data).nbytes
        begin, end = self._upload.spend(size)
        if size < SMALL:
            self._store.put(name, data)
            return
        if not self._upload.wait_until(begin):
            raise ConnectionLost(f"cannot store {name} in {self.url}: the run was interrupted")
        self._store.put(name, data)
        self._upload.wait_until(end)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if length is None or length >= SMALL:
            self._download.wait_until(self._download.spend(0)[0])
        data = self._store.get(name, offset, length)
        _, end = self._download.spend(len(data))
        if len(data) >= SMALL:
            self._download.wait_until(end)
        return data
