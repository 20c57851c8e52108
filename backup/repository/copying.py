"""Chunks from packs that are to go into new ones."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from backup.repository.manifest import Extent
from backup.repository.names import ChunkId
from backup.repository.reading import Reading
from backup.repository.writer import UPLOADS_BESIDE_READING, Group

if TYPE_CHECKING:
    from backup.repository.repository import Repository


class Copied(NamedTuple):
    """How much was copied: chunks, and the bytes that they took on the store."""

    chunks: int
    stored: int


def copy(
    repository: "Repository",
    chunks: Collection[ChunkId],
    reading: Reading,
    manifests: Collection[str],
) -> Copied:
    """Put packs with chunks that are in no live pack of `reading`, then their index.

    Every chunk is compared with its id on the way. `manifests` are the chunks (hex) that go into
    the packs of manifests. Raises IntegrityError where one cannot be read.
    """
    extents = _extents(repository, chunks)
    with repository.writer(reading, uploads=UPLOADS_BESIDE_READING) as writer:
        for extent, data in zip(extents, repository.read(extents), strict=True):
            is_manifest = extent.chunk in manifests
            writer.add(bytes(data), Group.MANIFEST if is_manifest else Group.DATA)
        writer.finish()
    return Copied(len(extents), writer.stored)


def _extents(repository: "Repository", chunks: Iterable[ChunkId]) -> list[Extent]:
    """Return what stands for whole chunks, in the order in which they are read soonest."""
    places = []
    for chunk in chunks:
        found = repository.readings.find(chunk)
        if found is None:
            raise repository.readings.current().lacks(chunk.hex())
        places.append((found[0].id, found[1].offset, found[1]))
    return [Extent(blob.chunk, 0, blob.size) for _, _, blob in sorted(places)]
