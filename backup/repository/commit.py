"""The last step of a backup: its snapshot, in time (docs/format.md, section 12, rules 4 and 5)."""

from typing import TYPE_CHECKING, Any

from backup.errors import IntegrityError
from backup.repository import marker, sealed
from backup.repository.actor import Actor
from backup.repository.copying import copy
from backup.repository.manifest import to_chunk
from backup.repository.names import SNAPSHOTS, SnapshotId, object_name
from backup.repository.protocol import PutMarker, PutSnapshot, Request, Supply, commit
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
        snapshot_id, self._data = sealed.encode(self.keys, SNAPSHOTS, snapshot)
        self.id = SnapshotId(snapshot_id)

    def commit(self, relied_on: Reading) -> tuple[SnapshotId, Reading]:
        """Put the snapshot that relied on a reading; return also the one that it relies on now.

        Raises TooLate, TransportError.
        """
        view = self.run(commit(self.id, relied_on.view))
        reading = relied_on if view is relied_on.view else self.repository.readings.current()
        return self.id, reading

    def perform(self, request: Request) -> Any:
        match request:
            case PutSnapshot():
                self.store.put(object_name(SNAPSHOTS, self.id), self._data)
                return self.in_time
            case Supply(seen):
                return self._supply(self.as_reading(seen))
            case PutMarker(snapshot, time):
                return marker.put(self.store, self.keys, snapshot, time)
            case _:
                return super().perform(request)

    def _supply(self, reading: Reading) -> bool:
        """Copy what the snapshot needs and no live pack holds; return whether it could."""
        self.repository.readings.replace(reading)
        manifest = self._snapshot.manifest
        walker = Walker(self.repository.read)
        try:
            needed = {to_chunk(chunk) for chunk in walker.chunks(manifest)}
            if lacking := {chunk for chunk in needed if chunk not in reading}:
                copy(self.repository, lacking, reading, {extent.chunk for extent in manifest})
        except IntegrityError:
            return False  # prune has deleted a part of it
        return True
