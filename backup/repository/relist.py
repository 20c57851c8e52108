"""Tables from the packs themselves, for packs that no index lists."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from backup.errors import RepositoryError
from backup.repository import ahead, index
from backup.repository.crypto import ENVELOPE_SIZE
from backup.repository.names import PACKS, PackId, object_name
from backup.repository.pack import PackReader, PackTable
from transports.errors import ObjectNotFound

if TYPE_CHECKING:
    from backup.repository.repository import Repository

_TAIL: Final = 64 << 10
"""A table is seldom larger; where it is, the whole pack is fetched."""


def table_of(repository: "Repository", pack: PackId, size: int) -> PackTable:
    """Read the table of a pack of `size` bytes. Raises IntegrityError, ObjectNotFound."""
    name = object_name(PACKS, pack)
    envelope = repository.store.get(name, 0, ENVELOPE_SIZE)
    largest = repository.descriptor.data_chunks.maximum
    reader = PackReader.of_envelope(repository.keys, pack, envelope, largest)
    first = max(0, size - _TAIL)
    try:
        return reader.table(repository.store.get(name, first), first=first)
    except RepositoryError:
        if not first:
            raise
        return reader.table(repository.store.get(name))


def read_tables(
    repository: "Repository", packs: Iterable[tuple[PackId, int]]
) -> Iterator[tuple[PackId, PackTable | RepositoryError]]:
    """Yield each pack, given with its size, and its table, or what is wrong with it. Packs that are
    not there are left out."""

    def read(
        pack_and_size: tuple[PackId, int],
    ) -> tuple[PackId, PackTable | RepositoryError | None]:
        pack, size = pack_and_size
        try:
            return pack, table_of(repository, pack, size)
        except ObjectNotFound:
            return pack, None
        except RepositoryError as error:
            return pack, error

    for pack, found in ahead.mapped(read, packs, ahead.small(repository.store)):
        if found is not None:
            yield pack, found


def relist(
    repository: "Repository", packs: Iterable[tuple[PackId, int]]
) -> Iterator[tuple[PackId, RepositoryError | None]]:
    """Put indexes of packs, given with their sizes; yield each, and what is wrong with it if it
    cannot be listed. All are on the store when the last one was yielded."""
    tables: list[PackTable] = []
    for pack, read in read_tables(repository, packs):
        if isinstance(read, RepositoryError):
            yield pack, read
            continue
        tables.append(read)
        if len(tables) == index.PACKS_PER_OBJECT:
            put_tables(repository, tables)
            tables.clear()
        yield pack, None
    put_tables(repository, tables)


def put_tables(repository: "Repository", tables: Sequence[PackTable]) -> None:
    """Put index objects with tables of packs that are on the store."""
    for first in range(0, len(tables), index.PACKS_PER_OBJECT):
        some = tables[first : first + index.PACKS_PER_OBJECT]
        made = index.save(repository.store, repository.keys, some, repository.clock())
        repository.tables.add(*made)
