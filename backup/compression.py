"""Compression of streams outside of the repository: plain, gzip, zstd.

What a stream is compressed by is seen from its first bytes, never from a name. Frames (zstd) and
members (gzip) may follow each other: their contents are one stream, as all the usual programs read
it. A stream whose last frame is cut off is an error, for the end of a pipe looks the same for a
writer that finished and for one that was killed.
"""

import zlib
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from typing import Any, Final

import zstandard

from backup.blocks import Block, Blocks
from backup.errors import BackupError

ZSTD_LEVEL: Final = 3
GZIP_LEVEL: Final = 6
_STEP: Final = 4 << 10
"""Bytes decompressed at once: 4 KiB of zstd can be a thousand runs, and so 128 MiB, and no more."""
_PIECE: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC: Final = b"\x2a\x4d\x18"
_GZIP: Final = 31
"""What zlib calls a window of 32 KiB in a gzip frame."""


class Form(Enum):
    """How a tar file is compressed."""

    TAR = ".tar"
    GZIP = ".tar.gz"
    ZSTD = ".tar.zst"


class ArchiveError(BackupError):
    """A tar file on the host cannot be read or written."""


class CorruptStream(Exception):
    """Compressed data are damaged, or end too early; for callers to say of what."""


def form_of_bytes(first: Block) -> Form:
    """Tell how a stream is compressed from its first four bytes."""
    head = bytes(first[:4])
    if head.startswith(_GZIP_MAGIC):
        return Form.GZIP
    if head == _ZSTD_MAGIC or head[1:4] == _SKIPPABLE_MAGIC:
        return Form.ZSTD
    return Form.TAR


def compressed(
    blocks: Blocks, form: Form, *, level: int | None = None, threads: int = -1
) -> Iterator[Block]:
    """Compress a stream to one frame. `threads` are those of zstd; -1 takes all cores."""
    if form is Form.TAR:
        yield from blocks
        return
    if form is Form.GZIP:
        level = GZIP_LEVEL if level is None else level
        packer: Any = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    else:
        level = ZSTD_LEVEL if level is None else level
        packer = zstandard.ZstdCompressor(
            level=level, write_checksum=True, threads=threads
        ).compressobj()
    for block in blocks:
        if piece := packer.compress(block):
            yield piece
    yield packer.flush()


def decompressed(blocks: Blocks, name: str) -> Iterator[Block]:
    """Decompress a stream, whichever way it is compressed; `name` is for what is wrong with it.

    Raises ArchiveError.
    """
    first = b""
    rest = iter(blocks)
    for block in rest:
        first += block
        if len(first) >= 4:
            break
    unpacker = Unpacker(form_of_bytes(first))
    try:
        for block in chain((first,), rest):
            yield from unpacker.feed(block)
        unpacker.finish()
    except CorruptStream as error:
        raise ArchiveError(f"cannot read {name}: {error}") from error


class Unpacker:
    """Takes a compressed stream piece by piece, for those who are handed the pieces."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._zstd = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._frame: Any = None
        self._frames = 0

    def feed(self, block: Block) -> Iterator[Block]:
        """Yield what a piece holds. Raises CorruptStream."""
        if self._form is Form.TAR:
            yield block
            return
        view = memoryview(block)
        step = _STEP if self._form is Form.ZSTD else _PIECE
        unpacked = self._unzstd if self._form is Form.ZSTD else self._gunzip
        for at in range(0, len(view), step):
            pieces = unpacked(bytes(view[at : at + step]))
            while (piece := _next(pieces)) is not None:
                yield piece

    def finish(self) -> None:
        """Demand that the last frame is complete. Raises CorruptStream."""
        if self._frame is not None or (self._form is not Form.TAR and not self._frames):
            raise CorruptStream("the compressed data end too early")

    def _unzstd(self, left: bytes) -> Iterator[bytes]:
        while left:
            self._frame = self._frame or self._zstd.decompressobj()
            yield self._frame.decompress(left)
            left = self._frame.unused_data if self._frame.eof else b""
            self._end_frame()

    def _gunzip(self, left: bytes) -> Iterator[bytes]:
        while left:
            if self._frame is None:
                if self._frames and not (left := left.lstrip(b"\0")):  # padding between members
                    return
                self._frame = zlib.decompressobj(_GZIP)
            yield self._frame.decompress(left, _PIECE)
            left = self._frame.unused_data if self._frame.eof else self._frame.unconsumed_tail
            self._end_frame()

    def _end_frame(self) -> None:
        if self._frame.eof:
            self._frame = None
            self._frames += 1


def _next(pieces: Iterator[bytes]) -> bytes | None:
    """The next piece; an error of whoever takes it must not look like one of the data."""
    try:
        return next(pieces, None)
    except (zlib.error, zstandard.ZstdError) as error:
        raise CorruptStream(str(error)) from error
