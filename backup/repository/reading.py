"""A reading: what was on the store when somebody looked, and where chunks are by it."""

import threading
import time
from collections.abc import Callable
from typing import Final

from backup.errors import IntegrityError, RepositoryError
from backup.repository.index import IndexedPack, IndexObject
from backup.repository.names import ChunkId, PackId
from backup.repository.pack import Blob
from backup.repository.protocol import View
from backup.repository.tables import Place, Tables

_REMEMBERED: Final = 100_000
_FRESH_S: Final = 10.0
_Found = tuple[IndexedPack, Blob]


REPAIR: Final = "`voltar repair index` makes indexes anew from the packs"


class Reading:
    """One look at the store. `damaged` is what ails the objects that could not be read.

    May be used by several threads. Packs that this run puts are added as it goes on.
    """

    def __init__(self, view: View, tables: Tables, damaged: tuple[RepositoryError, ...]) -> None:
        self.view = view
        self.tables = tables
        self.damaged = damaged
        self.taken = time.monotonic()
        self._live: set[ChunkId] = set()

    def __contains__(self, chunk: ChunkId) -> bool:
        """Return whether a live pack has the chunk, so that it may be referred to."""
        if chunk in self._live:
            return True
        live = self.view.live
        if not any(place.pack.id in live for place in self.tables.places(chunk)):
            return False
        if len(self._live) >= _REMEMBERED:
            self._live = set()
        self._live.add(chunk)
        return True

    def places(self, chunk: ChunkId) -> list[Place]:
        """Return all places where a chunk can be read, those in live packs first, and always in the
        same order."""
        live, spare = self.view.live, self.view.spare
        places = [
            place
            for place in self.tables.places(chunk)
            if place.pack.id in live or place.pack.id in spare
        ]
        return sorted(places, key=lambda place: (place.pack.id not in live, place.pack.id))

    def find(self, chunk: ChunkId) -> _Found | None:
        """Return a pack that has the chunk, and where; or None."""
        places = self.places(chunk)
        return (places[0].pack, places[0].blob) if places else None

    def lacks(self, chunk: str) -> IntegrityError:
        """Return the error for a chunk (hex) that this reading finds nowhere."""
        lost = f"chunk {chunk[:16]} is in no pack"
        if self.damaged:
            return IntegrityError(
                f"{self.damaged[0]}, and {lost} that is listed", hint=REPAIR, chunk=chunk
            )
        # what is listed, and yet not seen as such, is cut off
        unlisted = self.view.unlisted.difference(each.id for each in self.tables.listed())
        if unlisted:
            packs = f"{len(unlisted)} packs are in no index"
            return IntegrityError(f"{packs}, and {lost} that is listed", hint=REPAIR, chunk=chunk)
        hint = "`voltar check` says what else is damaged"
        return IntegrityError(f"{lost} of the repository", hint=hint, chunk=chunk)

    def add(self, object_id: str, read: IndexObject) -> None:
        """Take in what this run has just put: the index object, and the packs that it lists."""
        self.tables.add(object_id, read)
        self.view.live.update(table.pack for table in read.tables)

    def without(self, packs: frozenset[PackId]) -> "Reading":
        """Return the same reading as if these packs were condemned."""
        live, spare = self.view.live - packs, self.view.spare | (self.view.live & packs)
        return Reading(self.view._replace(live=live, spare=spare), self.tables, self.damaged)


class Readings:
    """The reading that a process works by, and how it gets a new one."""

    def __init__(self, take: Callable[[], Reading], tables: Tables) -> None:
        self._take = take
        self._tables = tables
        self._lock = threading.Lock()
        self._current: Reading | None = None
        self._trusts_cache = True
        self._last: tuple[Reading, ChunkId, _Found] | None = None

    def current(self) -> Reading:
        """Return the reading, taking it if there is none yet."""
        return self.renewed(None)

    def replace(self, reading: Reading) -> None:
        """Go by a reading that somebody has taken."""
        with self._lock:
            self._current = reading

    def renewed(self, old: Reading | None) -> Reading:
        """Return a reading that is newer than `old`: of several who ask, the first one takes it."""
        with self._lock:
            if self._current is None or self._current is old:
                self._current = self._take()
            return self._current

    def find(self, chunk: ChunkId) -> _Found | None:
        """Return a pack that has the chunk, and where; or None, by what the store says now."""
        reading, last = self.current(), self._last
        if last is not None and last[0] is reading and last[1] == chunk:
            return last[2]
        found = reading.find(chunk) or self._mistrusted(reading).find(chunk)
        if found is not None:
            self._last = (reading, chunk, found)
        return found

    def _mistrusted(self, old: Reading) -> Reading:
        """Return a reading to look into where `old` lacks a chunk, before that is believed.

        The first time it owes nothing to what was kept on this machine; then it is one that is not
        much older than the question.
        """
        with self._lock:
            old_news = time.monotonic() - old.taken > _FRESH_S
            if self._trusts_cache or (self._current is old and old_news):
                if self._trusts_cache:
                    self._tables.discard()
                self._trusts_cache = False
                self._current = self._take()
            return self._current or old
