"""Write-once for stores that cannot refuse to replace an object: look first, then write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transports.errors import ObjectExists, ObjectNotFound
from transports.store.protocol import Buffer, Store


class Turns:
    """Threads of one process that write the same name take turns."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Hold a name; waits for whoever holds it."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._taken)
            self._taken.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(name)
                self._changed.notify_all()


def is_there(store: Store, name: str, data: Buffer) -> bool:
    """Return whether an object of these bytes is there already; False where none of the name is.

    Raises ObjectExists where it has other bytes.
    """
    try:
        same = store.stat(name).size == memoryview(data).nbytes and store.get(name) == data
    except ObjectNotFound:
        return False
    if not same:
        raise ObjectExists(f"{name} in {store.url} is there already, with other bytes")
    return True
