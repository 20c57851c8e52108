"""Keys derived from the master key, and what they seal (docs/format.md, section 4).

Every object has a random 32-byte salt in its envelope. HKDF-SHA-256 (RFC 5869) makes of the master
key and that salt a key which seals this one object, so nonces need only be unique within it: a
blob's nonce is its offset in the pack, and an object sealed as a whole uses zero. AES-256-GCM (NIST
SP 800-38D) seals. The envelope is authenticated with what it opens, and the kind of object goes
into the derivation, so an object can be neither cut off from its salt nor passed off as another
kind.

A repository without encryption has the same envelope with scheme 0 and frames in the clear. Its
"master key" is its public id: chunk ids are then checksums that anybody can compute.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backup.errors import IntegrityError, UnsupportedFormat
from backup.repository.codec import SKIPPABLE_HEAD_SIZE, skippable, skippable_payload
from backup.repository.names import ChunkId

Buffer = bytes | memoryview

PLAIN: Final = 0
AES_256_GCM: Final = 1
SEAL_OVERHEAD: Final = 16
_VERSION: Final = 1
_MAGIC: Final = b"VLTR"
_SALT_SIZE: Final = 32
_PAYLOAD_SIZE: Final = len(_MAGIC) + 2 + _SALT_SIZE
ENVELOPE_SIZE: Final = SKIPPABLE_HEAD_SIZE + _PAYLOAD_SIZE


def digest(data: Buffer) -> str:
    """Return the BLAKE3 digest of `data`, in hex: the id of a stored object."""
    return blake3(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Seal:
    """What seals or opens one object; `cipher` is None in a repository without encryption."""

    envelope: bytes
    cipher: AESGCM | None = field(repr=False)

    def seal(self, data: Buffer, *, nonce: int) -> bytes:
        """Return `data` sealed; no `nonce` may ever be used twice with one Seal."""
        if self.cipher is None:
            return bytes(data)
        return self.cipher.encrypt(nonce.to_bytes(12, "big"), data, self.envelope)

    def open(self, data: Buffer, *, nonce: int) -> Buffer:
        """Return what was sealed. Raises IntegrityError where anything was changed."""
        if self.cipher is None:
            return data
        try:
            return self.cipher.decrypt(nonce.to_bytes(12, "big"), data, self.envelope)
        except InvalidTag as error:
            raise IntegrityError("sealed data is damaged or was tampered with") from error


class Keys:
    """All keys of one repository; `master` (32 bytes) is what passwords wrap. Shown to nobody."""

    def __init__(self, master: bytes, *, sealed: bool) -> None:
        self.master = master
        self._scheme = AES_256_GCM if sealed else PLAIN
        self._chunk_key = self._derive(b"chunk id")
        self.descriptor_key = self._derive(b"descriptor")
        self.chunker_seed = int.from_bytes(self._derive(b"chunker seed")[:8], "big") >> 1

    def __repr__(self) -> str:
        return f"Keys(sealed={self.sealed})"

    @property
    def sealed(self) -> bool:
        return self._scheme != PLAIN

    def chunk_id(self, chunk: Buffer) -> ChunkId:
        """Return the id of a chunk: BLAKE3, keyed, of its plaintext."""
        return ChunkId(blake3(chunk, key=self._chunk_key).digest())

    def new_seal(self, kind: str) -> Seal:
        """Return a Seal for a new object of a kind, with a salt that was never used before."""
        payload = _MAGIC + bytes((_VERSION, self._scheme)) + os.urandom(_SALT_SIZE)
        return self._seal(skippable(payload), payload, kind)

    def seal_of(self, kind: str, data: Buffer) -> Seal:
        """Return the Seal of the stored object that begins with `data`.

        Raises IntegrityError, also where the object is not encrypted in a repository that is: a
        store must not be able to slip in objects of its own making.
        """
        payload = skippable_payload(data)
        if len(payload) != _PAYLOAD_SIZE or bytes(payload[:4]) != _MAGIC:
            raise IntegrityError("an object does not begin as those of a repository do")
        if payload[4] != _VERSION:
            raise UnsupportedFormat(f"an object has the format version {payload[4]}")
        if payload[5] != self._scheme:
            raise IntegrityError("an object is not encrypted as this repository's objects are")
        return self._seal(bytes(data[:ENVELOPE_SIZE]), bytes(payload), kind)

    def _seal(self, envelope: bytes, payload: bytes, kind: str) -> Seal:
        if not self.sealed:
            return Seal(envelope, None)
        key = self._derive(b"object " + kind.encode(), salt=payload[-_SALT_SIZE:])
        return Seal(envelope, AESGCM(key))

    def _derive(self, purpose: bytes, *, salt: bytes | None = None) -> bytes:
        return HKDF(SHA256(), 32, salt, b"voltar 1 " + purpose).derive(self.master)
