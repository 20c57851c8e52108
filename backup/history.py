"""What runs came to, kept on this machine in a SQLite database.

A run is written down when it begins, so one that was killed is known: it never ended.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, job TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, result TEXT, message TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS source (
    run TEXT NOT NULL REFERENCES run (id), source TEXT NOT NULL, host TEXT NOT NULL,
    snapshot TEXT, time TEXT, entries INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,
    stored INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    warnings INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',
    downtime REAL NOT NULL DEFAULT 0, level TEXT NOT NULL DEFAULT ''
) STRICT;
"""


class Kind(Enum):
    """What a run does."""

    BACKUP = "backup"
    DRILL = "drill"
    CHECK = "check"
    PRUNE = "prune"


class Result(Enum):
    """What a run came to."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run. `ended` and `result` are None for one that goes on, or was killed."""

    id: str
    kind: Kind
    job: str
    started: datetime
    ended: datetime | None = None
    result: Result | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResult:
    """What became of a source in a run. Without a `snapshot` it failed, and `message` says why.

    `size` and `stored` are bytes; `downtime_s` is how long its containers did not run. `level` is
    of a drill: the highest that was passed.
    """

    source: str
    host: str
    snapshot: str | None = None
    time: datetime | None = None
    entries: int = 0
    size: int = 0
    stored: int = 0
    seconds: float = 0.0
    warnings: int = 0
    message: str = ""
    downtime_s: float = 0.0
    level: str = ""


class History:
    """The runs of this machine, in one file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._open() as database:
            database.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
            database.row_factory = sqlite3.Row
            yield database

    def begin(self, run: Run) -> None:
        """Write down that a run has begun."""
        with self._open() as database:
            database.execute(
                "INSERT INTO run (id, kind, job, started) VALUES (?, ?, ?, ?)",
                (run.id, run.kind.value, run.job, run.started.isoformat()),
            )

    def add(self, run: str, found: SourceResult) -> None:
        """Write down what became of a source."""
        time = found.time.isoformat() if found.time else None
        with self._open() as database:
            database.execute(
                "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(run, found.source, found.host, found.snapshot, time, found.entries),
                    *(found.size, found.stored, found.seconds, found.warnings, found.message),
                    *(found.downtime_s, found.level),
                ),
            )

    def end(self, run: str, ended: datetime, result: Result, message: str = "") -> None:
        """Write down what a run came to."""
        with self._open() as database:
            database.execute(
                "UPDATE run SET ended = ?, result = ?, message = ? WHERE id = ?",
                (ended.isoformat(), result.value, message, run),
            )

    def runs(self, *, job: str | None = None, limit: int = 100) -> list[Run]:
        """Return the newest runs, the newest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT id, kind, job, started, ended, result, message FROM run"
                " WHERE ? IS NULL OR job = ? ORDER BY started DESC, rowid DESC LIMIT ?",
                (job, job, limit),
            ).fetchall()
        return [_run(row) for row in rows]


def _run(row: sqlite3.Row) -> Run:
    return Run(
        id=row["id"],
        kind=Kind(row["kind"]),
        job=row["job"],
        started=datetime.fromisoformat(row["started"]),
        ended=datetime.fromisoformat(row["ended"]) if row["ended"] else None,
        result=Result(row["result"]) if row["result"] else None,
        message=row["message"],
    )
