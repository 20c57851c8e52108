"""Bodies that lie in two repositories: where a copy has what the original has elsewhere.

A body is known by a digest of its extents in the one repository; what is kept for it are its
extents in the other. Both may be millions, so they are in a temporary file that SQLite keeps, which
nobody else sees and which is gone with the process.
"""

import sqlite3
import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from backup.errors import BackupError
from backup.repository import Extent

_PLACE: Final = struct.Struct("<32sQQ")


class Bodies:
    """A map from bodies in one repository to their extents in another. Used by one thread."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._run("PRAGMA journal_mode = OFF")
        self._run("PRAGMA synchronous = OFF")
        self._run("CREATE TABLE bodies (key BLOB PRIMARY KEY, places BLOB) WITHOUT ROWID")
        self._run("BEGIN")  # which is never ended: nothing is to outlive the connection

    def close(self) -> None:
        self._database.close()

    def find(self, original: Iterable[Extent]) -> list[Extent] | None:
        """Return where the other repository has a body that lies at `original` in the one."""
        found = self._run("SELECT places FROM bodies WHERE key = ?", _key(original)).fetchone()
        if found is None:
            return None
        places = _PLACE.iter_unpack(found[0])
        return [Extent(chunk.hex(), offset, length) for chunk, offset, length in places]

    def add(self, original: Iterable[Extent], copy: Iterable[Extent]) -> None:
        """Remember where a body is in both."""
        places = b"".join(
            _PLACE.pack(bytes.fromhex(each.chunk), each.offset, each.length) for each in copy
        )
        self._run("INSERT OR REPLACE INTO bodies VALUES (?, ?)", _key(original), places)

    def _run(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise BackupError(
                f"what was copied has no room in the directory for temporary files: {error}",
                hint="set TMPDIR to a place with more room",
            ) from error


def _key(extents: Iterable[Extent]) -> bytes:
    text = ";".join(f"{chunk},{offset},{length}" for chunk, offset, length in extents)
    return blake2b(text.encode(), digest_size=24).digest()
