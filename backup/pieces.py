"""Manifests read in pieces, so that what successive snapshots share is looked at once.

A manifest is stored in chunks, and most of them are those of the snapshot before. A *piece* is one
of them. All records that lie wholly in a piece are looked at when it is met for the first time;
later only what came of that is needed, and the few bytes at its ends that are parts of records.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from backup.repository import Extent, Line, Repository
from backup.repository.manifest import Ends, cut, decode_lines, seams

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Piece(Generic[Result]):
    """What is kept of a piece: its ends, and what was made of the records between them."""

    ends: Ends
    result: Result


class Pieces(Generic[Result]):
    """Looks at manifests, one after the other; remembers the pieces of the last one."""

    def __init__(self, repository: Repository, look: Callable[[Iterable[Line]], Result]) -> None:
        """`look` makes a result of successive records; it is called for each piece, and between."""
        self._repository = repository
        self._look = look
        self._known: dict[Extent, _Piece[Result]] = {}

    def results(self, manifest: Sequence[Extent]) -> Iterator[Result]:
        """Yield what was made of all records of a manifest, in order. Raises IntegrityError."""
        new = [extent for extent in dict.fromkeys(manifest) if extent not in self._known]
        read = dict(zip(new, map(self._piece, self._repository.read(new)), strict=True))
        self._known = {extent: read.get(extent) or self._known[extent] for extent in manifest}
        pieces = [self._known[extent] for extent in manifest]
        for piece, line in seams((piece, piece.ends) for piece in pieces):
            yield self._look(decode_lines((line,)))
            yield piece.result

    def _piece(self, data: memoryview) -> _Piece[Result]:
        ends, lines = cut(bytes(data))
        return _Piece(ends, self._look(decode_lines((lines,))))


def length(manifest: Sequence[Extent]) -> int:
    """Return how many bytes a manifest has."""
    return sum(extent.length for extent in manifest)


def equal(
    repository: Repository, pairs: Mapping[Key, tuple[Sequence[Extent], Sequence[Extent]]]
) -> set[Key]:
    """Return the keys of those pairs that have the same bytes; each fits in memory.

    All are read at once: small files that are near each other lie in the same chunks. Raises
    IntegrityError.
    """
    extents = [extent for pair in pairs.values() for side in pair for extent in side]
    pieces = repository.read(extents)
    found = set()
    for key, pair in pairs.items():
        one, other = (b"".join(islice(pieces, len(side))) for side in pair)
        if one == other:
            found.add(key)
    return found
