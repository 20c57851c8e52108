"""All tables of a repository's packs, in a local SQLite file that is brought up to date.

What indexes say never changes, so each is fetched once and kept. The file is a cache and nothing
more: `refresh` goes by what the store lists; every table carries a checksum; and whatever SQLite
complains about, or hands out that was never put in, ends with an empty file, filled again. Rows
that are lost make a chunk look absent, never present: who misses one calls `discard` before
believing it.

Several processes may use one file. Rows are only added by what a store's object says, and deleted
where an object is gone; a process that is missing rows because another deleted them is in the same
place as one whose rows were lost.
"""

import contextlib
import sqlite3
import struct
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from backup.errors import BackupError, IntegrityError, RepositoryError, UnsupportedFormat
from backup.repository import ahead, sealed
from backup.repository.crypto import ENVELOPE_SIZE, Keys, digest
from backup.repository.index import IndexedPack, IndexObject
from backup.repository.names import CHUNK_ID_SIZE, INDEX, ChunkId, PackId, id_of
from backup.repository.pack import Blob, PackTable
from transports.errors import ObjectNotFound
from transports.store import Store

_T = TypeVar("_T")
_VERSION: Final = 1
_BUSY_S: Final = 5.0
"""How long another process is waited for: it writes for moments, and without the file we can do."""
_FETCHERS: Final = 8
_FETCHED_SIZE: Final = 4 << 20
"""Index objects that are fetched at once, and their bytes, several times more in memory."""
_RECORD: Final = struct.Struct(f"<{CHUNK_ID_SIZE}sQII")
_HEAD: Final = struct.Struct(f"<32s{ENVELOPE_SIZE}sQ")
_PREFIX: Final = struct.Struct("<q")
_SPOILT: Final = (sqlite3.Error, ValueError, TypeError, struct.error)
"""What a spoilt file leads to. SQLite's own messages may hold parts of it, and be no UTF-8."""
_LATEST_S: Final = 1e11
_SCHEMA: Final = f"""
    PRAGMA user_version = {_VERSION};
    CREATE TABLE objects (id TEXT PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE packs (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, size INTEGER NOT NULL,
        data BLOB NOT NULL, checksum TEXT NOT NULL
    );
    CREATE TABLE listing (object TEXT, pack INTEGER, PRIMARY KEY (object, pack)) WITHOUT ROWID;
    CREATE INDEX listed_by ON listing (pack);
    CREATE TABLE chunks (prefix INTEGER, pack INTEGER, PRIMARY KEY (prefix, pack)) WITHOUT ROWID;
"""


class Place(NamedTuple):
    """Where a chunk lies: its pack, the blob, and its number in the pack's table."""

    pack: IndexedPack
    blob: Blob
    number: int


class Listed(NamedTuple):
    """A pack that an index lists: its size in bytes, how many blobs it has, and since when it has
    been listed, in seconds since 1970 (0: long ago)."""

    id: PackId
    size: int
    blobs: int
    since: float


class _Packed(NamedTuple):
    """An index object as it is kept: its tables as (pack, size, packed table)."""

    id: str
    time: float
    tables: list[tuple[PackId, int, bytes]]

    @classmethod
    def of(cls, object_id: str, read: IndexObject) -> "_Packed":
        """Pack an index object. Raises IntegrityError where it says what cannot be."""
        try:
            tables = [(table.pack, table.size, _packed(table)) for table in read.tables]
        except (ValueError, struct.error) as error:
            raise IntegrityError(
                f"{INDEX}/{object_id[:16]} is damaged: an impossible table: {error}"
            ) from error
        return cls(object_id, read.time.timestamp() if read.time else 0.0, tables)


class Tables:
    """What all index objects say. Any method may be called by any thread."""

    def __init__(self, store: Store, keys: Keys, path: Path | None) -> None:
        """`path` is the file; without one, tables go to a temporary file that nobody else sees."""
        self._store = store
        self._keys = keys
        self._path = path
        self._lock = threading.RLock()
        self._open(path)

    def _open(self, path: Path | None) -> None:
        self._database = _opened(path)
        self._close = weakref.finalize(self, self._database.close)

    def refresh(self) -> list[RepositoryError]:
        """Take in what the store lists now; return what ails objects that cannot be read."""
        return self._done(self._refresh)

    def listed(self) -> list[Listed]:
        """Return all packs that an index lists."""
        return self._done(self._listed)

    def _listed(self) -> list[Listed]:
        rows = self._database.execute(
            "SELECT packs.id, packs.size, substr(packs.data, 1, ?), length(packs.data),"
            " min(objects.time) FROM packs JOIN listing ON listing.pack = packs.number"
            " JOIN objects ON objects.id = listing.object GROUP BY packs.number",
            (_HEAD.size,),
        )
        found = []
        for pack, size, head, length, since in rows:
            named, _, sized = _HEAD.unpack(head)
            if (named.hex(), sized) != (pack, size):
                raise ValueError(f"the row of pack {pack!r} is that of another one")
            blobs = (length - _HEAD.size) // _RECORD.size
            found.append(Listed(PackId(pack), size, blobs, _time(since)))
        return found

    def objects(self) -> dict[str, tuple[float, set[PackId]]]:
        """Return, by the id of an index object, its time (see Listed) and what it lists."""
        return self._done(self._objects)

    def _objects(self) -> dict[str, tuple[float, set[PackId]]]:
        found: dict[str, tuple[float, set[PackId]]] = {}
        rows = self._database.execute(
            "SELECT objects.id, objects.time, packs.id FROM objects"
            " LEFT JOIN listing ON listing.object = objects.id"
            " LEFT JOIN packs ON packs.number = listing.pack"
        )
        for object_id, time, pack in rows:
            packs = found.setdefault(object_id, (_time(time), set()))[1]
            if pack is not None:
                packs.add(PackId(pack))
        return found

    def places(self, chunk: ChunkId) -> list[Place]:
        """Return all places of a chunk, whether their packs exist or not."""
        (prefix,) = _PREFIX.unpack_from(chunk)
        rows = self._done(
            lambda: self._database.execute(
                "SELECT packs.data, packs.checksum FROM chunks"
                " JOIN packs ON packs.number = chunks.pack WHERE chunks.prefix = ?",
                (prefix,),
            ).fetchall()
        )
        return [place for data, checksum in rows for place in _found(data, checksum, chunk)]

    def blobs(self, pack: PackId) -> int:
        """Return how many bytes of a pack are blobs. Raises IntegrityError where no index says."""
        table = self.table(pack)
        if table is None:
            raise IntegrityError(f"what an index said of pack {pack[:16]} is lost")
        return sum(blob.length for blob in table.blobs)

    def table(self, pack: PackId) -> PackTable | None:
        """Return what a pack holds, as far as an index says so."""
        row = self._done(
            lambda: self._database.execute(
                "SELECT data, checksum FROM packs WHERE id = ?", (pack,)
            ).fetchone()
        )
        if row is None or not _whole(*row):
            return None
        return _table(row[0])

    def add(self, object_id: str, read: IndexObject) -> None:
        """Take in an index object that has just been put."""
        packed = _Packed.of(object_id, read)
        self._done(lambda: self._take_in(packed))

    def discard(self) -> None:
        """Forget everything; the next `refresh` fetches it again."""
        with self._lock:
            self._reopen(self._path)

    def _done(self, work: Callable[[], _T]) -> _T:
        """Do what needs the database; where that fails, do it with a new one in its place."""
        with self._lock:
            try:
                return work()
            except _SPOILT:
                self._reopen(None)
            try:
                if work != self._refresh:
                    self._refresh()
                return work()
            except sqlite3.Error as error:
                raise BackupError(
                    f"the index has no room in the directory for temporary files: {error}",
                    hint="set TMPDIR to a place with more room",
                ) from error

    def _reopen(self, path: Path | None) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._close()
        if self._path is not None:
            _remove(self._path)
        self._path = path
        self._open(path)

    def _refresh(self) -> list[RepositoryError]:
        known = {row[0] for row in self._database.execute("SELECT id FROM objects")}
        there = {id_of(info.name): info.size for info in self._store.list(INDEX)}
        damaged: list[RepositoryError] = []
        new = sorted(there.keys() - known)
        size = there.__getitem__
        fetchers = ahead.opening(self._store, sum(map(size, new)), _FETCHERS)
        for read in ahead.mapped(self._fetch, new, fetchers, size=size, most=_FETCHED_SIZE):
            if isinstance(read, RepositoryError):
                damaged.append(read)
            elif read is not None:
                self._take_in(read)
        self._drop(known - there.keys())
        return damaged

    def _fetch(self, object_id: str) -> "_Packed | RepositoryError | None":
        try:
            data = self._store.get(f"{INDEX}/{object_id}")
            read = sealed.decode(self._keys, INDEX, object_id, data, IndexObject)
            return _Packed.of(object_id, read)
        except ObjectNotFound:
            return None  # another run put a new one in its place
        except (IntegrityError, UnsupportedFormat) as error:
            return error

    def _take_in(self, read: "_Packed") -> None:
        run = self._database.execute
        with _transaction(self._database):
            run("INSERT OR IGNORE INTO objects VALUES (?, ?)", (read.id, read.time))
            for pack, size, data in read.tables:
                run(
                    "INSERT OR IGNORE INTO packs (id, size, data, checksum) VALUES (?, ?, ?, ?)",
                    (pack, size, data, digest(data)),
                )
                (number,) = run("SELECT number FROM packs WHERE id = ?", (pack,)).fetchone()
                run("INSERT OR IGNORE INTO listing VALUES (?, ?)", (read.id, number))
                self._database.executemany(
                    "INSERT OR IGNORE INTO chunks VALUES (?, ?)",
                    ((prefix, number) for prefix in _prefixes(data)),
                )

    def _drop(self, objects: Iterable[str]) -> None:
        """Forget index objects, and what only they list."""
        gone = [(each,) for each in objects]
        if not gone:
            return
        run = self._database.execute
        with _transaction(self._database):
            self._database.executemany("DELETE FROM objects WHERE id = ?", gone)
            self._database.executemany("DELETE FROM listing WHERE object = ?", gone)
            orphans = run(
                "SELECT number, data FROM packs"
                " WHERE NOT EXISTS (SELECT 1 FROM listing WHERE pack = number)"
            ).fetchall()
            for number, data in orphans:
                self._database.executemany(
                    "DELETE FROM chunks WHERE prefix = ? AND pack = ?",
                    ((prefix, number) for prefix in _prefixes(data)),
                )
                run("DELETE FROM packs WHERE number = ?", (number,))


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    with database:  # commits, or rolls back
        yield


def _opened(path: Path | None) -> sqlite3.Connection:
    """Open the file, or a new one in its place; or a temporary one where there can be none."""
    for place in (path, path) if path is not None else ():
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place.is_symlink():  # to a file of somebody's that is none of ours
                place.unlink()
            return _prepared(place)
        except _SPOILT:
            _remove(place)
        except OSError:
            break
    return _prepared(None)


def _prepared(path: Path | None) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        database = sqlite3.connect(
            path or "", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        undo.callback(database.close)
        if path is not None:
            path.chmod(0o600)
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with _transaction(database):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"a cache of version {version}")
        undo.pop_all()
    return database


def _time(seconds: float) -> float:
    """Return a time of the file, which must be one. Raises ValueError, TypeError."""
    if not 0 <= seconds < _LATEST_S:
        raise ValueError(f"{seconds} is no time")
    return seconds


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _packed(table: PackTable) -> bytes:
    head = _HEAD.pack(
        _bytes(table.pack, CHUNK_ID_SIZE), _bytes(table.envelope, ENVELOPE_SIZE), table.size
    )
    return head + b"".join(
        _RECORD.pack(_bytes(blob.chunk, CHUNK_ID_SIZE), blob.offset, blob.length, blob.size)
        for blob in table.blobs
    )


def _bytes(text: str, size: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != size or data.hex() != text:
        raise ValueError(f"{text[:80]!r} is no number of {size} bytes")
    return data


def _prefixes(data: bytes) -> Iterator[int]:
    for at in range(_HEAD.size, len(data), _RECORD.size):
        yield _PREFIX.unpack_from(data, at)[0]


def _whole(data: object, checksum: str) -> bool:
    """Tell whether a row has a table as it was put in; the types of values are the file's, too."""
    return isinstance(data, bytes) and digest(data) == checksum


def _found(data: object, checksum: str, chunk: ChunkId) -> Iterator[Place]:
    """Yield the place of a chunk in a packed table, if the table is right and has it."""
    if not isinstance(data, bytes):
        return
    at = data.find(chunk, _HEAD.size)
    while at >= 0 and (at - _HEAD.size) % _RECORD.size:
        at = data.find(chunk, at + 1)  # bytes of two records that happen to look like it
    if at >= 0 and _whole(data, checksum):
        pack, envelope, size = _HEAD.unpack_from(data)
        _, offset, length, plain = _RECORD.unpack_from(data, at)
        blob = Blob(chunk.hex(), offset, length, plain)
        number = (at - _HEAD.size) // _RECORD.size
        yield Place(IndexedPack(PackId(pack.hex()), envelope, size), blob, number)


def _table(data: bytes) -> PackTable:
    pack, envelope, size = _HEAD.unpack_from(data)
    blobs = [
        Blob(chunk.hex(), offset, length, plain)
        for chunk, offset, length, plain in _RECORD.iter_unpack(data[_HEAD.size :])
    ]
    return PackTable(PackId(pack.hex()), envelope.hex(), size, blobs)
