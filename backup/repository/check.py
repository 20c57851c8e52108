"""Is everything that is stored readable and right?

Every object is read: packs are what their id says, each blob opens and is the chunk that it claims
to be, indexes agree with the packs, every snapshot's manifest can be read and every extent lies
within a chunk that is there. What is found is reported, not raised: one damaged object must not
hide another.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backup.errors import IntegrityError, NoSuchSnapshot, RepositoryError
from backup.paths import printable
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import recovery, sealed
from backup.repository.crypto import digest
from backup.repository.index import IndexObject
from backup.repository.manifest import Extent, Line, Member, Note, chunk_of, to_bytes
from backup.repository.names import INDEX, KEYS, PACKS, ChunkId, PackId, SnapshotId, id_of
from backup.repository.pack import PackReader, PackTable
from backup.repository.repository import SHORT_ID, Repository, intact
from transports.errors import ObjectNotFound

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong; `snapshot` is the snapshot that suffers, where it is known."""

    object: str
    text: str
    snapshot: SnapshotId | None = None


@dataclass(slots=True)
class Checked:
    """What a check saw; sizes in bytes. `notes` are sentences about what is no damage."""

    packs: int = 0
    chunks: int = 0
    snapshots: int = 0
    size: int = 0
    unlisted: int = 0
    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(repository: Repository, on_event: OnEvent) -> Checked:
    """Read and check all of a repository. Raises TransportError where the store fails.

    Backups may go on meanwhile: snapshots are listed before indexes and indexes before packs, so
    whatever a listed snapshot needs is there by the time it is looked for.
    """
    found = Checked()
    found.notes.extend(recovery.notes(repository.store))
    _check_keys(repository, found)
    ids = repository.snapshot_ids()
    tables = _check_indexes(repository, found)
    whole = _check_packs(repository, found, tables, on_event)
    _check_snapshots(repository, ids, found, whole, on_event)
    return found


def _check_keys(repository: Repository, found: Checked) -> None:
    for info in repository.store.list(KEYS):
        try:
            intact(repository.store, info.name)
        except ObjectNotFound:
            continue  # removed since it was listed
        except IntegrityError:
            found.damages.append(Damage(info.name, "its bytes are not those that its id names"))


def _check_indexes(repository: Repository, found: Checked) -> dict[PackId, PackTable]:
    tables: dict[PackId, PackTable] = {}
    for info in list(repository.store.list(INDEX)):
        try:
            data = repository.store.get(info.name)
            read = sealed.decode(repository.keys, INDEX, id_of(info.name), data, IndexObject)
        except ObjectNotFound:
            continue  # another run put a new one in its place
        except RepositoryError as error:
            found.damages.append(Damage(info.name, str(error)))
            continue
        tables.update((table.pack, table) for table in read.tables)
    return tables


def _check_packs(
    repository: Repository,
    found: Checked,
    tables: dict[PackId, PackTable],
    on_event: OnEvent,
) -> dict[ChunkId, int]:
    """Return the sizes of all chunks that are whole, by id."""
    infos = list(repository.store.list(PACKS))
    on_event(Started("check", "packs", sum(info.size for info in infos), len(infos), unit="packs"))
    whole: dict[ChunkId, int] = {}
    for info in infos:
        pack = PackId(id_of(info.name))
        found.packs += 1
        found.size += info.size
        try:
            _check_pack(repository, pack, tables.pop(pack, None), found, whole)
        except (RepositoryError, ObjectNotFound) as error:
            found.damages.append(Damage(info.name, str(error)))
        on_event(Advanced(info.size, 1))
    for pack in tables:
        found.damages.append(Damage(f"packs/{pack}", "an index lists it, and it is missing"))
    on_event(Finished("check", "packs"))
    found.chunks = len(whole)
    return whole


def _check_pack(
    repository: Repository,
    pack: PackId,
    listed: PackTable | None,
    found: Checked,
    whole: dict[ChunkId, int],
) -> None:
    data = repository.store.get(f"{PACKS}/{pack}")
    right = digest(data) == pack
    if not right:
        found.damages.append(Damage(f"{PACKS}/{pack}", "its bytes are not those that its id names"))
    largest = repository.descriptor.data_chunks.maximum
    envelope = bytes.fromhex(listed.envelope) if listed else data
    reader = PackReader.of_envelope(repository.keys, pack, envelope, largest)
    if listed is None:
        found.unlisted += 1
    table = reader.table(data) if right or listed is None else listed
    if right and listed is not None and table != listed:
        found.damages.append(Damage(f"{PACKS}/{pack}", "an index contradicts its table"))
    view = memoryview(data)
    for blob in table.blobs:
        try:
            chunk = reader.open(blob, view[blob.offset : blob.offset + blob.length])
        except IntegrityError as error:
            found.damages.append(Damage(f"{PACKS}/{pack}", str(error)))
            continue
        if listed is not None:
            whole[ChunkId(bytes.fromhex(blob.chunk))] = len(chunk)


def _check_snapshots(
    repository: Repository,
    ids: list[SnapshotId],
    found: Checked,
    whole: dict[ChunkId, int],
    on_event: OnEvent,
) -> None:
    on_event(Started("check", "snapshots", 0, len(ids), unit="snapshots"))
    for snapshot_id in ids:
        found.snapshots += 1
        for text in _faults(repository, snapshot_id, whole):
            found.damages.append(
                Damage(f"snapshots/{snapshot_id[:SHORT_ID]}", text, snapshot=snapshot_id)
            )
        on_event(Advanced(0, 1))
    on_event(Finished("check", "snapshots"))


def _faults(
    repository: Repository, snapshot_id: SnapshotId, whole: dict[ChunkId, int]
) -> Iterator[str]:
    """Yield what is wrong with a snapshot: that its manifest cannot be read, or the first files."""
    try:
        snapshot = repository.snapshot(snapshot_id)
        missing = [extent for extent in snapshot.manifest if chunk_of(extent) not in whole]
        if missing:
            chunk = missing[0].chunk[:16]
            yield f"{snapshot.source}: its manifest is damaged: chunk {chunk} is not whole"
            return
        suffering = list(_suffering(repository.manifest(snapshot), whole))
    except NoSuchSnapshot:
        return  # forgotten since it was listed
    except RepositoryError as error:
        yield str(error)
        return
    for path in suffering[:_SHOWN]:
        shown = printable(path) or "the end of the archive"
        yield f"{snapshot.source}: {shown} cannot be read whole"
    if len(suffering) > _SHOWN:
        more = len(suffering) - _SHOWN
        yield f"{snapshot.source}: and {more} more files cannot be read whole"


def _suffering(lines: Iterable[Line], whole: dict[ChunkId, int]) -> Iterator[bytes]:
    """Yield the paths whose bodies need a chunk that is not whole."""
    path = b""
    for line in lines:
        if isinstance(line, Note):
            continue
        path = to_bytes(line.path) if isinstance(line, Member) else path
        if not all(_within(extent, whole) for extent in line.extents):
            yield path


def _within(extent: Extent, whole: dict[ChunkId, int]) -> bool:
    return 0 <= extent.offset <= extent.offset + extent.length <= whole.get(chunk_of(extent), -1)
