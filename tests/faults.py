"""Stores that fail: at the n-th call, in a way of one's choice.

ERROR       the call does nothing and the connection is lost; later calls work
LOST_REPLY  the call does its work, and the connection is lost before we hear of it
TORN        of a put half is written, to where nobody looks for objects, and the connection is lost
FULL        no put from this call on finds room
KILL        the process is killed, a put half done
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from transports.errors import ConnectionLost, OutOfSpace
from transports.store import ObjectInfo, Store
from transports.store.around import Around
from transports.store.file import FileStore
from transports.store.protocol import Buffer

CHANGES = ("create", "put", "delete")
_PROJECT = Path(__file__).parents[1]


class Fault(Enum):
    """How a call fails."""

    ERROR = "error"
    LOST_REPLY = "lost reply"
    TORN = "torn write"
    FULL = "no space"
    KILL = "kill"


class FaultyStore(Around):
    """Another store whose call number `fail_at`, counted from 1, fails; `calls` counts them all.

    `directory` is that of a FileStore: torn writes leave their half there, as a kill would. Where
    `counted` names verbs, other calls neither count nor fail.
    """

    def __init__(
        self,
        store: Store,
        fail_at: int,
        fault: Fault,
        directory: Path,
        counted: tuple[str, ...] = (),
    ) -> None:
        super().__init__(store)
        self._fail_at = fail_at
        self._fault = fault
        self._directory = directory
        self._counted = counted
        self._lock = threading.Lock()
        self.calls: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether the call that should fail was made."""
        return len(self.calls) >= self._fail_at

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
        if self._counted and call.split(maxsplit=1)[0] not in self._counted:
            return False
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


class Meeting:
    """Another store at whose call number `meet_at` somebody else does something first."""

    def __init__(self, store: Store, meet_at: int, other: Callable[[], object]) -> None:
        self._store = store
        self._left = meet_at
        self._other = other
        self._lock = threading.Lock()
        self.url = store.url
        self.parallel = store.parallel
        self.write_once = store.write_once
        self.close = store.close

    @property
    def met(self) -> bool:
        return self._left <= 0

    def create(self) -> None:
        self._meet()
        self._store.create()

    def put(self, name: str, data: Buffer) -> None:
        self._meet()
        self._store.put(name, data)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._meet()
        return self._store.get(name, offset, length)

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        self._meet()
        return self._store.list(kind)

    def stat(self, name: str) -> ObjectInfo:
        self._meet()
        return self._store.stat(name)

    def delete(self, name: str) -> None:
        self._meet()
        self._store.delete(name)

    def _meet(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._other()


def killed_at(fail_at: int, directory: Path, module: str, *arguments: str) -> bool:
    """Run a test module as a program whose change number `fail_at` of the store kills it; return
    whether there were so many."""
    command = [sys.executable, "-m", module, str(fail_at), str(directory), *arguments]
    done = subprocess.run(command, cwd=_PROJECT, check=False, capture_output=True)
    assert (done.returncode, done.stderr) in ((0, b""), (-signal.SIGKILL, b""))
    return done.returncode != 0


def dying(arguments: list[str]) -> tuple[FaultyStore, list[str]]:
    """Return the store that kills the program which killed_at has started, and what else it was
    told."""
    place = Path(arguments[2])
    store = FaultyStore(FileStore(place), int(arguments[1]), Fault.KILL, place, CHANGES)
    return store, arguments[3:]


def assert_no_temporary_file_stays(directory: Path) -> None:
    """A day later the first put of a new process has swept what a torn write left."""
    temporary = directory / "tmp"
    day_ago = time.time() - 25 * 3600
    for path in temporary.iterdir() if temporary.is_dir() else ():
        os.utime(path, (day_ago, day_ago))
    store = FileStore(directory)
    store.put("packs/later", b"x")
    store.delete("packs/later")
    assert list(temporary.iterdir()) == []
