"""zstd frames, and the envelope that all stored objects share (docs/format.md, section 3).

Everything is compressed into zstd frames that carry their content's size. Plain data that must
stand before or behind a frame (salts, tables) hides in *skippable* frames (RFC 8878, section
3.1.2), so in a repository without encryption `zstd -d` alone reads every object.
"""

import struct
import threading

import zstandard

from backup.errors import IntegrityError

LEVEL = 3
_SKIPPABLE = 0x184D2A56
_HEAD = struct.Struct("<II")
SKIPPABLE_HEAD_SIZE = _HEAD.size

Buffer = bytes | memoryview


class _Contexts(threading.local):
    """One compressor and decompressor a thread: they are not safe to share, and dear to make."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress(data: Buffer) -> bytes:
    """Return one zstd frame; what does not compress becomes raw blocks within it."""
    return _contexts.compressor.compress(data)


def decompress(frame: Buffer, *, limit: int) -> bytes:
    """Return the content of one zstd frame of at most `limit` bytes.

    Raises IntegrityError where it is not a frame, is damaged, larger, or followed by anything.
    """
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit:
            raise IntegrityError(f"a compressed object claims {size} bytes, {limit} are allowed")
        return _contexts.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"compressed data is damaged: {error}") from error


def skippable(payload: Buffer) -> bytes:
    """Return `payload` as a frame that a zstd decoder passes over."""
    return _HEAD.pack(_SKIPPABLE, len(payload)) + payload


def skippable_payload(data: Buffer) -> memoryview:
    """Return the payload of the skippable frame at the start of `data`; raises IntegrityError."""
    view = memoryview(data)
    if len(view) < _HEAD.size:
        raise IntegrityError("an object is too short to be one of a repository")
    magic, size = _HEAD.unpack_from(view)
    if magic != _SKIPPABLE or len(view) < _HEAD.size + size:
        raise IntegrityError("an object does not begin as those of a repository do")
    return view[_HEAD.size : _HEAD.size + size]
