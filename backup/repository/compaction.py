"""Compaction: many small index objects become few (docs/format.md, section 12, rule 12)."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from backup.errors import IntegrityError
from backup.repository import index
from backup.repository.actor import Actor
from backup.repository.names import PackId
from backup.repository.pack import PackTable
from backup.repository.protocol import FULL, ListIndexes, Merge, Request, compact
from backup.repository.repository import Repository


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
        known = self.repository.tables.objects()
        youngest = max(known[each][0] for each in objects)
        time = datetime.fromtimestamp(youngest, UTC) if youngest else None
        packs = sorted(set().union(*(known[each][1] for each in objects)).difference(without))
        groups = range(0, len(packs), FULL)
        for first in groups:
            tables = [self._table(pack) for pack in packs[first : first + FULL]]
            self.repository.tables.add(*index.save(self.store, self.keys, tables, time))
        self.merged = len(objects) - len(groups)

    def _table(self, pack: PackId) -> PackTable:
        table = self.repository.tables.table(pack)
        if table is None:
            self.repository.tables.discard()
            raise IntegrityError(
                f"the table of pack {pack[:16]} was spoilt on this machine; nothing was lost",
                hint="run it again",
            )
        return table
