"""What the objects of a repository are called (docs/format.md, section 2)."""

from typing import NewType

ChunkId = NewType("ChunkId", bytes)
PackId = NewType("PackId", str)
SnapshotId = NewType("SnapshotId", str)

CHUNK_ID_SIZE = 32
DESCRIPTOR = "voltar.json"
KEYS = "keys"
PACKS = "packs"
INDEX = "index"
SNAPSHOTS = "snapshots"
FORGOTTEN = "forgotten"
CONDEMNED = "condemned"
ANNOTATIONS = "annotations"


def object_name(kind: str, object_id: str) -> str:
    """Return the name under which a store keeps the object `object_id` of a kind."""
    return f"{kind}/{object_id}"


def id_of(name: str) -> str:
    """Return the id in an object's name."""
    return name.rpartition("/")[2]
