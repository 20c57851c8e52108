"""What snapshots use: a walk over their manifests, and the sum of it by pack."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final

from backup.errors import RepositoryError
from backup.repository.manifest import Ends, Extent, Note, cut, decode_lines, seams, to_chunk
from backup.repository.names import ChunkId, PackId
from backup.repository.reading import Reading
from backup.repository.snapshot import Snapshot
from backup.repository.tables import Place

_PREPARED: Final = 16 << 20
"""Bytes of manifests that are fetched before they are needed, at most."""
_REMEMBERED: Final = 100_000
_Record = Snapshot | RepositoryError
Read = Callable[[Iterable[Extent]], Iterator[memoryview]]


class Walker:
    """Names what is in one manifest after the other.

    Successive manifests share most of their chunks, and a chunk's lines say the same in each, so
    every chunk of a manifest is read once, and only lines that reach from one into the next are
    looked at again.
    """

    def __init__(self, read: Read) -> None:
        """`read` yields the bytes of each extent."""
        self._read = read
        self._ends: dict[Extent, Ends] = {}
        self._ready: dict[Extent, bytes] = {}

    def prepared(self, records: Iterable[_Record], at_once: int) -> Iterator[_Record]:
        """Pass on snapshots that are walked over next, and fetch what is new in the manifests of
        so many at once: to ask for one after the other costs a reply's time each."""
        left = iter(records)
        while some := list(islice(left, at_once)):
            if at_once > 1:
                self._prepare(each.manifest for each in some if isinstance(each, Snapshot))
            yield from some

    def _prepare(self, manifests: Iterable[Iterable[Extent]]) -> None:
        """Fetch pieces of manifests. One that cannot be read is left for its own walk to meet."""
        self._ready = {}
        new: list[Extent] = []
        left = _PREPARED
        for piece in self._new(chain.from_iterable(manifests)):
            left -= piece.length
            if left < 0:
                break
            new.append(piece)
        with suppress(RepositoryError):
            for piece, data in zip(new, self._read(new), strict=True):
                self._ready[piece] = bytes(data)

    def _new(self, pieces: Iterable[Extent]) -> list[Extent]:
        return list(dict.fromkeys(piece for piece in pieces if piece not in self._ends))

    def chunks(self, manifest: Iterable[Extent]) -> Iterator[str]:
        """Yield the ids (hex) of the chunks that a manifest names and that it lies in.

        Those that another manifest has named too may be left out. Raises IntegrityError where the
        manifest is damaged.
        """
        extents = list(manifest)
        before = ""
        for extent in extents:
            yield extent.chunk
        for _, named in self.extents(extents):
            if named.chunk != before:
                before = named.chunk
                yield before

    def extents(self, manifest: Iterable[Extent]) -> Iterator[tuple[Extent, Extent]]:
        """Yield pieces of the manifest, and what is named there.

        Pieces that another manifest shares are passed over: they name what they named there.
        Raises IntegrityError where the manifest is damaged.
        """
        pieces = list(manifest)
        new = self._new(pieces)
        rest = [piece for piece in new if piece not in self._ready]
        ready = [(piece, self._ready.pop(piece)) for piece in new if piece in self._ready]
        for piece, data in chain(ready, zip(rest, self._read(rest), strict=True)):
            ends, lines = cut(bytes(data))
            for extent in _named(lines):
                yield piece, extent
            self._ends[piece] = ends
        for piece, line in seams((piece, self._ends[piece]) for piece in pieces):
            for extent in _named(line):
                yield piece, extent


def _named(lines: bytes) -> Iterator[Extent]:
    for line in decode_lines([lines]):
        if not isinstance(line, Note):
            yield from line.extents


@dataclass(slots=True)
class _Used:
    """Which blobs of one pack are used, a bit each, and the bytes that they take in it."""

    bits: bytearray
    size: int = 0
    manifests: bool = False


@dataclass(slots=True)
class PackUsage:
    """What snapshots use, by the pack that has it.

    Of several packs with a chunk one counts as used, the same one in every run, so that the others
    may go. `lacking` are the used chunks that no live pack holds.
    """

    reading: Reading
    lacking: set[ChunkId] = field(default_factory=set)
    _packs: dict[PackId, _Used] = field(default_factory=dict)
    _lately: set[str] = field(default_factory=set)

    def mark(self, text: str, *, manifest: bool = False) -> None:
        """Count a chunk (hex) as used, be it as a part of a manifest.

        Raises IntegrityError where no pack that is there has it.
        """
        if text in self._lately:
            return
        if len(self._lately) >= _REMEMBERED:
            self._lately.clear()
        chunk = to_chunk(text)
        places = self.reading.places(chunk)
        if not places:
            raise self.reading.lacks(text)
        if places[0].pack.id in self.reading.view.live:
            self._count(places[0], manifest=manifest)
        else:
            self.lacking.add(chunk)
        self._lately.add(text)

    @property
    def total(self) -> int:
        """How many bytes of all live packs are used."""
        return sum(used.size for used in self._packs.values())

    def size(self, pack: PackId) -> int:
        """Return how many bytes of a pack are used."""
        used = self._packs.get(pack)
        return used.size if used else 0

    def has(self, pack: PackId, number: int) -> bool:
        """Return whether the blob of that number in the pack's table is used there."""
        used = self._packs.get(pack)
        if used is None or number // 8 >= len(used.bits):
            return False
        return bool(used.bits[number // 8] & (1 << number % 8))

    def of_manifests(self, pack: PackId) -> bool:
        """Return whether a pack holds chunks of manifests."""
        used = self._packs.get(pack)
        return used is not None and used.manifests

    def _count(self, place: Place, *, manifest: bool) -> None:
        used = self._packs.setdefault(place.pack.id, _Used(bytearray()))
        used.manifests |= manifest
        at, bit = place.number // 8, 1 << place.number % 8
        if at >= len(used.bits):
            used.bits.extend(bytes(at + 1 - len(used.bits)))
        if not used.bits[at] & bit:
            used.bits[at] |= bit
            used.size += place.blob.length
