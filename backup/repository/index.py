"""Index objects: where every chunk lies (docs/format.md, section 8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from backup.repository import sealed
from backup.repository.crypto import Keys
from backup.repository.names import INDEX, PackId, object_name
from backup.repository.pack import PackTable
from transports.store import Store

PACKS_PER_OBJECT: Final = 64
"""Tables in one index object, at most."""


class IndexObject(msgspec.Struct, frozen=True):
    """What one object below index/ says: the tables of some packs, and when it was put."""

    tables: list[PackTable]
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class IndexedPack:
    """A pack that an index names; `envelope` opens its blobs, `size` is in bytes."""

    id: PackId
    envelope: bytes
    size: int


def save(
    store: Store, keys: Keys, tables: Sequence[PackTable], time: datetime | None
) -> tuple[str, IndexObject]:
    """Put one index object with these tables, all of whose packs are on the store.

    `time` is when the youngest of them became known; prune leaves young packs alone.
    """
    made = IndexObject(list(tables), time)
    object_id, data = sealed.encode(keys, INDEX, made)
    store.put(object_name(INDEX, object_id), data)
    return object_id, made
