r"""What a run does to containers, on disk before it is done, so that a killed one is made good.

One file of JSON lines for each run, locked while the run is at work:

    {"format":1,"run":"9f…","job":"nightly","engine":"…","url":"unix:///…","units":[…]}
    {"unit":0,"is":"begun","at":…}                     its hooks may run from now on
    {"unit":0,"container":1,"is":"quieting","at":…}    is about to be paused or stopped
    {"unit":0,"container":1,"is":"quiet","at":…}
    {"unit":0,"container":1,"is":"running","at":…}     as before
    {"unit":0,"hook":0,"is":"hook","exec":"…"}         what runs it: an exec, or a process here
    {"unit":0,"hook":0,"is":"done","at":…}             that hook is over, well or not
    {"unit":0,"is":"over","at":…}

`at` is the engine's clock. The file goes when all is over; one that is not locked belongs to a run
that is dead. A last line without its end was being written when the machine died.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from backup.config import Hook, Quiesce
from backup.errors import BackupError
from backup.lock import takes
from transports.store import sync_directory

FORMAT: Final = 1
DIRECTORY: Final = "quiesce"
"""Where journals are, below the state directory."""
_SUFFIX: Final = ".jsonl"
_STALE_S: Final = 3600.0


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A container, as `plan.Quieted`."""

    id: str
    name: str
    how: Quiesce
    grace_s: int
    service: tuple[str, str, str]


class UnitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who is quieted, in this order, and the hooks: those after it run also for a dead run."""

    containers: tuple[Touched, ...]
    hooks: tuple[Hook, ...]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: int
    run: str
    job: str
    engine: str
    url: str
    units: tuple[UnitRecord, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any other line."""

    unit: int
    is_: str = msgspec.field(name="is")
    at: float
    container: int = -1
    hook: int = -1
    exec: str = ""


@dataclass(slots=True)
class State:
    """How far a unit has come. `quieting` is when that began, by container."""

    begun: bool = False
    over: bool = False
    quieting: dict[int, float] = field(default_factory=dict)
    quiet: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    hooks: dict[int, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)


class Record:
    """What a journal says."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.units = [State() for _ in header.units]

    def add(self, line: Line) -> None:
        """Take note of one more line. Raises ValueError, IndexError for what is none."""
        state = self.units[line.unit]
        match line.is_:
            case "begun":
                state.begun = True
            case "quieting":
                state.quieting[line.container] = line.at
            case "quiet":
                state.quiet.add(line.container)
            case "running":
                state.running.add(line.container)
            case "hook":
                state.hooks[line.hook] = line.exec
            case "done":
                state.done.add(line.hook)
            case "over":
                state.over = True
            case other:
                raise ValueError(f"nothing is {other!r}")


class Journal:
    """The journal of this run, or of a dead one that is made good: locked."""

    def __init__(self, path: Path, handle: int, record: Record) -> None:
        self.path = path
        self.record = record
        self._handle = handle

    def write(self, line: Line) -> None:
        """Append a line, durably. Where that fails nothing of it stays."""
        size = os.fstat(self._handle).st_size
        try:
            _append(self._handle, msgspec.json.encode(line))
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise _unwritable(self.path, error) from error
        self.record.add(line)

    def remove(self) -> None:
        """Nothing is left to be made good."""
        self.path.unlink(missing_ok=True)


@contextmanager
def opened(directory: Path, header: Header) -> Iterator[Journal]:
    """A new journal. The caller removes it when all is over; else a later run makes it good."""
    path = directory / f"{header.run}{_SUFFIX}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = _begun(path, header)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield Journal(path, handle, Record(header))
    finally:
        os.close(handle)


def _begun(path: Path, header: Header) -> int:
    """Make a file that is whole and locked when it gets its name; where that fails, none."""
    temporary = path.with_suffix(".tmp")
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _append(handle, msgspec.json.encode(header))
        temporary.rename(path)
        sync_directory(path.parent)
    except BaseException:
        os.close(handle)
        temporary.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return handle


def dead(directory: Path) -> Iterator[Journal | BackupError]:
    """The journals of dead runs, each locked while it is the caller's, the oldest first; an error
    for one that cannot be read."""
    paths = directory.glob(f"*{_SUFFIX}") if directory.is_dir() else ()
    for path in directory.glob("*.tmp"):
        if time.time() - _age(path) > _STALE_S:  # its run died before it did anything
            path.unlink(missing_ok=True)
    for path in sorted(paths, key=_age):
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            continue  # its run has just ended
        try:
            if takes(handle) and path.exists():
                yield _read(path, handle)
        finally:
            os.close(handle)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path, handle: int) -> Journal | BackupError:
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    try:
        first, *rest = whole.splitlines() or [b""]
        record = Record(msgspec.json.decode(first, type=Header))
        _demand_ours(record.header)
        for line in rest:
            record.add(msgspec.json.decode(line, type=Line))
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        return BackupError(
            f"the journal {path} of a killed run cannot be read, and containers that it stopped or "
            f"paused may be so still: {error}",
            hint="start them, then remove the file",
        )
    if whole != raw:
        os.ftruncate(handle, len(whole))
    return Journal(path, handle, record)


def _demand_ours(header: Header) -> None:
    if header.format != FORMAT:
        raise ValueError(f"its format is {header.format}")


@contextmanager
def alone(directory: Path, engine: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Wait until no other run on this machine keeps containers of an engine quiet. A container that
    another run has stopped would be taken for one that nobody has started."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = "".join(each if each.isalnum() else "-" for each in engine)
        handle = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        if not takes(handle):
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _append(handle: int, data: bytes) -> None:
    """A disk that becomes full takes a part of it, and says so the next time."""
    if os.write(handle, data + b"\n") < len(data) + 1:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def _unwritable(path: Path, error: OSError) -> BackupError:
    return BackupError(
        f"the journal of what is stopped cannot be kept ({path}): {error.strerror}",
        hint="VOLTAR_STATE_DIRECTORY names another place",
    )
