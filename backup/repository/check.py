"""Is what is stored there, readable and right?

The structure is always checked: every object but packs is read, every snapshot's manifest too, and
every piece of a file lies within a chunk that is in a pack that is there and whole. Of the packs'
data as much is read as was asked for: their bytes are what their id says, each blob opens and is
the chunk that it claims to be. What is found is reported, not raised: one damaged object must not
hide another.

Backups and prunes may go on meanwhile: snapshots are listed before indexes and indexes before
packs, so what a listed snapshot needs is there by the time it is looked for, and what is missed is
looked for once more by a new reading.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from backup.errors import IntegrityError, NoSuchSnapshot, RepositoryError, UnsupportedFormat
from backup.paths import printable
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import ahead, annotation, keyfile, marker, recovery
from backup.repository.actor import Actor
from backup.repository.finder import Finder
from backup.repository.judging import JudgedStore
from backup.repository.manifest import Extent, Line, Member, Note, chunk_of, to_bytes
from backup.repository.names import INDEX, KEYS, PACKS, ChunkId, PackId, SnapshotId
from backup.repository.pack import TARGET_SIZE
from backup.repository.packcheck import PackFaults, check_pack
from backup.repository.reading import REPAIR, Reading, Readings
from backup.repository.repository import SHORT_ID, Repository, intact
from backup.repository.snapshot import Snapshot
from backup.repository.usage import Walker
from transports.errors import ObjectNotFound

_SHOWN: Final = 10
_AT_ONCE: Final = 3
_SIZE_AT_ONCE: Final = 4 * TARGET_SIZE
_SIZE_FROM_AFAR: Final = 3 * TARGET_SIZE
"""Packs in memory, and their bytes; small ones may be more where the store is far away. There the
bytes of a reply are held twice for a moment."""
SAMPLE_SIZE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong; `snapshot` is the snapshot that suffers, where it is known."""

    object: str
    text: str
    snapshot: SnapshotId | None = None


@dataclass(slots=True)
class Checked:
    """What a check saw; sizes in bytes. `size` is that of all packs, `read` of those that were
    read. `unlisted` packs are in no index, and no snapshot needs them; `condemned` ones wait for
    prune to delete them. `notes` are sentences about what is no damage; `hint` is what mends the
    damage that can be mended."""

    packs: int = 0
    chunks: int = 0
    snapshots: int = 0
    size: int = 0
    read: int = 0
    unlisted: int = 0
    condemned: int = 0
    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class ReadData:
    """How much of the packs is read: a share of them, or about so many bytes, chosen at random."""

    share: float | None = None
    size: int | None = None

    def sample(self, packs: dict[PackId, int]) -> list[PackId]:
        """Choose among packs, given with their sizes."""
        chosen = sorted(packs)
        random.SystemRandom().shuffle(chosen)
        total = sum(packs.values())
        limit = self.size if self.share is None else total * self.share
        if limit is None or limit >= total:
            return sorted(packs)
        taken: list[PackId] = []
        for pack in chosen:
            if limit <= 0:
                break
            taken.append(pack)
            limit -= packs[pack]
        return taken


EVERYTHING: Final = ReadData(share=1.0)


def check(repository: Repository, on_event: OnEvent, read_data: ReadData = EVERYTHING) -> Checked:
    """Check a repository. Raises TransportError where the store fails, not just one object."""
    judged = repository.afresh(JudgedStore(repository.store))
    return _Check(judged, on_event).run(read_data)


class _Check:
    """One run. It goes by nothing that is kept on this machine."""

    def __init__(self, repository: Repository, on_event: OnEvent) -> None:
        self._repository = repository
        self._on_event = on_event
        self._found = Checked()
        self._bad: set[tuple[PackId, str]] = set()
        self._missed: set[PackId] = set()
        self._unlisted: set[PackId] = set()
        self._needed: set[PackId] = set()

    def run(self, read_data: ReadData) -> Checked:
        repository, found = self._repository, self._found
        found.notes.extend(recovery.notes(repository.store))
        ids = repository.snapshot_ids()
        actor = Actor(repository)
        reading = actor.reading()
        found.damages += [_of_error(error) for error in reading.damaged]
        self._check_small_objects()
        self._count(reading, actor.sizes)
        self._unlisted = reading.view.unlisted
        finder = Finder(repository)
        repository.readings = Readings(finder.take, repository.tables)
        repository.readings.replace(finder.widened(reading, actor.sizes))
        self._read_packs(read_data.sample(actor.sizes), actor.sizes, reading)
        self._check_snapshots(ids)
        for pack in sorted(self._missed):
            text = "it is missing, or cut off, and a snapshot needs it"
            found.damages.append(Damage(f"{PACKS}/{pack}", text))
        self._judge_indexes(len(reading.damaged))
        return found

    def _judge_indexes(self, first: int) -> None:
        """Say first, at that place, what makes whole packs look as if they were lost."""
        found = self._found
        again = self._repository.afresh(self._repository.store)
        unlisted = again.take_reading().view.unlisted if self._needed else set()
        needed = self._needed & unlisted
        found.unlisted -= len(needed)
        if needed:
            text = f"{len(needed)} packs that snapshots need are in no index"
            found.damages.insert(first, Damage(INDEX, text))
        if any(each.object.partition("/")[0] == INDEX for each in found.damages):
            found.hint = REPAIR

    def _check_small_objects(self) -> None:
        store, keys, damages = self._repository.store, self._repository.keys, self._found.damages
        for info in store.list(KEYS):
            try:
                keyfile.created(intact(store, info.name))
            except ObjectNotFound:
                continue  # removed since it was listed
            except (IntegrityError, UnsupportedFormat) as error:
                damages.append(Damage(info.name, f"no password opens it: {error}"))
        for errors in (marker.load(store, keys)[1], annotation.load(store, keys)[1]):
            damages += [_of_error(error) for error in errors]

    def _count(self, reading: Reading, sizes: dict[PackId, int]) -> None:
        found, view = self._found, reading.view
        whole = view.live | view.spare
        found.packs, found.size = len(sizes), sum(sizes.values())
        found.condemned = len(view.spare)
        for listed in reading.tables.listed():
            if listed.id in whole:
                found.chunks += listed.blobs
            elif listed.id in sizes and sizes[listed.id] != listed.size:
                text = f"it has {sizes[listed.id]} bytes, and its table says {listed.size}"
                found.damages.append(Damage(f"{PACKS}/{listed.id}", text))
                found.unlisted -= 1
        found.unlisted += len(view.unlisted)

    def _read_packs(
        self, packs: Sequence[PackId], sizes: dict[PackId, int], reading: Reading
    ) -> None:
        size = sum(sizes[pack] for pack in packs)
        self._on_event(Started("check", "packs", size, len(packs), unit="packs"))
        at_once = ahead.opening(self._repository.store, size, _AT_ONCE)
        work = partial(self._read, reading)
        most = _SIZE_AT_ONCE if self._repository.store.parallel == 1 else _SIZE_FROM_AFAR
        some = ahead.mapped(work, packs, at_once, size=sizes.__getitem__, most=most)
        for faults in some:
            self._take(faults)
            self._on_event(Advanced(faults.size, 1))
        self._on_event(Finished("check", "packs"))

    def _read(self, reading: Reading, pack: PackId) -> PackFaults:
        return check_pack(self._repository, pack, reading.tables.table(pack))

    def _take(self, faults: PackFaults) -> None:
        self._found.read += faults.size
        self._bad.update((faults.pack, chunk) for chunk in faults.chunks)
        self._found.damages += [Damage(f"{PACKS}/{faults.pack}", text) for text in faults.texts]

    def _check_snapshots(self, ids: list[SnapshotId]) -> None:
        self._on_event(Started("check", "snapshots", 0, len(ids), unit="snapshots"))
        walker = Walker(self._repository.read)
        suspects: set[Extent] = set()
        every = self._repository.records(ids)
        records = walker.prepared(every, ahead.small(self._repository.store))
        for snapshot_id, record in zip(ids, records, strict=True):
            self._found.snapshots += 1
            for text in self._faults(record, walker, suspects):
                where = f"snapshots/{snapshot_id[:SHORT_ID]}"
                self._found.damages.append(Damage(where, text, snapshot=snapshot_id))
            self._on_event(Advanced(0, 1))
        self._on_event(Finished("check", "snapshots"))

    def _faults(
        self, snapshot: Snapshot | RepositoryError, walker: Walker, suspects: set[Extent]
    ) -> Iterator[str]:
        """Yield what is wrong with a snapshot: that its manifest cannot be read, or some files.

        `suspects` are the pieces of manifests that name what cannot be read.
        """
        if isinstance(snapshot, RepositoryError):
            if not isinstance(snapshot, NoSuchSnapshot):  # that was deleted since it was listed
                yield str(snapshot)
            return
        try:
            broken = [extent for extent in snapshot.manifest if not self._is_whole(extent)]
            if broken:
                chunk = broken[0].chunk[:16]
                yield f"{snapshot.source}: its manifest is damaged: chunk {chunk} is not whole"
                return
            named = walker.extents(snapshot.manifest)
            suspects.update(piece for piece, extent in named if not self._is_whole(extent))
            if not suspects.isdisjoint(snapshot.manifest):
                suffering = list(self._suffering(self._repository.manifest(snapshot)))
                yield from (f"{snapshot.source}: {text}" for text in _shown(suffering))
        except RepositoryError as error:
            yield str(error)

    def _suffering(self, lines: Iterable[Line]) -> Iterator[bytes]:
        """Yield the paths whose bodies need a chunk that is not whole."""
        path = b""
        for line in lines:
            if isinstance(line, Note):
                continue
            path = to_bytes(line.path) if isinstance(line, Member) else path
            if not all(self._is_whole(extent) for extent in line.extents):
                yield path

    def _is_whole(self, extent: Extent) -> bool:
        size = self._size(chunk_of(extent))
        return 0 <= extent.offset <= extent.offset + extent.length <= size

    def _size(self, chunk: ChunkId) -> int:
        """Return the size of a chunk, -1 where no pack has it as it should be."""
        text = chunk.hex()
        found = self._repository.readings.find(chunk)
        if found is not None and (found[0].id, text) not in self._bad:
            if found[0].id in self._unlisted and self._is_listed_nowhere(chunk):
                self._needed.add(found[0].id)
            return found[1].size
        reading = self._repository.readings.current()
        there = reading.view.live | reading.view.spare
        for place in reading.tables.places(chunk):
            if place.pack.id not in there:
                self._missed.add(place.pack.id)
            elif (place.pack.id, text) not in self._bad:
                return place.blob.size
        return -1

    def _is_listed_nowhere(self, chunk: ChunkId) -> bool:
        places = self._repository.readings.current().places(chunk)
        return all(place.pack.id in self._unlisted for place in places)


def _shown(suffering: list[bytes]) -> Iterator[str]:
    for path in suffering[:_SHOWN]:
        yield f"{printable(path) or 'the end of the archive'} cannot be read whole"
    if len(suffering) > _SHOWN:
        yield f"and {len(suffering) - _SHOWN} more files cannot be read whole"


def _of_error(error: RepositoryError) -> Damage:
    text = str(error)
    name = text.partition(" ")[0]
    return Damage(name if "/" in name else "repository", text)
