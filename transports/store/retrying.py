"""Another store, and patience: what failed by a lost connection is tried again.

Only `ConnectionLost` is: whatever else fails would fail again. All five verbs may be repeated: a
`put` whose reply was lost finds its own object, which is success, and a `delete` finds nothing,
which is success too.

Waits grow from half a second to half a minute, and none is the same for two hosts. For how long it
goes on is counted from the first failure of a call, so a call takes at most this `patience` and the
time of two attempts. That of small objects is below the ten minutes within which a repository's
writes must have their effect (docs/format.md, section 12; a test compares). A store that has never
answered is probably misspelt, and is given up sooner.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from transports.errors import ConnectionLost
from transports.store.around import Around
from transports.store.calls import unless
from transports.store.protocol import Buffer, ObjectInfo, Store

Result = TypeVar("Result")

PATIENCE_S: Final = 270.0
FIRST_PATIENCE_S: Final = 20.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0


class Retrying(Around):
    """A store around another; both may be used by several threads."""

    def __init__(
        self,
        store: Store,
        *,
        on_retry: Callable[[ConnectionLost, float], None],
        clock: Callable[[], float] = time.monotonic,
        stop: threading.Event | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Once `stop` is set, nothing is tried again, and calls of other threads than the main one
        are given up."""
        super().__init__(store)
        self._on_retry = on_retry
        self._clock = clock
        self._stop = stop or threading.Event()
        self._jitter = jitter
        self._answered = False

    def create(self) -> None:
        self._patiently(self._store.create)

    def put(self, name: str, data: Buffer) -> None:
        self._patiently(lambda: self._store.put(name, data))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if self._stop.is_set():  # many may be queued, and nobody wants them any more
            raise ConnectionLost(f"cannot read {name} in {self.url}: the run was interrupted")
        return self._patiently(lambda: self._store.get(name, offset, length))

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        """Yield what one uninterrupted listing found: two halves of two listings are none."""
        yield from self._patiently(lambda: [*self._store.list(kind)])

    def stat(self, name: str) -> ObjectInfo:
        return self._patiently(lambda: self._store.stat(name))

    def delete(self, name: str) -> None:
        self._patiently(lambda: self._store.delete(name))

    def _patiently(self, act: Callable[[], Result]) -> Result:
        failures, since = 0, 0.0
        while True:
            try:
                result = unless(self._stop, act)
            except ConnectionLost as error:
                failures += 1
                since = since if failures > 1 else self._clock()
                self._wait(error, failures, self._clock() - since)
            else:
                self._answered = True
                return result

    def _wait(self, error: ConnectionLost, failures: int, passed_s: float) -> None:
        """Wait before the next attempt. Raises `error` where there is none."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(failures - 1, 10))
        wait_s = longest * (1 + self._jitter()) / 2
        if passed_s + wait_s > (PATIENCE_S if self._answered else FIRST_PATIENCE_S):
            tried = f"tried {failures} times in {passed_s:.0f} s" if failures > 1 else "tried once"
            raise ConnectionLost(f"{error}; {tried}", hint=error.hint) from error
        self._on_retry(error, wait_s)
        if self._stop.wait(wait_s):
            raise error
