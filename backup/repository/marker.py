"""Markers: which snapshots are forgotten, and since when (docs/format.md, section 13).

A marker's name is the id of its snapshot, so of two hosts that forget the same snapshot one puts
it, and deleting it is enough to bring the snapshot back. As its name says nothing of its bytes, it
says itself which snapshot it is about.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial

import msgspec

from backup.errors import IntegrityError, RepositoryError, UnsupportedFormat
from backup.repository import ahead, sealed
from backup.repository.crypto import Keys
from backup.repository.names import FORGOTTEN, SnapshotId, id_of, object_name
from backup.repository.record import AwareTime
from transports.errors import ObjectExists, ObjectNotFound
from transports.store import Store


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot is forgotten, since a time."""

    snapshot: str
    time: AwareTime


def put(store: Store, keys: Keys, snapshot_id: SnapshotId, now: datetime) -> bool:
    """Mark a snapshot as forgotten; return whether it was not yet. The first marker stays.

    Raises IntegrityError, UnsupportedFormat where that one cannot be read and so hides nothing.
    """
    _, data = sealed.encode(keys, FORGOTTEN, Marker(snapshot=snapshot_id, time=now))
    try:
        store.put(object_name(FORGOTTEN, snapshot_id), data)
    except ObjectExists:
        forgotten(store, keys, snapshot_id)
        return False
    return True


def forgotten(store: Store, keys: Keys, snapshot_id: SnapshotId) -> datetime | None:
    """Return when a snapshot was forgotten, or None. Raises IntegrityError, UnsupportedFormat."""
    try:
        data = store.get(object_name(FORGOTTEN, snapshot_id))
    except ObjectNotFound:
        return None
    marker = sealed.unseal(keys, FORGOTTEN, snapshot_id, data, Marker)
    if marker.snapshot != snapshot_id:
        raise IntegrityError(
            f"{FORGOTTEN}/{snapshot_id[:16]} is damaged: it is about another snapshot"
        )
    return marker.time


def load(
    store: Store, keys: Keys, snapshot_ids: Iterable[SnapshotId] | None = None
) -> tuple[dict[SnapshotId, datetime], list[RepositoryError]]:
    """Return when which snapshots were forgotten, and which markers cannot be read.

    Where ids are given, other markers are passed over.
    """
    wanted = None if snapshot_ids is None else set(snapshot_ids)
    marked = [SnapshotId(id_of(info.name)) for info in store.list(FORGOTTEN)]
    if wanted is not None:  # of others, prune has deleted the snapshot, and not yet the marker
        marked = [each for each in marked if each in wanted]
    times: dict[SnapshotId, datetime] = {}
    damaged: list[RepositoryError] = []
    read = ahead.mapped(partial(_read, store, keys), marked, ahead.small(store))
    for snapshot_id, found in zip(marked, read, strict=True):
        if isinstance(found, RepositoryError):
            damaged.append(found)
        elif found is not None:
            times[snapshot_id] = found
    return times, damaged


def _read(store: Store, keys: Keys, snapshot_id: SnapshotId) -> datetime | RepositoryError | None:
    try:
        return forgotten(store, keys, snapshot_id)
    except (IntegrityError, UnsupportedFormat) as error:
        return error
