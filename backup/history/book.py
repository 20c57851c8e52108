"""What is written into the history, and what can be asked of it."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from msgspec import convert

from backup.discretion import hidden
from backup.errors import BackupError
from backup.history.claim import Claims
from backup.history.database import Database, Row, Unusable, Values
from backup.history.record import Kind, Message, Result, Run, SourceResult, Time
from backup.repository.timing import is_future

_RUN: Final = "INSERT OR IGNORE INTO run (id, kind, job, started) VALUES (?, ?, ?, ?)"
_COLUMNS: Final = (
    *("source", "host", "snapshot", "time", "entries", "files", "size", "stored", "seconds"),
    *("warnings", "message", "downtime_s", "level", "held"),
)
_SOURCE: Final = (
    f"INSERT INTO source (run, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})"  # noqa: S608  names of ours
)
_THIN_OUT: Final = """
DELETE FROM run WHERE kind = :kind AND job = :job
    AND id NOT IN (
        SELECT id FROM run WHERE kind = :kind AND job = :job ORDER BY rowid DESC LIMIT :most)
    AND id NOT IN (
        SELECT run FROM (
            SELECT run, max(run.rowid) FROM source JOIN run ON run.id = source.run
            WHERE kind = :kind AND job = :job AND snapshot IS NOT NULL GROUP BY source, host))
"""
_SILENCE: Final = """
DELETE FROM message WHERE run IN (
    SELECT id FROM run WHERE kind = :kind AND job = :job
    ORDER BY rowid DESC LIMIT -1 OFFSET :most)
"""

MOST_RUNS: Final = 1000
"""Of each job and kind so many runs are kept, and each that was the last success of a source."""
MOST_TALKATIVE: Final = 100
"""So many of them keep what was said."""
MOST_MESSAGES: Final = 300
LONGEST_MESSAGE: Final = 1000
_UNWRITTEN_S: Final = 1.0
T = TypeVar("T")


def _unheard(_text: str) -> None:
    """Whom nobody listens to."""


class History:
    """The runs of this machine, in one file that several processes may use at once.

    Writing never raises: what cannot be written is told to `on_trouble`, once, and left out.
    The newest is what was written last: a clock may have been wrong for a while.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], object] = _unheard) -> None:
        self.path = path
        self._on_trouble = on_trouble
        self._database = Database(path, on_trouble)
        self._claims = Claims(path.parent / "runs")
        self._is_troubled = False
        self._begun: dict[str, Run] = {}
        self._said: dict[str, int] = {}
        self._unwritten: list[Values] = []
        self._wrote_at = 0.0

    def begin(self, run: Run) -> None:
        """Write down that a run has begun; until it ends, this process must live."""
        try:
            self._claims.take(run.id)  # before anybody can ask for it
        except OSError as error:
            self._tell(error)
        self._begun[run.id] = run
        self._write(_RUN, _row(run))

    def add(self, run: str, found: SourceResult) -> None:
        """Write down what became of a source."""
        self._write_said()
        values = {name: getattr(found, name) for name in _COLUMNS}
        values["time"] = _text(found.time) if found.time else None
        values |= {name: _discreet(values[name]) for name in ("message", "held")}
        self._write(_SOURCE, (run, *values.values()))

    def say(self, run: str, text: str) -> None:
        """Keep what is said during a run: the first of it, and cut where it is long.

        It is on the disk a second later, or with what is written next.
        """
        number = self._said[run] = self._said.get(run, 0) + 1
        if number > MOST_MESSAGES:
            return
        kept = "more was said, which is not kept" if number == MOST_MESSAGES else _discreet(text)
        self._unwritten.append((run, _text(datetime.now(UTC)), kept))
        if time.monotonic() - self._wrote_at >= _UNWRITTEN_S:
            self._write_said()

    def end(self, run: str, ended: datetime, result: Result, message: str = "") -> None:
        """Write down what a run came to, and let go of old ones."""
        self._write_said()
        begun = self._begun.pop(run, None)
        if begun is not None:  # it could not be written when it began, perhaps
            self._write(_RUN, _row(begun))
        self._write(
            "UPDATE run SET ended = ?, result = ?, message = ? WHERE id = ?",
            (_text(ended), result.value, _discreet(message), run),
        )
        if begun is not None:
            about = {"kind": begun.kind.value, "job": begun.job}
            self._write(_THIN_OUT, {**about, "most": MOST_RUNS})
            self._write(_SILENCE, {**about, "most": MOST_TALKATIVE})
        self._claims.drop(run)

    def release(self, snapshot: str) -> None:
        """Write down that what a snapshot was held for is accepted."""
        self._write("UPDATE source SET held = '' WHERE snapshot = ?", (snapshot,))

    def runs(
        self,
        *,
        job: str | None = None,
        kind: Kind | None = None,
        result: Result | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Return the newest runs, the newest first; of KILLED none is found. Raises BackupError."""
        found = self._read(
            "SELECT * FROM run WHERE job = ifnull(:job, job) AND kind = ifnull(:kind, kind)"
            " AND (:result IS NULL OR result = :result)"
            " ORDER BY rowid DESC LIMIT :most",
            {
                "job": job,
                "kind": kind.value if kind else None,
                "result": result.value if result else None,
                "most": limit,
            },
            _run,
        )
        return [self._as_is(run) for run in found]

    def called(self, start: str) -> list[Run]:
        """Return the runs whose ids begin so. Raises BackupError."""
        values = (len(start), start)
        found = self._read("SELECT * FROM run WHERE substr(id, 1, ?) = ?", values, _run)
        return [self._as_is(run) for run in found]

    def sources(self, run: str) -> list[SourceResult]:
        """Return what became of the sources of a run, in order. Raises BackupError."""
        return self._read("SELECT * FROM source WHERE run = ? ORDER BY rowid", (run,), _source)

    def successes(self, kind: Kind, job: str, source: str, limit: int) -> list[SourceResult]:
        """Return a job's newest successes of a source, the newest first. Raises BackupError."""
        return self._read(
            "SELECT source.* FROM source JOIN run ON run.id = source.run WHERE kind = ?"
            " AND job = ? AND source = ? AND snapshot IS NOT NULL"
            " ORDER BY source.rowid DESC LIMIT ?",
            (kind.value, job, source, limit),
            _source,
        )

    def drills(self, source: str, limit: int) -> list[tuple[datetime, SourceResult]]:
        """Return a source's newest drills, and when they began, the newest first. Raises
        BackupError."""
        return self._read(
            "SELECT source.*, started FROM source JOIN run ON run.id = source.run"
            " WHERE kind = ? AND source = ? ORDER BY source.rowid DESC LIMIT ?",
            (Kind.DRILL.value, source, limit),
            lambda row: (_time(row["started"]), _source(row)),
        )

    def messages(self, run: str) -> list[Message]:
        """Return what was said during a run, in order. Raises BackupError."""
        return self._read(
            "SELECT * FROM message WHERE run = ? ORDER BY rowid",
            (run,),
            lambda row: convert(row, Message),
        )

    def seen(self, job: str, now: datetime) -> datetime:
        """Return since when a job is known: since now, if nobody asked before."""
        for seen in self._read(
            "SELECT seen FROM job WHERE name = ?", (job,), lambda row: _time(row["seen"])
        ):
            if not is_future(seen, now):
                return seen
        self._write("INSERT OR REPLACE INTO job VALUES (?, ?)", (job, _text(now)))
        return now

    def aside(self) -> list[Path]:
        """Return the files in which earlier runs were that were found damaged, until somebody
        removes them."""
        return self._database.aside()

    def _write_said(self) -> None:
        rows, self._unwritten = self._unwritten, []
        if rows:
            self._write("INSERT INTO message VALUES (?, ?, ?)", *rows)

    def _write(self, statement: str, *rows: Values) -> None:
        try:
            self._database.write(statement, *rows)
        except Unusable as error:
            self._tell(error)
        self._wrote_at = time.monotonic()

    def _tell(self, error: Exception) -> None:
        if not self._is_troubled:
            self._on_trouble(f"cannot write the history, {self.path}: {error}")
        self._is_troubled = True

    def _read(self, statement: str, values: Values, understood: Callable[[Row], T]) -> list[T]:
        try:
            return self._database.read(statement, values, understood)
        except Unusable as error:
            raise BackupError(f"cannot read the history, {self.path}: {error}") from error

    def _as_is(self, run: Run) -> Run:
        """Return a run as it is; of one that was killed nobody has written that down."""
        if run.result is not None or self._claims.is_held(run.id):
            return run
        return replace(run, result=Result.KILLED)


def _row(run: Run) -> Values:
    return run.id, run.kind.value, run.job, _text(run.started)


def _run(row: Row) -> Run:
    return convert(row, Run)


def _source(row: Row) -> SourceResult:
    return convert(row, SourceResult)


def _time(value: object) -> datetime:
    time: datetime = convert(value, Time)
    return time


def _text(time: datetime) -> str:
    """Return a time as text that sorts as times do."""
    return time.astimezone(UTC).isoformat()


def _discreet(text: str) -> str:
    """Return text cut to what is kept, without secrets."""
    text = hidden(text)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"
