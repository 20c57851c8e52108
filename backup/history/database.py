"""The file in which the history is: its schema, and what is done when it is damaged.

It is in SQLite's own journal mode, with every statement synced: what was written outlives kill -9
and a power failure. One that SQLite finds damaged, or in which stands what cannot be understood, is
moved aside, and another one begun.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import ValidationError

if TYPE_CHECKING:
    import sqlite3

_VERSION: Final = 2
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, job TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, result TEXT, message TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS run_of_job ON run (kind, job, started);
CREATE TABLE IF NOT EXISTS source (
    run TEXT NOT NULL, source TEXT NOT NULL, host TEXT NOT NULL, snapshot TEXT, time TEXT,
    entries INTEGER NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL,
    stored INTEGER NOT NULL, seconds REAL NOT NULL, warnings INTEGER NOT NULL,
    message TEXT NOT NULL, downtime_s REAL NOT NULL, level TEXT NOT NULL, held TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS source_of_run ON source (run);
CREATE INDEX IF NOT EXISTS source_of_name ON source (source);
CREATE TABLE IF NOT EXISTS message (
    run TEXT NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_of_run ON message (run);
CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, seen TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS run_is_gone AFTER DELETE ON run BEGIN
    DELETE FROM source WHERE run = OLD.id;
    DELETE FROM message WHERE run = OLD.id;
END;
PRAGMA user_version = 2;
COMMIT;
"""
_PATIENCE_S: Final = 10.0
_NOTADB: Final = 26
_CORRUPT: Final = 11
_DAMAGED: Final = ".damaged-"
_JOURNAL: Final = "-journal"

Value = str | int | float | None
Values = Sequence[Value] | Mapping[str, Value]
Row = dict[str, Any]
T = TypeVar("T")


class Unusable(Exception):
    """The file cannot be read or written now."""


class Database:
    """A file that several processes may use at once. Its methods raise Unusable."""

    def __init__(self, path: Path, on_trouble: Callable[[str], object]) -> None:
        self.path = path
        self._on_trouble = on_trouble

    def write(self, statement: str, *rows: Values) -> None:
        """Execute a statement with each of some values; all of it is on the disk then."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unusable(str(error)) from error
        self._run(statement, [_all_encodable(row) for row in rows], dict)

    def read(self, statement: str, values: Values, understood: Callable[[Row], T]) -> list[T]:
        """Return what the rows of a query say; nothing where nothing was ever written."""
        return self._run(statement, (values,), understood) if self.path.exists() else []

    def aside(self) -> list[Path]:
        """Return the files that were found damaged, the oldest first."""
        found = self.path.parent.glob(f"{self.path.name}{_DAMAGED}*")
        return sorted(each for each in found if not each.name.endswith(_JOURNAL))

    def _run(
        self, statement: str, values: Sequence[Values], understood: Callable[[Row], T]
    ) -> list[T]:
        import sqlite3  # noqa: PLC0415  most commands ask nothing

        try:
            looked_at = self._inode()
            try:
                return self._once(statement, values, understood)
            except (sqlite3.DatabaseError, UnicodeError, ValidationError) as error:
                if not _is_damage(error):
                    raise
            self._move_aside(looked_at)
            return self._once(statement, values, understood)
        except (sqlite3.Error, OSError) as error:
            raise Unusable(str(error)) from error

    def _once(
        self, statement: str, values: Sequence[Values], understood: Callable[[Row], T]
    ) -> list[T]:
        with self._open() as database, database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise Unusable("it was written by a newer voltar")
            if version < _VERSION:
                database.executescript(_SCHEMA)
            found: list[T] = []
            for each in values:
                cursor = database.execute(statement, each)
                names = [column[0] for column in cursor.description or ()]
                found += [understood(dict(zip(names, row, strict=True))) for row in cursor]
            return found

    @contextmanager
    def _open(self) -> "Iterator[sqlite3.Connection]":
        import sqlite3  # noqa: PLC0415  most commands ask nothing

        with closing(sqlite3.connect(self.path, timeout=_PATIENCE_S)) as database:
            database.text_factory = bytes.decode  # its own error for what is no text has no code
            yield database

    def _inode(self) -> int | None:
        return self.path.stat().st_ino if self.path.exists() else None

    def _move_aside(self, looked_at: int | None) -> None:
        """Give a damaged file another name, unless another process has done so meanwhile."""
        handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if self._inode() != looked_at:
                return
            now = datetime.now(UTC)
            aside = self.path.with_name(f"{self.path.name}{_DAMAGED}{now:%Y%m%dT%H%M%S.%f}")
            with suppress(FileNotFoundError):
                # it belongs to the file, and would be taken for the next one's
                Path(f"{self.path}{_JOURNAL}").rename(f"{aside}{_JOURNAL}")
            self.path.rename(aside)
        finally:
            os.close(handle)
        self._on_trouble(f"the history is damaged; it is {aside} now, and begins anew")


def _all_encodable(values: Values) -> Values:
    if isinstance(values, Mapping):
        return {name: _encodable(value) for name, value in values.items()}
    return [_encodable(value) for value in values]


def _encodable(value: Value) -> Value:
    """Return a value whose text SQLite takes: not half a character, of a name that is no UTF-8."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _is_damage(error: Exception) -> bool:
    import sqlite3  # noqa: PLC0415  most commands ask nothing

    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (_CORRUPT, _NOTADB)
    return True
