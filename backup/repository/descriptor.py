"""voltar.json: what must be known before anything can be read (docs/format.md, section 6).

It is readable without a key, and authenticated with one: once the master key is known, the `mac`
must fit the rest, and the bytes must be exactly those that this module would write.
"""

from datetime import datetime
from typing import Final, Literal

import msgspec
from blake3 import blake3

from backup.errors import IntegrityError, NotARepository, UnsupportedFormat
from backup.repository.record import parse

FORMAT: Final = 1
Cipher = Literal["aes-256-gcm", "none"]


class ChunkerParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of a chunk, in bytes."""

    minimum: int
    average: int
    maximum: int
    algorithm: Literal["fastcdc-2020"] = "fastcdc-2020"


DATA_CHUNKS: Final = ChunkerParameters(minimum=256 << 10, average=1 << 20, maximum=4 << 20)
MANIFEST_CHUNKS: Final = ChunkerParameters(minimum=64 << 10, average=256 << 10, maximum=1 << 20)


class Descriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What voltar.json says."""

    id: str
    created: datetime
    cipher: Cipher
    data_chunks: ChunkerParameters = DATA_CHUNKS
    manifest_chunks: ChunkerParameters = MANIFEST_CHUNKS
    format: int = FORMAT
    mac: str = ""

    @property
    def sealed(self) -> bool:
        return self.cipher != "none"

    def signed(self, key: bytes) -> "Descriptor":
        """Return this with the `mac` that belongs to it."""
        return msgspec.structs.replace(self, mac=self._mac(key))

    def verify(self, key: bytes) -> None:
        """Raise IntegrityError unless the `mac` fits."""
        if self.mac != self._mac(key):
            raise IntegrityError("voltar.json is damaged or was tampered with")

    def _mac(self, key: bytes) -> str:
        bare = msgspec.structs.replace(self, mac="")
        return blake3(msgspec.json.encode(bare), key=key).hexdigest()


def encode(descriptor: Descriptor) -> bytes:
    """Return the bytes of voltar.json."""
    return msgspec.json.format(msgspec.json.encode(descriptor), indent=2) + b"\n"


def decode(data: bytes) -> Descriptor:
    """Return what voltar.json says. Raises NotARepository, UnsupportedFormat, IntegrityError."""
    try:
        version = parse(data, _Version).format
    except IntegrityError as error:
        raise NotARepository(f"voltar.json is not one of ours: {error}") from error
    if version != FORMAT:
        raise UnsupportedFormat(
            f"the repository has the format {version}, this voltar knows {FORMAT}",
            hint="use the voltar that wrote it, or a newer one",
        )
    try:
        descriptor = parse(data, Descriptor)
    except IntegrityError as error:
        raise IntegrityError(f"voltar.json is damaged: {error}") from error
    if encode(descriptor) != data:
        raise IntegrityError("voltar.json is damaged: it is not written as voltar writes it")
    if not _makes_sense(descriptor.data_chunks, descriptor.manifest_chunks):
        raise IntegrityError("voltar.json is damaged: it asks for chunks that cannot be")
    return descriptor


def _makes_sense(data: ChunkerParameters, manifest: ChunkerParameters) -> bool:
    """Tell whether all chunks that are cut by these bounds can be read: no reader takes one that
    is larger than those of data may be."""
    ordered = all(0 < each.minimum <= each.average <= each.maximum for each in (data, manifest))
    return ordered and manifest.maximum <= data.maximum


class _Version(msgspec.Struct):
    format: int
