"""What a dump holds, by which two dumps are compared. Pure.

Two dumps of the same data differ in comments, which name times and versions, and in the random
words of `\\restrict`. What they hold is a digest for the rows of each table, in any order, and one
for all other statements. A line is told by how it begins; what a function's text makes look like
another statement is taken for one in both dumps, and is in a digest all the same.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from backup.blocks import Block
from backup.database.rows import Rows

_NAME: Final = rb'("(?:[^"]|"")+"|`(?:[^`]|``)+`|[^\s;]+)'
_DATABASE: Final = re.compile(rb"CREATE DATABASE (?:/\*!32312 IF NOT EXISTS\*/ )?" + _NAME)
_COPY: Final = re.compile(rb"COPY .* FROM stdin;\n")
_INSERT: Final = re.compile(rb"INSERT INTO " + _NAME)
_VERSION: Final = re.compile(rb"-- (?:Dumped from database version|Server version)\s+(\S+)")
_UNSAID: Final = (b"--", b"\n", b"\\restrict ", b"\\unrestrict ")
_CONNECT: Final = (b"\\connect ", b"USE ")
_STOP: Final = b"\\.\n"
_VALUES: Final = b"VALUES\n"
_BEGINNING: Final = 256 << 10
"""A COPY with 1600 columns of 63 bytes, quoted, is shorter."""
_OWN: Final = re.compile(
    rb"USE `mysql`;\n (`(?:innodb|column|table|index)_.*stats?`|`gtid_.*`|`proc`|`event`)"
)
"""Tables that MariaDB writes to by itself; routines and events have statements of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a dump holds, for a comparison in this process. `tables` are digests, by database and
    statement; `databases` those that it creates, as it writes their names; `version` is that of the
    server which wrote it."""

    tables: dict[bytes, str]
    statements: str
    databases: tuple[bytes, ...]
    version: bytes

    def differences(self, other: "Contents") -> list[str]:
        """Say what the other has not as this one; nothing where they hold the same.

        Servers of different versions write other statements for the same; rows are rows.
        """
        said = [
            f"{_readable(name)} {'is missing' if name not in other.tables else 'differs'}"
            for name, digest in sorted(self.tables.items())
            if other.tables.get(name) != digest
        ]
        said += [
            f"{_readable(name)} was not in the dump"
            for name in sorted(other.tables.keys() - self.tables.keys())
        ]
        if self.version == other.version and self.statements != other.statements:
            said.append("statements other than rows differ")
        return said


def contents(blocks: Iterable[Block]) -> Contents:
    """Read a dump through. Memory does not grow with it."""
    reading = _Reading()
    for block in blocks:
        reading.feed(bytes(block))
    return reading.finish()


def _row(piece: bytes) -> bytes:
    """A row of an INSERT, which is the same whether or not another one follows."""
    return piece[:-2] + b",\n" if piece.endswith(b";\n") else piece


def _digest() -> Any:
    return blake2b(digest_size=16)


def _readable(name: bytes) -> str:
    words = name.decode(errors="backslashreplace").replace("\n", " ").strip()
    return words.removesuffix("FROM stdin;").strip()


@dataclass(slots=True)
class _Reading:
    """A dump as it passes. What is kept of it is shorter than a line's beginning."""

    tables: dict[bytes, Rows] = field(default_factory=dict)
    statements: Any = field(default_factory=_digest)
    databases: list[bytes] = field(default_factory=list)
    version: bytes = b""
    _database: bytes = b""
    _sink: Any = None
    _rows: bool = False
    """Between COPY and the line that ends its rows."""
    _inserting: bool = False
    """Among the lines of rows that follow INSERT."""
    _table: Rows | None = None
    """Where these go."""
    _inside: bool = False
    """Within a line whose beginning has passed."""
    _buffer: bytes = b""

    def feed(self, block: bytes) -> None:
        buffer, at = self._buffer + block, 0
        while at < len(buffer):
            step = self._take_rows(buffer, at) if self._rows else self._take_line(buffer, at)
            if step == at:
                break
            at = step
        self._buffer = buffer[at:]

    def finish(self) -> Contents:
        if self._buffer:
            self.statements.update(self._buffer)
        return Contents(
            tables={name: each.hexdigest() for name, each in self.tables.items()},
            statements=self.statements.hexdigest(),
            databases=tuple(self.databases),
            version=self.version,
        )

    def _take_rows(self, buffer: bytes, at: int) -> int:
        if not self._inside and buffer.startswith(_STOP, at):
            self._rows = False
            return at + len(_STOP)
        end = buffer.find(b"\n" + _STOP, at)
        upto = end + 1 if end >= 0 else len(buffer) - len(_STOP)
        if upto <= at:
            return at
        self._sink.update(buffer[at:upto])
        self._inside = not buffer.endswith(b"\n", at, upto)
        return upto

    def _take_line(self, buffer: bytes, at: int) -> int:
        end = buffer.find(b"\n", at)
        if not self._inside:
            if end < 0 and len(buffer) - at < _BEGINNING:
                return at
            self._begin(buffer[at : end + 1] if end >= 0 else buffer[at : at + _BEGINNING])
        upto = end + 1 if end >= 0 else len(buffer) - 1  # the last byte comes with the line's end
        if self._sink is not None:
            piece = buffer[at:upto]
            self._sink.update(_row(piece) if self._inserting else piece)
        self._inside = end < 0
        return upto

    def _begin(self, line: bytes) -> None:
        """Find out from a line's beginning where the line belongs."""
        if self._inserting and line.startswith(b"("):
            self._sink = self._table
            return
        self._inserting = False
        self._sink = None
        if line.startswith(_UNSAID):
            if not self.version and (found := _VERSION.match(line)):
                self.version = found[1]
            return
        self._sink = self.statements
        if line.startswith(_CONNECT):
            self._database = line
        elif _COPY.fullmatch(line):
            self._rows = True
            self._sink = self.tables.setdefault(self._database + b" " + line, Rows())
        elif found := _INSERT.match(line):
            name = self._database + b" " + found[1]
            own = _OWN.fullmatch(name)
            self._inserting = True
            self._table = None if own else self.tables.setdefault(name, Rows())
            self._sink = None if line.endswith(_VALUES) else self._table
        elif found := _DATABASE.match(line):
            self.databases.append(found[1])
