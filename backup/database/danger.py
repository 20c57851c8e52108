"""Databases in a source that is about to be read, and whether reading it now is safe.

What tells are files that databases have, where they have them: a look at the top levels, not a
search. A copy is *hot* when a container that mounts the source runs and is not paused: such a
server writes while its files are read one after the other, and what is put together from them is
nothing that ever was. Of a paused or stopped one, a copy is what a loss of power would have left,
from which all of these recover, if all of a database's files are in it.
"""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from backup.database.kind import DUMPED, Kind
from backup.engine import Engine, Helper, Mount, User, path_users, users
from backup.targets import Source

_DEPTH: Final = 3
_SIGNATURE: Final = b"SQLite format 3\0"
_SQLITES: Final = 50
_LITE: Final = (b".db", b".db3", b".sqlite", b".sqlite3")
_REPLACED: Final = {
    Kind.POSTGRES: ("PG_VERSION", "postmaster.*", "base", "global", "pg_[!hi]*"),
    Kind.MARIADB: ("*",),
}
"""What a dump stands for, of a data directory. The configuration of PostgreSQL is in no dump."""
_FIND: Final = (
    *("(", "-name", "PG_VERSION", "-o", "-name", "postmaster.pid", "-o", "-name", "ibdata1"),
    *("-o", "-type", "d", "-name", "appendonlydir", "-o", "-type", "f", "-size", "+15c"),
    *("(", "-name", "*.db", "-o", "-name", "*.db3"),
    *("-o", "-name", "*.sqlite", "-o", "-name", "*.sqlite3", ")", ")", "-printf", "%P\\0"),
)


@dataclass(frozen=True, slots=True)
class Sign:
    """A file by which a database is known; `path` is relative to the source."""

    kind: Kind
    path: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a server has its data: in a volume, or at a path of the host, its name being
    `origin`."""

    origin: str
    path: PurePosixPath
    """Relative to a volume; "." for a path of the host, which is the directory itself."""

    def within(self, source: Source) -> bytes | None:
        """Return where that is in a source, if it is in it."""
        if source.volume is not None:
            return _relative(self.path) if self.origin == source.origin else None
        directory = PurePosixPath(self.origin)
        if not directory.is_relative_to(source.origin):
            return None
        return _relative(directory.relative_to(source.origin))


def directory_of(mounts: Iterable[Mount], place: PurePosixPath) -> Directory | None:
    """Return where a container's own directory lies, if it is in something mounted. Pure."""
    above = [each for each in mounts if place.is_relative_to(each.destination)]
    if not above:
        return None
    mount = max(above, key=lambda each: len(each.destination))
    inside = place.relative_to(mount.destination)
    if mount.kind == "volume":
        return Directory(mount.source, inside)
    return Directory(str(PurePosixPath(mount.source) / inside), PurePosixPath())


def _relative(path: PurePosixPath) -> bytes:
    return b"" if path == PurePosixPath() else os.fsencode(path)


@dataclass(frozen=True, slots=True)
class Hot:
    """A database whose files would be copied while it writes, and whose containers run."""

    kind: Kind
    path: bytes
    containers: str

    @property
    def warning(self) -> str:
        return f"{self._what} was copied while it runs, and may not start: {self._choice}"

    @property
    def refusal(self) -> str:
        return f"{self._what} runs, and hot-copy is refused: {self._choice}"

    @property
    def _what(self) -> str:
        title = "MariaDB or MySQL" if self.kind is Kind.MARIADB else self.kind.title
        return f"{title} in use by {self.containers}"

    @property
    def _choice(self) -> str:
        dump = f' or dump = "{self.kind.value}"' if self.kind in DUMPED else ""
        return f"choose --quiesce stop or pause, in a job quiesce{dump}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be known before a source is read: what is hot in it, and which files need not be
    read because their database was dumped, as patterns of an exclusion."""

    hot: tuple[Hot, ...] = ()
    replaced: tuple[str, ...] = ()


def seen(engine: Engine, reader: Helper, source: Source, dumped: Sequence[Directory]) -> Seen:
    """Look at a source that is about to be read. `dumped` are data directories of servers whose
    dumps were stored by this run."""
    if source.volume is not None:
        found = users(engine, source.origin)
    else:
        found = path_users(engine, PurePosixPath(source.origin))
    active = [each for each in found if each.running and each.writes and not each.paused]
    if not active:
        return Seen()
    own = {place for each in dumped if (place := each.within(source)) is not None}
    return judged(look(reader, source.path), own, active)


def judged(signs: Sequence[Sign], dumped: Collection[bytes], active: Sequence[User]) -> Seen:
    """Say what is wrong with copying these now, each kind once; `dumped` are directories. Pure."""
    hot: dict[Kind, Sign] = {}
    replaced: list[str] = []
    for sign in signs:
        directory = sign.path.rpartition(b"/")[0]
        if directory in dumped and sign.kind in _REPLACED:
            replaced += _patterns(directory, _REPLACED[sign.kind])
        else:
            hot.setdefault(sign.kind, sign)
    names = ", ".join(sorted(each.name for each in active))
    said = tuple(Hot(kind, sign.path, names) for kind, sign in hot.items())
    return Seen(said, tuple(replaced))


def _patterns(directory: bytes, names: Iterable[str]) -> list[str]:
    """Name things in a directory as patterns of an exclusion, in which some characters are more
    than themselves."""
    escaped = re.sub(r"([\\*?\[\]!# ])", r"\\\1", directory.decode(errors="surrogateescape"))
    return [f"/{escaped}/{name}" if escaped else f"/{name}" for name in names]


def look(reader: Helper, path: str) -> tuple[Sign, ...]:
    """Look for files of databases in the top levels of what a helper sees."""
    said = reader.run(["find", path, "-maxdepth", str(_DEPTH), *_FIND], ok=(0, 1))
    names = sorted(said.split(b"\0")[:-1], key=lambda name: (name.count(b"/"), name))
    whole = PurePosixPath(path)
    candidates = [name for name in names if (name or whole.name.encode()).endswith(_LITE)]
    return (*servers(names), *_lite(reader, path, candidates[:_SQLITES]))


def servers(names: Sequence[bytes]) -> tuple[Sign, ...]:
    """Return the servers whose files these are, the outermost first. Pure.

    PostgreSQL leaves `postmaster.pid` where it runs, and nowhere else. One file of Redis that is
    appended to, or replaced by a new one, may be copied at any time; parts that belong together may
    not.
    """
    there = set(names)
    found = []
    for name in names:
        directory, slash, base = name.rpartition(b"/")
        if base == b"PG_VERSION" and directory + slash + b"postmaster.pid" in there:
            found.append(Sign(Kind.POSTGRES, name))
        elif base == b"ibdata1":
            found.append(Sign(Kind.MARIADB, name))
        elif base == b"appendonlydir":
            found.append(Sign(Kind.REDIS, name))
    return tuple(found)


def _lite(reader: Helper, path: str, names: Sequence[bytes]) -> Iterable[Sign]:
    if not names:
        return ()
    size = len(_SIGNATURE)
    files = [f"{path}/{name.decode(errors='surrogateescape')}" if name else path for name in names]
    heads = reader.run(["head", "-q", "-c", str(size), "--", *files], ok=(0, 1))
    if len(heads) != size * len(names):
        # one of them vanished meanwhile: which head is whose is not known
        return [Sign(Kind.SQLITE, names[0])] if _SIGNATURE in heads else ()
    return [
        Sign(Kind.SQLITE, name)
        for number, name in enumerate(names)
        if heads[number * size :].startswith(_SIGNATURE)
    ]
