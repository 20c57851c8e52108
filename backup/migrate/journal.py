r"""What a migration has done, on disk, before and after each act.

One file of JSON lines for each migration, in a directory of the operator's machine:

    {"format":1,"id":"9f…","time":"2026-…","subject":"container:db", … "steps":[…]}
    {"step":0,"is":"begun","time":"…"}          about to be performed
    {"step":0,"is":"done","time":"…","facts":{"image":"sha256:…"}}
    {"step":0,"is":"undone","time":"…"}
    {"is":"moved","time":"…"}                    or "taken back", "finished", "rolled back"
    {"is":"being finished","time":"…"}           the source is about to be removed

A line is durable before what it announces happens. A last line without its end was being written
when the machine died, and does not count. The file is locked while a run works on it: a journal
that is open and not locked belongs to a run that is dead.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from backup.errors import BackupError, InUse, UsageError
from backup.lock import takes
from backup.migrate.plan import Plan
from backup.migrate.step import FOUND_OUT, AnyStep
from transports.store import sync_directory

FORMAT: Final = 1
MOVED: Final = "moved"
TAKEN_BACK: Final = "taken back"
FINISHING: Final = "being finished"
FINISHED: Final = "finished"
ROLLED_BACK: Final = "rolled back"
OPEN: Final = "open"
_OUTCOMES: Final = (MOVED, TAKEN_BACK, FINISHING, FINISHED, ROLLED_BACK)
_OF_STEPS: Final = ("begun", "done", "undone")
_SUFFIX: Final = ".jsonl"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what is to be done. `engines` are identities, `claims` what is moved."""

    format: int
    id: str
    time: datetime
    subject: str
    source: str
    target: str
    engines: tuple[str, str]
    claims: tuple[str, ...]
    steps: tuple[AnyStep, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any other line. `is_` is begun, done or undone of a step, or what became of all."""

    is_: str = msgspec.field(name="is")
    time: datetime
    step: int = -1
    facts: dict[str, Any] = {}


class Record:
    """What a journal says: which steps were begun and done, and what each one found out."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.begun: dict[int, datetime] = {}
        self.done: dict[int, datetime] = {}
        self.facts: dict[int, dict[str, Any]] = {}
        self.outcome = OPEN
        self.ended: datetime | None = None

    def add(self, line: Line) -> None:
        """Take note of one more line."""
        if line.step < 0:
            if line.is_ not in _OUTCOMES:
                raise ValueError(f"nothing ends as {line.is_!r}")
            self.outcome, self.ended = line.is_, line.time
            return
        if line.step >= len(self.header.steps) or line.is_ not in _OF_STEPS:
            raise ValueError(f"there is no step {line.step} that is {line.is_!r}")
        if line.is_ == "undone":
            self.begun.pop(line.step, None)
            self.done.pop(line.step, None)
            self.facts.pop(line.step, None)
            return
        (self.begun if line.is_ == "begun" else self.done)[line.step] = line.time
        self.facts[line.step] = {**self.facts.get(line.step, {}), **line.facts}

    def steps(self, kind: type[Any]) -> Iterator[tuple[int, Any]]:
        """The steps of one kind, with their numbers."""
        return ((n, step) for n, step in enumerate(self.header.steps) if isinstance(step, kind))

    def fact(self, kind: type[Any], name: str) -> Any:
        """What the first step of a kind found out; None where it did not come to that."""
        for number, _ in self.steps(kind):
            if name in self.facts.get(number, {}):
                return self.facts[number][name]
        return None


class Journal:
    """A journal that this process works on, and that nobody else can: it is locked."""

    def __init__(self, path: Path, handle: int, record: Record) -> None:
        self.path = path
        self._handle = handle
        self.record = record

    @property
    def id(self) -> str:
        return self.record.header.id

    def begin(self, step: int) -> None:
        """Write down that a step is about to be performed."""
        self._write(Line(is_="begun", step=step, time=_now()))

    def note(self, step: int, facts: Mapping[str, Any]) -> None:
        """Write down what a step found out while it is being performed."""
        self._write(Line(is_="begun", step=step, time=_now(), facts=dict(facts)))

    def end(self, step: int, facts: Mapping[str, Any]) -> None:
        """Write down that a step is done."""
        self._write(Line(is_="done", step=step, time=_now(), facts=dict(facts)))

    def undo(self, step: int) -> None:
        """Write down that nothing is left of a step."""
        self._write(Line(is_="undone", step=step, time=_now()))

    def close_as(self, outcome: str) -> None:
        """Write down what became of the migration."""
        self._write(Line(is_=outcome, time=_now()))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def _write(self, line: Line) -> None:
        """Append a line. Where that fails, nothing of it may stay: the next one would be spoilt."""
        size = os.fstat(self._handle).st_size
        data = msgspec.json.encode(line) + b"\n"
        try:
            _append(self._handle, data)
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise BackupError(
                f"the journal {self.path} cannot be written: {error.strerror}"
            ) from error
        self.record.add(line)


def _append(handle: int, data: bytes) -> None:
    """Write durably. A disk that becomes full takes a part of it, and says so the next time."""
    if os.write(handle, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def opened(directory: Path, plan: Plan, identity: str) -> Iterator[Journal]:
    """A new journal for a plan. Raises InUse where somebody moves the same things right now."""
    with _alone(directory):
        _demand_unclaimed(directory, plan)
        header = Header(
            format=FORMAT,
            id=identity,
            time=_now(),
            subject=plan.subject,
            source=plan.source,
            target=plan.target,
            engines=plan.engines,
            claims=plan.claims,
            steps=plan.steps,
        )
        path = directory / f"{identity}{_SUFFIX}"
        handle = _begun(path, header)
    journal = Journal(path, handle, Record(header))
    try:
        yield journal
    finally:
        journal.close()


def _begun(path: Path, header: Header) -> int:
    """Make the file, locked. Where that fails there is none."""
    with _keeping(path.parent):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append(handle, msgspec.json.encode(header) + b"\n")
            sync_directory(path.parent)
        except BaseException:
            os.close(handle)
            path.unlink()
            raise
    return handle


@contextmanager
def reopened(path: Path) -> Iterator[Journal]:
    """A journal of an earlier run. Raises InUse while that run lives."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        if not takes(handle):
            raise InUse(f"migration {path.stem} is at work", hint="wait until it ends")
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            os.ftruncate(handle, len(whole))
        yield Journal(path, handle, parsed(whole, path))
    finally:
        os.close(handle)


def parsed(raw: bytes, path: Path) -> Record:
    """What the lines of a journal say. Raises BackupError for what is none."""
    first, *rest = raw[: raw.rfind(b"\n") + 1].splitlines() or [b""]
    try:
        record = Record(msgspec.json.decode(first, type=Header))
        for line in rest:
            record.add(msgspec.json.decode(line, type=Line))
        _demand_ours(record, path)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BackupError(
            f"the journal {path} cannot be read: {error}",
            hint="it was written by another version, or damaged: move it away if it is not needed",
        ) from error
    return record


def _demand_ours(record: Record, path: Path) -> None:
    """Raise ValueError for what cannot be a journal of ours, as far as others rely on it."""
    header = record.header
    if header.format != FORMAT:
        raise ValueError(f"its format is {header.format}")
    if header.id != path.stem:
        raise ValueError(f"it is that of migration {header.id}")
    for number in record.done:
        found_out, kind = record.facts[number], type(header.steps[number])
        wanted = FOUND_OUT.get(kind, {})
        if lacking := [one for one, of in wanted.items() if not isinstance(found_out.get(one), of)]:
            raise ValueError(f"step {number} is done, and has no {lacking[0]}")


class Known(NamedTuple):
    """The journals of a directory, the oldest first, and what is wrong with those that cannot be
    read."""

    records: list[tuple[Path, Record]]
    damaged: list[BackupError]


def known(directory: Path) -> Known:
    """Read all journals. One that never got its first line stands for nothing."""
    found, damaged = [], []
    for path in sorted(directory.glob(f"*{_SUFFIX}")) if directory.is_dir() else ():
        raw = path.read_bytes()
        try:
            if b"\n" in raw:
                found.append((path, parsed(raw, path)))
        except BackupError as error:
            damaged.append(error)
    return Known(sorted(found, key=lambda one: (one[1].header.time, one[0])), damaged)


def records(directory: Path) -> list[tuple[Path, Record]]:
    """All journals, the oldest first. Raises BackupError where one cannot be read."""
    found, damaged = known(directory)
    if damaged:
        raise damaged[0]
    return found


def alive(path: Path) -> bool:
    """Whether a run works on a journal."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return not takes(handle)
    finally:
        os.close(handle)


def find(directory: Path, text: str) -> Path:
    """The journal of a migration by its id, the beginning of it, or what it moved. Raises
    UsageError where that is none or several."""
    those, damaged = known(directory)
    named = [path for path, record in those if record.header.subject == text]
    found = named[-1:] or [path for path, record in those if record.header.id.startswith(text)]
    if not found and damaged:
        raise damaged[0]
    if len(found) != 1 or not text:
        said = "no migration" if not found else "more than one migration"
        raise UsageError(f"{said} is called {text!r}", hint="`voltar migrate list` shows them")
    return found[0]


def _demand_unclaimed(directory: Path, plan: Plan) -> None:
    for path, record in records(directory):
        header = record.header
        if record.outcome != OPEN or header.engines[0] != plan.engines[0]:
            continue
        if shared := set(header.claims) & set(plan.claims):
            name = min(shared)
            if alive(path):
                raise InUse(f"{name} is being moved by another run", hint="wait until it ends")
            raise InUse(
                f"{name} is part of migration {header.id}, which was killed",
                hint=f"voltar recover {header.id}",
            )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else begins a migration meanwhile."""
    with _keeping(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _keeping(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"the journal of a migration cannot be kept in {directory}: {error.strerror}",
            hint="VOLTAR_STATE_DIRECTORY names another place",
        ) from error
