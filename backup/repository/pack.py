"""Packs: many blobs in one object (docs/format.md, section 7).

    pack  := envelope blob… table
    blob  := sealed(frame of one chunk)            nonce = the blob's offset in the pack
    table := skippable frame of: sealed(frame of the JSON below), its length in 4 bytes
             (little endian)

The table is also in an index; it stands in the pack so that every index can be rebuilt. In a
repository without encryption `zstd -d` of a pack gives its chunks, one after the other.
"""

import struct
from typing import Final, NamedTuple

import msgspec

from backup.errors import IntegrityError
from backup.repository import codec
from backup.repository.crypto import ENVELOPE_SIZE, SEAL_OVERHEAD, Keys, Seal, digest
from backup.repository.names import PACKS, ChunkId, PackId
from backup.repository.record import parse

TARGET_SIZE: Final = 32 << 20
_LENGTH: Final = struct.Struct("<I")
_LARGEST_TABLE: Final = 256 << 20


class Blob(NamedTuple):
    """Where a chunk lies: `offset` and `length` in its pack, in bytes, `size` of the plaintext."""

    chunk: str
    offset: int
    length: int
    size: int


class PackTable(msgspec.Struct, frozen=True, array_like=True):
    """What one pack holds; `envelope` (hex) is what opens its blobs."""

    pack: PackId
    envelope: str
    size: int
    blobs: list[Blob]


class PackBuilder:
    """One pack in the making. Add blobs, then `finish` it."""

    def __init__(self, keys: Keys, buffer: bytearray | None = None) -> None:
        """`buffer` is memory to be used again; what it holds is overwritten."""
        self._seal = keys.new_seal(PACKS)
        self._data = bytearray() if buffer is None else buffer
        self._blobs: list[Blob] = []
        self.size = 0
        self._append(self._seal.envelope)

    def add(self, chunk: ChunkId, frame: bytes, size: int) -> None:
        """Seal the frame of a chunk whose plaintext has `size` bytes, and append it."""
        offset = self.size
        sealed = self._seal.seal(frame, nonce=offset)
        self._append(sealed)
        self._blobs.append(Blob(chunk.hex(), offset, len(sealed), size))

    def finish(self) -> tuple[memoryview, PackTable]:
        """Return the pack's bytes, which lie in the buffer, and its table. Called once."""
        nonce = self.size
        frame = codec.compress(msgspec.json.encode(self._blobs))
        table = self._seal.seal(frame, nonce=nonce)
        self._append(codec.skippable(table + _LENGTH.pack(len(table))))
        data = memoryview(self._data)[: self.size]
        envelope = self._seal.envelope.hex()
        return data, PackTable(PackId(digest(data)), envelope, self.size, self._blobs)

    def reclaim(self) -> bytearray:
        """Return the buffer, for another pack; what `finish` returned must not be in use."""
        return self._data

    def _append(self, piece: bytes) -> None:
        end = self.size + len(piece)
        if end <= len(self._data):
            memoryview(self._data)[self.size : end] = piece
        else:
            del self._data[self.size :]
            self._data += piece
        self.size = end


class PackReader:
    """Opens the blobs of one pack."""

    def __init__(self, keys: Keys, pack: PackId, seal: Seal, largest_chunk: int) -> None:
        self._keys = keys
        self._pack = pack
        self._seal = seal
        self._largest = largest_chunk

    @classmethod
    def of_envelope(
        cls, keys: Keys, pack: PackId, envelope: bytes, largest_chunk: int
    ) -> "PackReader":
        """Return a reader for a pack that begins with `envelope`; raises IntegrityError."""
        return cls(keys, pack, keys.seal_of(PACKS, envelope), largest_chunk)

    def open(self, blob: Blob, sealed: bytes | memoryview) -> bytes:
        """Return the chunk that `sealed`, the blob's bytes, holds. Raises IntegrityError."""
        where = f"pack {self._pack[:16]}: chunk {blob.chunk[:16]} at byte {blob.offset}"
        try:
            frame = self._seal.open(sealed, nonce=blob.offset)
            chunk = codec.decompress(frame, limit=self._largest)
        except IntegrityError as error:
            raise IntegrityError(f"{where}: {error}", chunk=blob.chunk) from error
        if self._keys.chunk_id(chunk).hex() != blob.chunk:
            raise IntegrityError(f"{where}: its content is not what its id says", chunk=blob.chunk)
        return chunk

    def table(self, data: bytes | memoryview, *, first: int = 0) -> PackTable:
        """Return the table at the end of the pack, all of which `data` is, or all from byte `first`
        on. Raises IntegrityError, also where the table begins before `first`."""
        end = len(data) - _LENGTH.size
        (length,) = _LENGTH.unpack_from(data, end) if end >= 0 else (0,)
        start = end - length - codec.SKIPPABLE_HEAD_SIZE
        if length <= 0 or start < max(0, ENVELOPE_SIZE - first):
            raise IntegrityError(f"pack {self._pack[:16]} has no table at its end")
        view = memoryview(data)
        sealed = codec.skippable_payload(view[start:])[:length]
        start += first
        frame = self._seal.open(sealed, nonce=start)
        try:
            blobs = parse(codec.decompress(frame, limit=_LARGEST_TABLE), list[Blob])
        except IntegrityError as error:
            raise IntegrityError(f"pack {self._pack[:16]} has a damaged table: {error}") from error
        _check_bounds(self._pack, blobs, start)
        return PackTable(self._pack, self._seal.envelope.hex(), first + len(data), blobs)


def _check_bounds(pack: PackId, blobs: list[Blob], end: int) -> None:
    position = ENVELOPE_SIZE
    for blob in blobs:
        if blob.offset != position or blob.length < SEAL_OVERHEAD // 2:
            raise IntegrityError(f"pack {pack[:16]} has a table that does not fit its blobs")
        position += blob.length
    if position != end:
        raise IntegrityError(f"pack {pack[:16]} has a table that does not fit its blobs")
