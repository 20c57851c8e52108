"""What snapshots hold, and what that takes on the store.

Every manifest is read once, source by source, and of what it shares with the one before only once
for both. Memory grows with the number of distinct chunks: 32 bytes and a place in a set for each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backup.pieces import Pieces, length
from backup.report import Advanced, OnEvent
from backup.repository import Extent, Line, Member, More, Repository, Snapshot
from backup.repository.manifest import chunk_of
from backup.repository.names import PACKS, ChunkId, id_of


@dataclass(slots=True)
class Usage:
    """What some snapshots come to; all but counts are in bytes.

    `size` is what restoring each of them would write, holes included. `referred` is what they are
    made of: the bodies of files without holes, and the manifests, each as often as it is needed.
    `chunks` of them are distinct, with `unique` bytes, which take `stored` bytes, compressed and
    sealed.
    """

    snapshots: int = 0
    entries: int = 0
    size: int = 0
    referred: int = 0
    chunks: int = 0
    unique: int = 0
    stored: int = 0

    @property
    def deduplication(self) -> float:
        """How many bytes refer to one that is distinct; 1 where there are none."""
        return self.referred / self.unique if self.unique else 1.0

    @property
    def compression(self) -> float:
        """How many distinct bytes one stored byte holds; 1 where there are none."""
        return self.unique / self.stored if self.stored else 1.0


@dataclass(frozen=True, slots=True)
class PackUsage:
    """All packs of a repository: their number, and bytes.

    `unused` bytes are no chunk that a snapshot needs which was taken in: chunks of snapshots that
    are forgotten (prune keeps them until these are deleted) or were never completed, second copies,
    and the tables of packs, which are less than 1 % mostly.
    Of `idle` packs, which have `idle_size` bytes, nothing is needed.
    """

    packs: int
    size: int
    unused: int
    idle: int
    idle_size: int


class _Tally(NamedTuple):
    """What the members of a part of a manifest come to."""

    entries: int
    size: int
    body_size: int


class Statistician:
    """Takes in one source after the other; in `total`, what they share is counted once."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._chunks: set[ChunkId] = set()
        self._packs: set[str] = set()
        self.total = Usage()

    def add(self, snapshots: Sequence[Snapshot], on_event: OnEvent) -> Usage:
        """Return what the snapshots of one source come to. Raises IntegrityError."""
        usage = Usage()
        chunks: set[ChunkId] = set()
        pieces = Pieces(self._repository, lambda lines: _tally(lines, chunks))
        results = pieces.of_each(snapshot.manifest for snapshot in snapshots)
        for snapshot, found in zip(snapshots, results, strict=True):
            _collect(snapshot.manifest, chunks)
            usage.snapshots += 1
            usage.referred += length(snapshot.manifest)
            for entries, size, body_size in found:
                usage.entries += entries
                usage.size += size
                usage.referred += body_size
            on_event(Advanced(length(snapshot.manifest), 1))
        self.total.snapshots += usage.snapshots
        self.total.entries += usage.entries
        self.total.size += usage.size
        self.total.referred += usage.referred
        self._weigh(chunks, usage)
        return usage

    def packs(self) -> PackUsage:
        """Compare all packs with what was taken in, which must be all snapshots."""
        number = size = idle = idle_size = 0
        for pack in self._repository.store.list(PACKS):
            number += 1
            size += pack.size
            if id_of(pack.name) not in self._packs:
                idle += 1
                idle_size += pack.size
        return PackUsage(number, size, size - self.total.stored, idle, idle_size)

    def _weigh(self, chunks: set[ChunkId], usage: Usage) -> None:
        """Add the sizes of a source's chunks to its usage, and those of new ones to the total."""
        for chunk in chunks:
            place = self._repository.readings.find(chunk)
            if place is None:
                raise self._repository.readings.current().lacks(chunk.hex())
            pack, blob = place
            shares = (usage,) if chunk in self._chunks else (usage, self.total)
            for share in shares:
                share.chunks += 1
                share.unique += blob.size
                share.stored += blob.length
            self._packs.add(pack.id)
        self._chunks |= chunks


def _tally(lines: Iterable[Line], chunks: set[ChunkId]) -> _Tally:
    entries = size = body_size = 0
    for line in lines:
        if isinstance(line, Member):
            body_size += line.body_size
            if line.kind not in "gz":
                entries += 1
                size += line.size if line.kind == "f" else 0
        if isinstance(line, Member | More):
            _collect(line.extents, chunks)
    return _Tally(entries, size, body_size)


def _collect(extents: Iterable[Extent], chunks: set[ChunkId]) -> None:
    last = ""
    for extent in extents:
        if extent.chunk != last:
            last = extent.chunk
            chunks.add(chunk_of(extent))
