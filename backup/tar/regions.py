"""Where the pieces of a body belong in the file that it describes.

The body of a sparse member holds the regions of the file that have data, one behind the other, each
padded to 512 bytes; a map says where they go. Of the four ways to write that map (`sparse`) three
are in the member's headers; the fourth stands at the beginning of the body.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from backup.blocks import Block
from backup.tar import header
from backup.tar.build import extended
from backup.tar.entry import Entry
from backup.tar.header import BLOCK

Region = tuple[int, int]
"""(offset, size) in the file, in bytes."""

_REGION = 24


def regions(entry: Entry) -> Iterator[tuple[int, Block]]:
    """Yield (offset in the file, bytes) for an entry's data, ascending; the body is consumed."""
    body = _Body(entry.body)
    found = _header_map(entry)
    if entry.pax.get("GNU.sparse.major") == b"1":
        found = _body_map(body)
    if found is None:
        offset = 0
        for block in body.rest():
            yield offset, block
            offset += len(block)
        return
    for offset, size in found:
        at = offset
        for block in body.take(size):
            yield at, block
            at += len(block)
        for _ in body.take(-size % BLOCK):
            pass


class _Body:
    """A body, taken in parts of known size."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._left: Block = b""

    def take(self, size: int) -> Iterator[Block]:
        """Yield the next `size` bytes, or what there is."""
        while size:
            if not self._left:
                self._left = next(self._blocks, b"")
                if not self._left:
                    return
            part, self._left = self._left[:size], self._left[size:]
            size -= len(part)
            yield part

    def rest(self) -> Iterator[Block]:
        """Yield everything that is left."""
        if self._left:
            yield self._left
        yield from self._blocks


def _body_map(body: _Body) -> list[Region]:
    """Read the map at the beginning of a body: numbers, one a line, padded to a block."""
    text = b""
    wanted = None
    while wanted is None or text.count(b"\n") < wanted:
        block = b"".join(bytes(part) for part in body.take(BLOCK))
        if not block:
            return []
        text += block
        if wanted is None and b"\n" in text:
            wanted = 1 + 2 * int(text.partition(b"\n")[0])
    numbers = [int(line) for line in text.split(b"\n")[1:wanted]]
    return _paired(numbers)


def _header_map(entry: Entry) -> list[Region] | None:
    """Return the map that an entry's headers give, None where they give none."""
    records, at = extended(entry.head)
    if entry.head[at + 156 : at + 157] == b"S":
        return _old_map(entry.head, at)
    return _pax_map(records)


def _pax_map(records: list[tuple[str, bytes]]) -> list[Region] | None:
    for key, value in records:
        if key == "GNU.sparse.map":
            return _paired([int(part) for part in value.split(b",")])
    keys = ("GNU.sparse.offset", "GNU.sparse.numbytes")
    numbers = [int(value) for key, value in records if key in keys]
    return _paired(numbers) if numbers else None


def _old_map(head: bytes, at: int) -> list[Region]:
    places = list(range(at + 386, at + 386 + 4 * _REGION, _REGION))
    for block in range(at + BLOCK, len(head), BLOCK):
        places += range(block, block + 21 * _REGION, _REGION)
    return [
        (header.number(head[place : place + 12]), header.number(head[place + 12 : place + 24]))
        for place in places
        if head[place + 12]
    ]


def _paired(numbers: list[int]) -> list[Region]:
    return list(pairwise(numbers))[::2]
