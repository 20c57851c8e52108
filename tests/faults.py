"""Stores that fail: at the n-th call, in a way of one's choice.

ERROR       the call does nothing and the connection is lost; later calls work
LOST_REPLY  the call does its work, and the connection is lost before we hear of it
TORN        of a put half is written, to where nobody looks for objects, and the connection is lost
FULL        no put from this call on finds room
KILL        the process is killed, a put half done
"""

import os
import signal
import threading
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from transports.errors import ConnectionLost, OutOfSpace
from transports.store import ObjectInfo, Store
from transports.store.protocol import Buffer


class Fault(Enum):
    """How a call fails."""

    ERROR = "error"
    LOST_REPLY = "lost reply"
    TORN = "torn write"
    FULL = "no space"
    KILL = "kill"


class FaultyStore:
    """Another store whose call number `fail_at`, counted from 1, fails; `calls` counts them all.

    `directory` is that of a FileStore: torn writes leave their half there, as a kill would.
    """

    def __init__(self, store: Store, fail_at: int, fault: Fault, directory: Path) -> None:
        self._store = store
        self._fail_at = fail_at
        self._fault = fault
        self._directory = directory
        self._lock = threading.Lock()
        self.calls: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether the call that should fail was made."""
        return len(self.calls) >= self._fail_at

    @property
    def url(self) -> str:
        return self._store.url

    def create(self) -> None:
        due = self._due("create")
        self._before(due, "create", b"")
        self._store.create()
        self._after(due)

    def put(self, name: str, data: Buffer) -> None:
        due = self._due(f"put {name}")
        if self._fault is Fault.FULL and self.failed:
            raise OutOfSpace(f"cannot store {name}: no space left")
        self._before(due, name, data)
        self._store.put(name, data)
        self._after(due)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        due = self._due(f"get {name}")
        self._before(due, name, b"")
        data = self._store.get(name, offset, length)
        self._after(due)
        return data

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        due = self._due(f"list {kind}")
        self._before(due, kind, b"")
        yield from self._store.list(kind)
        self._after(due)

    def stat(self, name: str) -> ObjectInfo:
        due = self._due(f"stat {name}")
        self._before(due, name, b"")
        info = self._store.stat(name)
        self._after(due)
        return info

    def delete(self, name: str) -> None:
        due = self._due(f"delete {name}")
        self._before(due, name, b"")
        self._store.delete(name)
        self._after(due)

    def _due(self, call: str) -> bool:
        with self._lock:
            self.calls.append(call)
            return len(self.calls) == self._fail_at

    def _before(self, due: bool, name: str, data: Buffer) -> None:
        if not due or self._fault in (Fault.LOST_REPLY, Fault.FULL):
            return
        if data and self._fault is not Fault.ERROR:
            self._tear(name, data)
        if self._fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ConnectionLost(f"{name}: the connection was lost")

    def _after(self, due: bool) -> None:
        if due and self._fault is Fault.LOST_REPLY:
            raise ConnectionLost("the connection was lost before the reply came")

    def _tear(self, name: str, data: Buffer) -> None:
        temporary = self._directory / "tmp" / f"{name.replace('/', '-')}.{os.getpid()}.torn"
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data[: len(data) // 2])
