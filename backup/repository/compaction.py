"""Compaction: many small index objects become few (docs/format.md, section 12, rule 12)."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from backup.repository import ahead, index, sealed
from backup.repository.actor import Actor
from backup.repository.index import IndexObject
from backup.repository.names import INDEX, PackId, object_name
from backup.repository.pack import PackTable
from backup.repository.protocol import FULL, ListIndexes, Merge, Request, compact
from backup.repository.repository import Repository
from transports.errors import ObjectNotFound


def compact_indexes(repository: Repository, *, before: datetime) -> int:
    """Merge index objects, where it is worth it; return how many fewer there are.

    Those put after `before` are left alone: how long a pack has been known is told by the object
    that lists it. Raises TransportError, IntegrityError.
    """
    compactor = _Compactor(repository)
    compactor.run(compact(before))
    return compactor.merged


class _Compactor(Actor):
    merged = 0

    def perform(self, request: Request) -> Any:
        match request:
            case ListIndexes():
                return self._indexes()
            case Merge(objects, without):
                self._merge(objects, without)
            case _:
                return super().perform(request)
        return None

    def _indexes(self) -> dict[str, tuple[datetime, set[PackId]]]:
        if self.repository.tables.refresh():
            return {}  # what is damaged is left for `repair index`
        return {
            object_id: (datetime.fromtimestamp(time, UTC), packs)
            for object_id, (time, packs) in self.repository.tables.objects().items()
        }

    def _merge(self, objects: Collection[str], without: Collection[PackId]) -> None:
        """Put what the store itself says: objects that a spoilt cache knows half go after this."""
        known = self.repository.tables.objects()
        youngest = max(known[each][0] for each in objects)
        time = datetime.fromtimestamp(youngest, UTC) if youngest else None
        tables = self._tables(objects, set(without))
        groups = 0
        while group := list(islice(tables, FULL)):
            self.repository.tables.add(*index.save(self.store, self.keys, group, time))
            groups += 1
        self.merged = len(objects) - groups

    def _tables(self, objects: Collection[str], passed: set[PackId]) -> Iterator[PackTable]:
        """Yield the tables in some objects, one of each pack, but for those to be passed over."""
        for read in ahead.mapped(self._index, objects, self.store.parallel):
            for table in read.tables if read else ():
                if table.pack not in passed:
                    passed.add(table.pack)
                    yield table

    def _index(self, object_id: str) -> IndexObject | None:
        try:
            data = self.store.get(object_name(INDEX, object_id))
        except ObjectNotFound:
            return None  # another run has put a new one in its place
        return sealed.decode(self.keys, INDEX, object_id, data, IndexObject)
