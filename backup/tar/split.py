"""Cut a tar stream into its entries, and put entries together to a tar stream again.

`join(split(t)) == t`, byte for byte: an entry keeps its header blocks as they came, so nothing that
a tar program wrote is lost in translation; what is decoded beside them is for us. The stream may be
of any tar format: v7, ustar, GNU, oldgnu, pax, star, with sparse files in any of GNU's ways.

    extended headers, header   body              padding   extended headers, header   …   zeros
    head                       body_size bytes   to 512    head                           "z"

Where one body ends and the next header begins is read as GNU tar reads it when it extracts, because
it is what extracts: an archive that it would divide otherwise could hide members from our safety
checks. Where readers of tar disagree about that, the archive is refused.

A stream without its end-of-archive mark is a TruncatedArchive, even if it ends between two entries:
the end of a pipe looks the same for a tar that finished and for one that was killed.
"""

from collections.abc import Iterable, Iterator

from backup.blocks import Block, Blocks
from backup.errors import BackupError
from backup.paths import printable
from backup.tar import entry as members
from backup.tar import header as headers
from backup.tar.entry import NOTHING_AHEAD, Ahead, Entry
from backup.tar.header import BLOCK, ZERO_BLOCK, HeaderError
from backup.tar.sparse import BodyMap, OldMap

__all__ = ["Entry", "MalformedArchive", "TruncatedArchive", "join", "padding_of", "split"]

MAX_HEADER = 16 * 2**20
"""Bytes that an extended header, or the map of an old GNU sparse file, may have."""

_EXTENDED = {b"x": "records", b"X": "records", b"L": "path", b"K": "link"}
_PADDING = [bytes(size) for size in range(BLOCK)]


class TruncatedArchive(BackupError):
    """The tar stream ends before its end-of-archive mark."""


class MalformedArchive(BackupError):
    """The tar stream is damaged, or is none, or can be understood in two ways."""


def padding_of(size: int) -> int:
    """Give the number of bytes that pad a body of `size` bytes."""
    return -size % BLOCK


def join(entries: Iterable[Entry]) -> Blocks:
    """Put entries together to a tar stream; the last one should be the end ("z")."""
    for entry in entries:
        if entry.head:
            yield entry.head
        yield from entry.body
        if entry.body_size and entry.body_size % BLOCK:
            yield entry.padding or _PADDING[-entry.body_size % BLOCK]


def split(blocks: Blocks) -> Iterator[Entry]:
    """Cut a tar stream into entries, the last of which is the end ("z").

    A body is made of slices of the blocks: a piece is valid until the next one is asked for.
    What of a body was not read when the next entry is asked for is skipped.
    Raises TruncatedArchive or MalformedArchive, also while a body is read.
    """
    stream = _Stream(blocks)
    shared: dict[str, bytes] = {}
    kind = ""
    while kind != "z":
        try:
            entry = _entry(stream, shared)
        except HeaderError as error:
            raise stream.malformed(error) from None
        kind = entry.kind
        if entry.head[156:157] == b"g":
            shared = entry.pax
        yield entry
        stream.skip()
    for _ in stream.rest():
        pass


def _entry(stream: "_Stream", shared: dict[str, bytes]) -> Entry:
    block = stream.header()
    if block == ZERO_BLOCK:
        return members.end_of_archive(stream.rest())
    headers.verify(block)
    code = block[156:157]
    if code == b"g":
        raw, payload = _payload(stream, block)
        return members.about_archive(block + raw, headers.records(payload))
    ahead = NOTHING_AHEAD
    if code in _EXTENDED:
        ahead, block = _ahead(stream, block)
    entry, sparse_map = members.member(block, ahead, shared)
    if isinstance(sparse_map, OldMap):
        entry.head += _extensions(stream, sparse_map)
        sparse_map = None
    stream.begin(entry, sparse_map)
    return entry


def _ahead(stream: "_Stream", block: bytes) -> tuple[Ahead, bytes]:
    """Read extended headers from `block` on, and the header that they are for."""
    ahead = Ahead()
    seen = set()
    while (what := _EXTENDED.get(block[156:157])) is not None:
        if what in seen:
            raise HeaderError("an entry has two extended headers of one kind")
        seen.add(what)
        raw, payload = _payload(stream, block)
        ahead.head += (block, raw)
        if what == "records":
            ahead.records = headers.records(payload)
            ahead.sparse = b"GNU.sparse." in payload and any(
                key.startswith("GNU.sparse.") for key, _ in ahead.records
            )
        elif what == "path":
            ahead.path = headers.text(payload)
        else:
            ahead.link = headers.text(payload)
        block = stream.header()
        if block != ZERO_BLOCK:
            headers.verify(block)
    if block == ZERO_BLOCK or block[156:157] == b"g":
        raise HeaderError("an extended header is not followed by its entry")
    return ahead, block


def _payload(stream: "_Stream", block: bytes) -> tuple[bytes, bytes]:
    """Read what an extended header says: with its padding, and without."""
    size = headers.number(block[124:136])
    if not 0 <= size <= MAX_HEADER:
        raise HeaderError(f"an extended header has {size} bytes")
    raw = stream.take(size + padding_of(size))
    return raw, raw[:size]


def _extensions(stream: "_Stream", sparse_map: OldMap) -> bytes:
    blocks: list[bytes] = []
    while sparse_map.wants_more:
        if len(blocks) * BLOCK >= MAX_HEADER:
            raise HeaderError("the map of a sparse file is too long")
        block = stream.header()
        sparse_map.extend(block)
        blocks.append(block)
    return b"".join(blocks)


class _Stream:
    """The bytes of an archive: headers are copied out of the blocks, bodies are slices of them."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = iter(blocks)
        self._block = memoryview(b"")
        self._size = 0
        self._at = 0
        self._before = 0
        self._header = 0
        self._entry: Entry | None = None
        self._left = 0
        self._map: BodyMap | None = None
        self._path = b""

    def header(self) -> bytes:
        """Read a header block."""
        self._header = self._before + self._at
        return self.take(BLOCK)

    def take(self, size: int) -> bytes:
        """Read `size` bytes in one piece."""
        end = self._at + size
        if end <= self._size:
            piece = self._block[self._at : end].tobytes()
            self._at = end
            return piece
        pieces = []
        while size:
            pieces.append(self._slice(size).tobytes())
            size -= len(pieces[-1])
        return b"".join(pieces)

    def begin(self, entry: Entry, sparse_map: BodyMap | None) -> None:
        """Make what comes next the body of `entry`."""
        self._path = entry.path or self._path
        if entry.body_size:
            self._entry = entry
            self._left = entry.body_size
            self._map = sparse_map
            entry.body = self._body(entry)

    def skip(self) -> None:
        """Skip what was not read of the body."""
        if self._entry:
            for _ in self._body(self._entry):
                pass

    def rest(self) -> Iterator[Block]:
        """Give back the first zero block, and read all that follows."""
        yield ZERO_BLOCK
        while self._at < self._size or self._next():
            at, self._at = self._at, self._size
            yield self._block[at:]

    def malformed(self, error: HeaderError) -> MalformedArchive:
        """Say where the archive is not as it should be."""
        return MalformedArchive(f"not a proper tar archive: {error} ({self._place(self._header)})")

    def _body(self, entry: Entry) -> Iterator[Block]:
        while self._left and entry is self._entry:
            piece = self._slice(self._left)
            self._left -= len(piece)
            if self._map:
                self._follow(self._map, piece)
            yield piece
        if entry is self._entry:
            self._entry = None
            padding = self.take(padding_of(entry.body_size or 0))
            entry.padding = padding.rstrip(b"\0") and padding

    def _follow(self, sparse_map: BodyMap, piece: memoryview) -> None:
        try:
            sparse_map.feed(piece)
            if not self._left:
                sparse_map.end()
        except HeaderError as error:
            raise self.malformed(error) from None

    def _slice(self, size: int) -> memoryview:
        if self._at == self._size and not self._next():
            raise self._truncated()
        at = self._at
        self._at = min(at + size, self._size)
        return self._block[at : self._at]

    def _next(self) -> bool:
        """Go to the next block that is not empty; tell whether there is one."""
        for block in self._blocks:
            self._before += self._size
            self._at = 0
            self._block = memoryview(block)
            self._size = len(self._block)
            if self._size:
                return True
        return False

    def _truncated(self) -> TruncatedArchive:
        end = self._before + self._size
        if not end:
            return TruncatedArchive("the tar archive is empty")
        return TruncatedArchive(f"the tar archive ends too early ({self._place(end)})")

    def _place(self, offset: int) -> str:
        if not self._path:
            return f"byte {offset}"
        return f"byte {offset}, {'in' if self._entry else 'after'} {printable(self._path)}"
