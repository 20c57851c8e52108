"""Manifests read in pieces, so that what successive snapshots share is looked at once.

A manifest is stored in chunks, and most of them are those of the snapshot before. A *piece* is one
of them. All records that lie wholly in a piece are looked at when it is met for the first time;
later only what came of that is needed, and the few bytes at its ends that are parts of records.

Each manifest brings few new pieces, and so few requests, which a store that is far away answers
one after the other: so those of the next manifests are asked for meanwhile.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from backup.errors import IntegrityError
from backup.repository import Extent, Line, Repository, ahead
from backup.repository.manifest import Ends, cut, decode_lines, seams

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)
_AHEAD: Final = 8 << 20
"""Bytes of pieces that are read ahead, at most."""


@dataclass(frozen=True, slots=True)
class _Piece(Generic[Result]):
    """What is kept of a piece: its ends, and what was made of the records between them."""

    ends: Ends
    result: Result


_Part = tuple[Sequence[Extent], list[Extent]]


class Pieces(Generic[Result]):
    """Looks at manifests, one after the other; remembers the pieces of the last one."""

    def __init__(self, repository: Repository, look: Callable[[Iterable[Line]], Result]) -> None:
        """`look` makes a result of successive records; it is called for each piece, and between."""
        self._repository = repository
        self._look = look
        self._known: dict[Extent, _Piece[Result]] = {}

    def of_each(
        self, manifests: Iterable[Sequence[Extent]]
    ) -> Generator[Iterator[Result], None, None]:
        """Yield what was made of each manifest: all results are to be taken before the next.

        That raises IntegrityError, and may nevertheless be asked for the next.
        """
        self._repository.readings.current()  # or each thread would take one of its own
        at_once = ahead.small(self._repository.store)
        parts = ahead.mapped(self._early, _new(manifests), at_once, size=_size, most=_AHEAD)
        with closing(parts):
            for manifest, early in parts:
                yield self._results(manifest, early)

    def _early(self, part: _Part) -> tuple[Sequence[Extent], Mapping[Extent, bytes]]:
        """Read the new pieces of a manifest, where they are few; what fails is tried again."""
        manifest, new = part
        if _size(part) > _AHEAD // 2:
            return manifest, {}
        try:
            read = map(bytes, self._repository.read(new))
            return manifest, dict(zip(new, read, strict=True))
        except IntegrityError:
            return manifest, {}

    def _results(
        self, manifest: Sequence[Extent], early: Mapping[Extent, bytes]
    ) -> Iterator[Result]:
        new = [extent for extent in dict.fromkeys(manifest) if extent not in self._known]
        late = [extent for extent in new if extent not in early]
        read = {extent: self._piece(early[extent]) for extent in new if extent in early}
        read |= zip(late, map(self._piece, self._repository.read(late)), strict=True)
        self._known = {extent: read.get(extent) or self._known[extent] for extent in manifest}
        pieces = [self._known[extent] for extent in manifest]
        for piece, line in seams((piece, piece.ends) for piece in pieces):
            yield self._look(decode_lines((line,)))
            yield piece.result

    def _piece(self, data: bytes | memoryview) -> _Piece[Result]:
        ends, lines = cut(bytes(data))
        return _Piece(ends, self._look(decode_lines((lines,))))


def _new(manifests: Iterable[Sequence[Extent]]) -> Iterator[_Part]:
    """Yield each manifest, and those of its pieces that the one before has not."""
    before: set[Extent] = set()
    for manifest in manifests:
        yield manifest, [extent for extent in dict.fromkeys(manifest) if extent not in before]
        before = set(manifest)


def _size(part: _Part) -> int:
    return length(part[1])


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
