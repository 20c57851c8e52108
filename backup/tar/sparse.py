"""Read the maps of sparse members, to know where their bodies end.

GNU tar extracts a sparse member by its map: every region takes whole 512-byte blocks of the body. A
map that takes more blocks than the header says would make tar read on into the members behind it,
and see members where nobody else sees any. So each map is added up here and compared with the
header's size.

    old GNU    type S; 4 regions in the header, 21 in each extension block that follows
    pax 0.0    GNU.sparse.numblocks, then GNU.sparse.offset and .numbytes once for each region
    pax 0.1    GNU.sparse.map=offset,size,offset,size,…
    pax 1.0    GNU.sparse.major=1; the map is text in the first blocks of the body
"""

from backup.tar.header import BLOCK, MAX_SIZE, HeaderError, decimal, number

_APPARENT = ("GNU.sparse.realsize", "GNU.sparse.size")
MAX_NUMBERS = 1_000_000
"""Numbers in a map of version 0.1, which is held in memory."""
_REGION = 24
_TOO_LARGE = "the map of a sparse file is larger than its body"
_IN_HEADER = range(386, 386 + 4 * _REGION, _REGION)
_IN_EXTENSION = range(0, 21 * _REGION, _REGION)


def blocks_of(size: int) -> int:
    """Give the number of blocks that `size` bytes take."""
    return -(-size // BLOCK)


class OldMap:
    """The map of an old GNU sparse member, read from its header and then from its extension blocks.

    `wants_more` tells whether another extension block follows.
    """

    def __init__(self, header: bytes, size: int) -> None:
        self._limit = blocks_of(size)
        self._blocks = 0
        self.apparent = number(header[483:495])
        if self.apparent < 0:
            raise HeaderError("the size of a sparse file is negative")
        self.wants_more = self._add(header, _IN_HEADER, header[482])

    def extend(self, block: bytes) -> None:
        """Take in an extension block."""
        self.wants_more = self._add(block, _IN_EXTENSION, block[504])

    def _add(self, block: bytes, places: range, extended: int) -> bool:
        for at in places:
            if not block[at + 12]:
                if extended:
                    raise HeaderError("the map of a sparse file ends before its last extension")
                return False
            self._region(number(block[at : at + 12]), number(block[at + 12 : at + 24]))
        return bool(extended)

    def _region(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.apparent:
            raise HeaderError("the map of a sparse file goes beyond its end")
        self._blocks += blocks_of(size)
        if self._blocks > self._limit:
            raise HeaderError(_TOO_LARGE)


def pax_map(found: list[tuple[str, bytes]], size: int) -> "tuple[int, BodyMap | None]":
    """Check the sparse records of a pax header of a member whose body has `size` bytes.

    Give the file's apparent size, and the map if it is in the body. Raises HeaderError where GNU
    tar would not take the member for a sparse file.
    """
    values = dict(found)
    apparent = [decimal(key, value, MAX_SIZE) for key, value in found if key in _APPARENT]
    version = decimal("GNU.sparse.major", values.get("GNU.sparse.major", b"0"), 1)
    if not apparent or (version and not size):
        raise HeaderError("a sparse file has no size")
    if version:
        return apparent[-1], BodyMap(size)
    _check_regions(found, size)
    return apparent[-1], None


def _check_regions(found: list[tuple[str, bytes]], size: int) -> None:
    count = 0
    sizes: list[int] = []
    for key, value in found:
        if key == "GNU.sparse.numbytes":
            sizes.append(decimal(key, value, MAX_SIZE))
        elif key in ("GNU.sparse.numblocks", "GNU.sparse.map") and sizes:
            raise HeaderError("a sparse file has more than one map")
        elif key == "GNU.sparse.numblocks":
            count = decimal(key, value, MAX_SIZE)
        elif key == "GNU.sparse.map":
            sizes = _numbers(value)[1::2]
    if not sizes or len(sizes) != count:
        raise HeaderError("the map of a sparse file has not as many regions as it says")
    if sum(map(blocks_of, sizes)) > blocks_of(size):
        raise HeaderError(_TOO_LARGE)


def _numbers(value: bytes) -> list[int]:
    if value.count(b",") > MAX_NUMBERS:
        raise HeaderError("the map of a sparse file has too many regions")
    return [decimal("GNU.sparse.map", part, MAX_SIZE) for part in value.split(b",")]


class BodyMap:
    """The map of version 1.0, read while the body goes by."""

    _STEP = 8 * BLOCK
    _DIGITS = 20

    def __init__(self, size: int) -> None:
        self._limit = blocks_of(size)
        self._blocks = 0
        self._length = 0
        self._rest = b""
        self._missing: int | None = None

    def feed(self, piece: memoryview) -> None:
        """Take in the next piece of the body."""
        for at in range(0, len(piece), self._STEP):
            if self._missing == 0:
                return
            *lines, self._rest = (self._rest + bytes(piece[at : at + self._STEP])).split(b"\n")
            for line in lines:
                self._take(line)
            if len(self._rest) > self._DIGITS and self._missing != 0:
                raise HeaderError("the map of a sparse file is not made of numbers")

    def end(self) -> None:
        """The body is over: raise HeaderError where its map is not."""
        if self._missing != 0:
            raise HeaderError("the map of a sparse file is incomplete")

    def _take(self, line: bytes) -> None:
        if self._missing == 0:
            return
        value = decimal("the map of a sparse file", line, MAX_SIZE)
        self._length += len(line) + 1
        if self._missing is None:
            self._missing = 2 * value
        else:
            self._missing -= 1
            if self._missing % 2 == 0:
                self._blocks += blocks_of(value)
        if self._blocks + blocks_of(self._length) > self._limit:
            raise HeaderError(_TOO_LARGE)
