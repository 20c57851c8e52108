"""Where every chunk lies: chunk id → pack, offset, length (docs/format.md, section 8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from backup.repository import sealed
from backup.repository.crypto import Keys
from backup.repository.names import INDEX, PACKS, ChunkId, PackId, id_of, object_name
from backup.repository.pack import Blob, PackTable
from transports.errors import ObjectNotFound
from transports.store import Store

PACKS_PER_OBJECT: Final = 64


class IndexObject(msgspec.Struct, frozen=True):
    """What one object below index/ says: the tables of some packs."""

    tables: list[PackTable]


class Location(NamedTuple):
    """A chunk's place; its pack is the `pack`-th of the index."""

    pack: int
    offset: int
    length: int
    size: int


@dataclass(frozen=True, slots=True)
class IndexedPack:
    """A pack that an index names; `envelope` opens its blobs, `size` is in bytes."""

    id: PackId
    envelope: bytes
    size: int


class Index:
    """All tables of a repository, in memory."""

    def __init__(self) -> None:
        self._packs: list[IndexedPack] = []
        self._chunks: dict[ChunkId, Location] = {}

    def __contains__(self, chunk: ChunkId) -> bool:
        return chunk in self._chunks

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def packs(self) -> tuple[IndexedPack, ...]:
        return tuple(self._packs)

    def add(self, table: PackTable) -> None:
        """Take in what a pack holds; the first place known for a chunk stays."""
        number = len(self._packs)
        self._packs.append(IndexedPack(table.pack, bytes.fromhex(table.envelope), table.size))
        for blob in table.blobs:
            chunk = ChunkId(bytes.fromhex(blob.chunk))
            self._chunks.setdefault(chunk, Location(number, blob.offset, blob.length, blob.size))

    def find(self, chunk: ChunkId) -> tuple[IndexedPack, Blob] | None:
        """Return where a chunk lies, or None."""
        place = self._chunks.get(chunk)
        if place is None:
            return None
        return self._packs[place.pack], Blob(chunk.hex(), place.offset, place.length, place.size)


def load(store: Store, keys: Keys) -> Index:
    """Read all index objects, then list the packs; only packs that are there and whole count.

    A pack of another size than its table says is what a crash of a disk, or half a copy, left: its
    chunks are stored again by the next backup that has them. Raises IntegrityError where an index
    object is damaged.
    """
    tables: dict[PackId, PackTable] = {}
    for info in list(store.list(INDEX)):
        try:
            data = store.get(info.name)
        except ObjectNotFound:
            continue  # another run replaced it between the listing and now
        for table in sealed.decode(keys, INDEX, id_of(info.name), data, IndexObject).tables:
            tables[table.pack] = table
    sizes = {id_of(info.name): info.size for info in store.list(PACKS)}
    index = Index()
    for pack, table in tables.items():
        if sizes.get(pack) == table.size:
            index.add(table)
    return index


def save(store: Store, keys: Keys, tables: Iterable[PackTable]) -> None:
    """Put one index object with these tables, all of whose packs are on the store."""
    object_id, data = sealed.encode(keys, INDEX, IndexObject(list(tables)))
    store.put(object_name(INDEX, object_id), data)
