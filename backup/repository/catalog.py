"""What is said of snapshots after they were written: forgotten, brought back, tagged, pinned.

No lock is taken and nothing is changed in place: forgetting puts a marker, and says no more than
that the snapshot is hidden; a later prune deletes it. docs/format.md, section 13, has the rules.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from backup.errors import NoSuchSnapshot, Protected, RepositoryError, TooLate
from backup.repository import annotation, marker, protocol
from backup.repository.actor import Actor
from backup.repository.annotation import Annotation
from backup.repository.names import ANNOTATIONS, FORGOTTEN, SnapshotId, id_of
from backup.repository.protocol import Delete, ListMarkers, PutMarker, Request
from backup.repository.repository import SHORT_ID, Repository
from backup.repository.snapshot import Recorded
from backup.repository.timing import MARGIN, UNDELETE

__all__ = [
    "RETURN",
    "Recorded",
    "annotate",
    "demand_unpinned",
    "forget",
    "hidden",
    "history",
    "unforget",
    "unpin",
]

RETURN: Final = UNDELETE - MARGIN
"""How long after it was forgotten a snapshot can be brought back."""

_TICK: Final = timedelta(microseconds=1)


def history(repository: Repository) -> list[Recorded]:
    """Return all snapshots, forgotten ones too, the oldest first. Raises IntegrityError."""
    found, damaged = repository.recorded()
    if damaged:
        raise damaged[0]
    return found


def hidden(repository: Repository) -> int:
    """Return how many of the snapshots that are there are forgotten, by their markers' names."""
    marked = {id_of(info.name) for info in repository.store.list(FORGOTTEN)}
    return sum(each in marked for each in repository.snapshot_ids())


def forget(repository: Repository, snapshot_ids: Collection[SnapshotId]) -> list[SnapshotId]:
    """Hide snapshots; return those that were not hidden already.

    Each is forgotten since the moment at which its marker is put: to bring it back and to delete
    it, all hosts go by that time. Records are not read: one that is damaged can be forgotten.
    Raises Protected, and hides none, where one is pinned; RepositoryError where an annotation that
    cannot be read may be its pin.
    """
    demand_unpinned(repository, snapshot_ids)
    clerk = _Clerk(repository)
    hidden = [each for each in snapshot_ids if clerk.run(protocol.forget(each))]
    try:
        demand_unpinned(repository, hidden)
    except Protected:  # pinned meanwhile: whoever did that may have looked for markers before
        clerk.delete(FORGOTTEN, hidden)
        raise
    return hidden


def unforget(repository: Repository, snapshot_id: SnapshotId) -> bool:
    """Bring a snapshot back; return False where it was not forgotten.

    Raises TooLate where a prune may be about to delete it, and IntegrityError.
    """
    brought_back = _Clerk(repository, about=snapshot_id).run(protocol.unforget(snapshot_id))
    if brought_back is False:
        hours = RETURN // timedelta(hours=1)
        raise TooLate(
            f"snapshot {snapshot_id[:SHORT_ID]} was forgotten more than {hours} hours ago",
            hint="until prune has deleted it, `voltar snapshots --forgotten` shows it",
        )
    return bool(brought_back)


class _Clerk(Actor):
    """Puts and takes markers; of those that are there, it reads the one of `about`."""

    def __init__(self, repository: Repository, about: SnapshotId | None = None) -> None:
        super().__init__(repository)
        self._about = about

    def perform(self, request: Request) -> Any:
        match request:
            case ListMarkers():
                return self._markers()
            case PutMarker(snapshot, time):
                return marker.put(self.store, self.keys, snapshot, time)
            case Delete(kind, ids):
                self.delete(kind, ids)
                self.demand_in_time("bringing back a snapshot")
            case _:
                return super().perform(request)
        return None

    def _markers(self) -> dict[SnapshotId, datetime]:
        if self._about is None:
            return {}
        time = marker.forgotten(self.store, self.keys, self._about)
        return {self._about: time} if time else {}


def annotate(
    repository: Repository,
    recorded: Recorded,
    now: datetime,
    *,
    tags: Sequence[str] | None = None,
    pinned: bool | None = None,
) -> None:
    """Give a snapshot other tags, or pin it; None leaves what is.

    Whatever the clocks of other hosts said, it is newer than all that was said of `recorded`.
    Raises NoSuchSnapshot where the snapshot was forgotten before it was pinned.
    """
    time = now if recorded.annotated is None else max(now, recorded.annotated + _TICK)
    said = Annotation(
        snapshot=recorded.id,
        time=time,
        tags=None if tags is None else list(tags),
        pinned=pinned,
    )
    annotation.put(repository.store, repository.keys, said)
    if pinned and marker.forgotten(repository.store, repository.keys, recorded.id) is not None:
        raise NoSuchSnapshot(
            f"snapshot {recorded.id[:SHORT_ID]} was forgotten before it was pinned",
            hint=f"`voltar unforget {recorded.id[:SHORT_ID]}` brings it back",
        )


def unpin(repository: Repository, snapshot_id: SnapshotId) -> bool:
    """Take a snapshot's pin away; return whether there was one.

    Its record is not read: else one that is damaged could never be forgotten.
    """
    annotations, _ = annotation.load(repository.store, repository.keys)
    said = annotation.effective(annotations).get(snapshot_id)
    if said is None or not said.pinned:
        return False
    time = max(repository.clock(), said.time + _TICK)
    unpinned = Annotation(snapshot=snapshot_id, time=time, pinned=False)
    annotation.put(repository.store, repository.keys, unpinned)
    return True


def demand_unpinned(repository: Repository, snapshot_ids: Collection[SnapshotId]) -> None:
    """Raise Protected where one of the snapshots is pinned, RepositoryError where it may be."""
    annotations, damaged = annotation.load(repository.store, repository.keys)
    if damaged:
        raise _uncertain(damaged[0])
    newest = annotation.effective(annotations)
    pinned = [each for each in snapshot_ids if each in newest and newest[each].pinned]
    if pinned:
        shown = ", ".join(each[:SHORT_ID] for each in pinned[:4])
        raise Protected(
            f"{len(pinned)} of the snapshots are pinned: {shown}"
            if len(snapshot_ids) > 1
            else f"snapshot {shown} is pinned",
            hint=f"`voltar unpin {pinned[0][:SHORT_ID]}` takes the protection away",
        )


def _uncertain(error: RepositoryError) -> RepositoryError:
    return type(error)(
        f"{error}; it may be a pin, so nothing was forgotten",
        hint=f"put the object back from a copy of the store, or delete it from {ANNOTATIONS}/",
    )
