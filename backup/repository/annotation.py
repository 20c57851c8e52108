"""Annotations: tags and pins that snapshots were given later (docs/format.md, section 13).

A snapshot's record, and so its id, never changes. What is said of it later are objects of their
own: of each field the newest that says something counts.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial

import msgspec

from backup.errors import IntegrityError, RepositoryError, UnsupportedFormat
from backup.repository import ahead, sealed
from backup.repository.crypto import Keys
from backup.repository.names import ANNOTATIONS, SnapshotId, id_of, object_name
from backup.repository.record import AwareTime
from backup.repository.snapshot import Recorded, Snapshot
from transports.errors import ObjectNotFound
from transports.store import Store


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a snapshot at a time; a field that is None says nothing."""

    snapshot: str
    time: AwareTime
    tags: list[str] | None = None
    pinned: bool | None = None


def put(store: Store, keys: Keys, annotation: Annotation) -> None:
    """Add an annotation to what was said before."""
    annotation_id, data = sealed.encode(keys, ANNOTATIONS, annotation)
    store.put(object_name(ANNOTATIONS, annotation_id), data)


def load(store: Store, keys: Keys) -> tuple[list[Annotation], list[RepositoryError]]:
    """Return all annotations, the oldest first, and which cannot be read."""
    found, damaged = _load(store, keys)
    ordered = sorted(found, key=lambda item: (item[1].time, item[0]))
    return [each for _, each in ordered], damaged


def _load(store: Store, keys: Keys) -> tuple[list[tuple[str, Annotation]], list[RepositoryError]]:
    found: list[tuple[str, Annotation]] = []
    damaged: list[RepositoryError] = []
    ids = [id_of(info.name) for info in store.list(ANNOTATIONS)]
    every = ahead.mapped(partial(_read, store, keys), ids, ahead.small(store))
    for annotation_id, read in zip(ids, every, strict=True):
        if isinstance(read, Annotation):
            found.append((annotation_id, read))
        elif read is not None:
            damaged.append(read)
    return found, damaged


def _read(store: Store, keys: Keys, annotation_id: str) -> Annotation | RepositoryError | None:
    try:
        data = store.get(object_name(ANNOTATIONS, annotation_id))
        return sealed.decode(keys, ANNOTATIONS, annotation_id, data, Annotation)
    except ObjectNotFound:
        return None  # deleted with its snapshot since it was listed
    except (IntegrityError, UnsupportedFormat) as error:
        return error


def about(store: Store, keys: Keys, snapshot_ids: Collection[str]) -> list[str]:
    """Return the ids of the annotations that say something of these snapshots."""
    found, _ = _load(store, keys)
    return [annotation_id for annotation_id, said in found if said.snapshot in snapshot_ids]


def effective(annotations: Iterable[Annotation]) -> dict[SnapshotId, Annotation]:
    """Return what annotations, the oldest first, come to for each snapshot."""
    newest: dict[SnapshotId, Annotation] = {}
    for each in annotations:
        snapshot_id = SnapshotId(each.snapshot)
        before = newest.get(snapshot_id, each)
        newest[snapshot_id] = Annotation(
            snapshot=each.snapshot,
            time=each.time,
            tags=before.tags if each.tags is None else each.tags,
            pinned=before.pinned if each.pinned is None else each.pinned,
        )
    return newest


def recorded(
    snapshot_id: SnapshotId,
    snapshot: Snapshot,
    forgotten: datetime | None,
    annotation: Annotation | None,
) -> Recorded:
    """Return a snapshot with what its marker and its annotations come to."""
    if annotation is None:
        return Recorded(id=snapshot_id, snapshot=snapshot, forgotten=forgotten)
    if annotation.tags is not None:
        snapshot = msgspec.structs.replace(snapshot, tags=annotation.tags)
    return Recorded(
        id=snapshot_id,
        snapshot=snapshot,
        forgotten=forgotten,
        pinned=bool(annotation.pinned),
        annotated=annotation.time,
    )
