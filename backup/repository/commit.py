"""The last step of a backup: its snapshot, in time (docs/format.md, section 12, rules 4 and 5)."""

from typing import TYPE_CHECKING, Any

from backup.errors import IntegrityError, TooLate
from backup.repository import sealed
from backup.repository.actor import Actor
from backup.repository.copying import copy
from backup.repository.manifest import to_chunk
from backup.repository.names import SNAPSHOTS, ChunkId, SnapshotId, object_name
from backup.repository.protocol import Copy, Lacking, PutSnapshot, Request, View, commit
from backup.repository.reading import Reading
from backup.repository.snapshot import Snapshot
from backup.repository.usage import Walker

if TYPE_CHECKING:
    from backup.repository.repository import Repository


class Committer(Actor):
    """Puts one snapshot, all of whose packs and indexes are there."""

    def __init__(self, repository: "Repository", snapshot: Snapshot) -> None:
        super().__init__(repository)
        self._snapshot = snapshot
        self._id, self._data = sealed.encode(self.keys, SNAPSHOTS, snapshot)

    def commit(self, relied_on: Reading) -> tuple[SnapshotId, Reading]:
        """Put the snapshot that relied on a reading; return also the one that it relies on now.

        Raises TooLate, TransportError.
        """
        view = self.run(commit(relied_on.view))
        reading = relied_on if view is relied_on.view else self.repository.readings.current()
        return SnapshotId(self._id), reading

    def perform(self, request: Request) -> Any:
        match request:
            case PutSnapshot():
                self.store.put(object_name(SNAPSHOTS, self._id), self._data)
                return self.in_time
            case Lacking(seen):
                return self._lacking(seen)
            case Copy(chunks, seen):
                manifests = {extent.chunk for extent in self._snapshot.manifest}
                copy(self.repository, chunks, self.as_reading(seen), manifests)
            case _:
                return super().perform(request)
        return None

    def _lacking(self, seen: View) -> set[ChunkId]:
        """Return what the snapshot needs and no live pack holds any more."""
        reading = self.as_reading(seen)
        self.repository.readings.replace(reading)
        walker = Walker(self.repository.read)
        try:
            needed = {to_chunk(chunk) for chunk in walker.chunks(self._snapshot.manifest)}
            lacking = {chunk for chunk in needed if chunk not in reading}
            gone = next((chunk for chunk in lacking if reading.find(chunk) is None), None)
        except IntegrityError as error:
            raise _too_late(self._snapshot) from error
        if gone is not None:
            raise _too_late(self._snapshot)
        return lacking


def _too_late(snapshot: Snapshot) -> TooLate:
    return TooLate(
        f"the backup of {snapshot.source} took so long that what it relied on is deleted",
        hint="run it again: it finds what it has stored",
    )
