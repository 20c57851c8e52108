"""Key objects: the master key, wrapped by a password (docs/format.md, section 5).

A password becomes a key-encryption key by Argon2id (RFC 9106; the parameters are its second
recommendation, 64 MiB); AES-256-GCM wraps the master key with it, and authenticates the parameters.
"""

import os
from datetime import datetime
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backup.errors import IntegrityError, UnsupportedFormat
from backup.repository.record import parse

VERSION: Final = 1
_MOST_MEMORY_KIB: Final = 1 << 20
_MOST_WORK_KIB: Final = 4 << 20
_MOST_LANES: Final = 64


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the password becomes a key."""

    salt: str
    algorithm: str = "argon2id"
    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key object."""

    created: datetime
    derivation: Derivation
    nonce: str
    wrapped: str
    version: int = VERSION

    def __repr__(self) -> str:
        return f"KeyFile(created={self.created})"


def wrap(master: bytes, password: str, *, repository: str, now: datetime) -> bytes:
    """Return a key object that holds `master` for whoever knows `password`."""
    derivation = Derivation(salt=os.urandom(32).hex())
    nonce = os.urandom(12)
    bare = KeyFile(now, derivation, nonce.hex(), wrapped="")
    wrapped = AESGCM(_derive(password, derivation)).encrypt(
        nonce, master, _authenticated(bare, repository)
    )
    return msgspec.json.encode(msgspec.structs.replace(bare, wrapped=wrapped.hex()))


def unwrap(data: bytes, password: str, *, repository: str) -> bytes | None:
    """Return the master key, or None where the password is not the one of this key object.

    Raises IntegrityError (not a key object), UnsupportedFormat.
    """
    try:
        key_file = _parsed(data)
        nonce, wrapped = bytes.fromhex(key_file.nonce), bytes.fromhex(key_file.wrapped)
        cipher = AESGCM(_derive(password, key_file.derivation))
        return cipher.decrypt(nonce, wrapped, _authenticated(key_file, repository))
    except InvalidTag:
        return None
    except (IntegrityError, ValueError) as error:
        raise IntegrityError(f"a key object is damaged: {error}") from error


def created(data: bytes) -> datetime:
    """Return when a key object says that it was made. Raises IntegrityError, UnsupportedFormat."""
    return _parsed(data).created


def _parsed(data: bytes) -> KeyFile:
    version = parse(data, _Version).version
    if version != VERSION:
        raise UnsupportedFormat(f"a key object has the format version {version}")
    return parse(data, KeyFile)


def _authenticated(key_file: KeyFile, repository: str) -> bytes:
    bare = msgspec.structs.replace(key_file, wrapped="")
    return repository.encode() + msgspec.json.encode(bare)


def _derive(password: str, by: Derivation) -> bytes:
    if by.algorithm != "argon2id":
        raise UnsupportedFormat(f"a key object derives its key by {by.algorithm!r}")
    if not (
        0 < by.memory_kib <= _MOST_MEMORY_KIB
        and 0 < by.iterations <= _MOST_WORK_KIB // by.memory_kib
        and 0 < by.lanes <= _MOST_LANES
    ):
        raise IntegrityError("it asks for memory or time that no voltar asks for")
    kdf = Argon2id(
        salt=bytes.fromhex(by.salt),
        length=32,
        iterations=by.iterations,
        lanes=by.lanes,
        memory_cost=by.memory_kib,
    )
    return kdf.derive(password.encode("utf-8", "surrogateescape"))


class _Version(msgspec.Struct):
    version: int
