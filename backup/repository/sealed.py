"""Small objects that are sealed as a whole: indexes, snapshots (docs/format.md, section 3).

object := envelope sealed(frame of JSON)          id = BLAKE3 of the bytes
"""

from typing import Any, Final, TypeVar

import msgspec

from backup.errors import IntegrityError
from backup.repository import codec
from backup.repository.crypto import ENVELOPE_SIZE, Keys, digest
from backup.repository.record import parse

_LARGEST: Final = 1 << 30
_T = TypeVar("_T")


def encode(keys: Keys, kind: str, value: Any) -> tuple[str, bytes]:
    """Return the id and the bytes of a new object of a kind."""
    seal = keys.new_seal(kind)
    data = seal.envelope + seal.seal(codec.compress(msgspec.json.encode(value)), nonce=0)
    return digest(data), data


def decode(keys: Keys, kind: str, object_id: str, data: bytes, as_type: type[_T]) -> _T:
    """Return what the object `object_id` of a kind says. Raises IntegrityError."""
    if digest(data) != object_id:
        raise IntegrityError(f"{kind}/{object_id[:16]} is damaged: its id names other bytes")
    return unseal(keys, kind, object_id, data, as_type)


def unseal(keys: Keys, kind: str, name: str, data: bytes, as_type: type[_T]) -> _T:
    """Return what an object says whose name is not the digest of its bytes.

    Such an object must itself say where it belongs, or any other of its kind could take its place.
    Raises IntegrityError.
    """
    try:
        seal = keys.seal_of(kind, data)
        frame = seal.open(memoryview(data)[ENVELOPE_SIZE:], nonce=0)
        return parse(codec.decompress(frame, limit=_LARGEST), as_type)
    except IntegrityError as error:
        raise IntegrityError(f"{kind}/{name[:16]} is damaged: {error}") from error
