"""Manifests: the ordered entries of one source (docs/format.md, section 9).

A manifest is lines of JSON, one a record, stored in chunks like everything else; so the manifests
of successive snapshots share what did not change. Byte strings (names, headers) are written as text
in which each byte is the character of that number (Latin-1). In headers, which are mostly zeros, a
run of n ≥ 4 zeros is the character U+E000+n: raw headers are kept whole, and cost 300 bytes, not
1,536.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from backup.errors import IntegrityError
from backup.repository.names import CHUNK_ID_SIZE, ChunkId
from backup.repository.record import NOT_JSON

_P = TypeVar("_P")
_Pick: TypeAlias = Callable[[list[bytes]], list[bytes]]

EXTENTS_PER_RECORD: Final = 4096
"""A body with more extents goes on in More records, so that a line has a bounded length."""

_FIRST_RUN: Final = 4
_LONGEST_RUN: Final = 0x18FF
_RUNS: Final = tuple(chr(0xE000 + n) for n in range(_LONGEST_RUN + 1))
_ZEROS: Final = re.compile(f"(\0{{4,{_LONGEST_RUN}}})")
_MARKS: Final = re.compile("[\ue004-\uf8ff]")


class Extent(NamedTuple):
    """A piece of a body: `length` bytes from `offset` of the plaintext of a chunk (hex)."""

    chunk: str
    offset: int
    length: int


class Member(msgspec.Struct, array_like=True, tag="m", frozen=True):
    """One entry: what the tar header says, what the listing said, the header itself, the body.

    `path` is relative to the volume, its root is "". `kind` is one of f d l h c b p (tar.entry), g
    for a global header, z for what follows the last entry. Times are nanoseconds since 1970 UTC.
    `inode`, `ctime_ns`, `links`, `device` are 0 where no listing was made (an imported archive).
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: str
    head: str
    body_size: int
    extents: list[Extent]
    padding: str = ""
    inode: int = 0
    ctime_ns: int = 0
    links: int = 0
    device: int = 0


class More(msgspec.Struct, array_like=True, tag="+", frozen=True):
    """More extents of the member before."""

    extents: list[Extent]


class Note(msgspec.Struct, array_like=True, tag="!", frozen=True):
    """Something that was not captured as it should be, and why."""

    path: str
    text: str


Line = Member | More | Note

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    """Return a record's line."""
    return _encoder.encode(line) + b"\n"


class Stored(NamedTuple):
    """A member with all its extents, and the lines that say so, as they are stored."""

    member: Member
    extents: list[Extent]
    lines: bytes

    @property
    def path(self) -> bytes:
        """The member's path as bytes. Raises IntegrityError."""
        return to_bytes(self.member.path)


def decode_lines(blocks: Iterable[bytes | memoryview], pick: _Pick | None = None) -> Iterator[Line]:
    """Yield the records of a manifest; only those whose lines are picked.

    Raises IntegrityError.
    """
    return (line for line, _ in _decoded(blocks, pick))


def decode_stored(blocks: Iterable[bytes | memoryview]) -> Iterator[Stored]:
    """Yield the members of a manifest, each with its raw lines. Raises IntegrityError."""
    member: Member | None = None
    extents: list[Extent] = []
    lines: list[bytes] = []
    for line, raw in _decoded(blocks):
        if isinstance(line, Member):
            if member is not None:
                yield Stored(member, extents, b"".join(lines))
            member, extents, lines = line, [*line.extents], [raw + b"\n"]
        elif isinstance(line, More):
            extents += line.extents
            lines.append(raw + b"\n")
    if member is not None:
        yield Stored(member, extents, b"".join(lines))


def _decoded(
    blocks: Iterable[bytes | memoryview], pick: _Pick | None = None
) -> Iterator[tuple[Line, bytes]]:
    rest = b""
    try:
        for block in blocks:
            text = rest + bytes(block)
            end = text.rfind(b"\n") + 1
            whole = text[:end]
            lines = whole.split(b"\n")
            rest = lines.pop() + text[end:]
            if pick is not None:
                lines = pick(lines)
                whole = b"\n".join(lines)
            records = _decoder.decode_lines(whole)
            if len(records) != len(lines):
                raise IntegrityError("a manifest is damaged: its lines are not a record each")
            yield from zip(records, lines, strict=True)
    except NOT_JSON as error:
        raise IntegrityError(f"a manifest is damaged: {error}") from error
    if rest:
        raise IntegrityError("a manifest ends in the middle of a record")


class Ends(NamedTuple):
    """The ends of a piece of a manifest, which are parts of records: what stands before its first
    line end, that included, and what stands behind its last.

    A piece without a line end is all `head`, and has no `tail`.
    """

    head: bytes
    tail: bytes | None


def cut(piece: bytes) -> tuple[Ends, bytes]:
    """Return the ends of a piece of a manifest, and the whole lines between them."""
    first, last = piece.find(b"\n") + 1, piece.rfind(b"\n") + 1
    if not first:
        return Ends(piece, None), b""
    return Ends(piece[:first], piece[last:]), piece[first:last]


def seams(pieces: Iterable[tuple[_P, Ends]]) -> Iterator[tuple[_P, bytes]]:
    """Yield the line that ends in the head of each piece that has a line end, and the piece.

    The pieces are those of a manifest, in order, each with its ends. Raises IntegrityError.
    """
    rest = b""
    for piece, (head, tail) in pieces:
        rest += head
        if tail is not None:
            yield piece, rest
            rest = tail
    if rest:
        raise IntegrityError("a manifest ends in the middle of a record")


def to_text(data: bytes) -> str:
    """Return a byte string as text: one character a byte."""
    return data.decode("latin-1")


def to_bytes(text: str) -> bytes:
    """The inverse of `to_text`. Raises IntegrityError."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise IntegrityError(f"a manifest holds a character that is no byte: {error}") from error


def head_to_text(head: bytes) -> str:
    """Return raw tar headers as text, with runs of zeros marked."""
    parts = _ZEROS.split(head.decode("latin-1"))
    parts[1::2] = map(_RUNS.__getitem__, map(len, parts[1::2]))
    return "".join(parts)


def head_to_bytes(text: str) -> bytes:
    """The inverse of `head_to_text`. Raises IntegrityError."""
    return to_bytes(_MARKS.sub(lambda mark: "\0" * (ord(mark[0]) - 0xE000), text))


def chunk_of(extent: Extent) -> ChunkId:
    """Return the id of an extent's chunk. Raises IntegrityError."""
    return to_chunk(extent.chunk)


def to_chunk(text: str) -> ChunkId:
    """Return the chunk's id that hex stands for. Raises IntegrityError."""
    try:
        chunk = bytes.fromhex(text)
    except ValueError:
        chunk = b""
    if chunk.hex() != text or len(chunk) != CHUNK_ID_SIZE:
        raise IntegrityError(f"a manifest names an impossible chunk: {text!r}")
    return ChunkId(chunk)
