"""A repository: one store, opened with its keys."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from backup.errors import (
    IntegrityError,
    NoSuchSnapshot,
    NotARepository,
    RepositoryError,
    RepositoryExists,
    UnsupportedFormat,
    WrongKey,
)
from backup.repository import ahead, annotation, keyfile, marker, recovery, sealed
from backup.repository import descriptor as descriptors
from backup.repository.actor import Actor
from backup.repository.annotation import Annotation
from backup.repository.chunker import Cutter
from backup.repository.commit import Committer
from backup.repository.crypto import Keys, digest
from backup.repository.descriptor import Descriptor
from backup.repository.manifest import Line, Stored, decode_lines, decode_stored
from backup.repository.names import (
    DESCRIPTOR,
    KEYS,
    SNAPSHOTS,
    SnapshotId,
    id_of,
    object_name,
)
from backup.repository.reader import Item, Reader
from backup.repository.reading import Reading, Readings
from backup.repository.relevance import Relevant
from backup.repository.snapshot import Recorded, Snapshot
from backup.repository.tables import Tables
from backup.repository.timing import Clock
from backup.repository.writer import MOST_UPLOADS, Group, Writer
from transports.errors import ObjectNotFound, TransportError
from transports.store import Store

SHORT_ID: Final = 10
"""How many characters of an id are shown, and usually enough to name it."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Repository:
    """What can be asked of an open repository. Made by `create` and `open_repository`.

    `opened_by` is the id of the key object that the password opened, where there was one.
    """

    def __init__(
        self, store: Store, descriptor: Descriptor, keys: Keys, opened_by: str | None = None
    ) -> None:
        self.store = store
        self.opened_by = opened_by
        self.descriptor = descriptor
        self.keys = keys
        self.clock: Clock = utc_now
        self.cache: Path | None = None
        """The directory for what this machine remembers of repositories, if there is one."""

    @cached_property
    def tables(self) -> Tables:
        """What indexes say, as far as it is known here."""
        path = self.cache / self.descriptor.id / "tables.sqlite3" if self.cache else None
        return Tables(self.store, self.keys, path)

    @cached_property
    def readings(self) -> Readings:
        """Where chunks are, by the reading that is current."""
        return Readings(self.take_reading, self.tables)

    def afresh(self, store: Store) -> "Repository":
        """Return the same repository, on its store or a view of it, as if it was never seen."""
        other = Repository(store, self.descriptor, self.keys, self.opened_by)
        other.clock = self.clock
        return other

    def take_reading(self) -> Reading:
        """Look at the store anew."""
        return Actor(self).reading()

    def cutter(self, group: Group) -> Cutter:
        """Return a new cutter for a stream of this group."""
        is_data = group is Group.DATA
        bounds = self.descriptor.data_chunks if is_data else self.descriptor.manifest_chunks
        return Cutter(bounds, self.keys.chunker_seed)

    def writer(self, reading: Reading | None = None, *, uploads: int = MOST_UPLOADS) -> Writer:
        """Return a writer for one run, by the current or another reading; a context manager."""
        reading = reading or self.readings.current()
        return Writer(self.store, self.keys, reading, self.clock, uploads=uploads)

    def read(self, items: Iterable[Item]) -> Iterator[memoryview]:
        """Yield the bytes that literals and extents stand for, in order."""
        largest = self.descriptor.data_chunks.maximum
        return Reader(self.store, self.keys, self.readings, largest).read(items)

    def manifest(self, snapshot: Snapshot, paths: Sequence[bytes] = ()) -> Iterator[Line]:
        """Yield the records of a snapshot's manifest.

        With `paths`, most members are left out that are neither one of them, nor below one, nor
        lead to one.
        """
        return decode_lines(self.read(snapshot.manifest), Relevant(paths) if paths else None)

    def stored(self, snapshot: Snapshot) -> Iterator[Stored]:
        """Yield the members of a snapshot's manifest together with their lines."""
        return decode_stored(self.read(snapshot.manifest))

    def commit(
        self, snapshot: Snapshot, writer: Writer | None = None, *, pinned: bool = False
    ) -> SnapshotId:
        """Put the record of a snapshot, all of whose chunks and their index are on the store.

        `writer` is the one that has put them. One that is `pinned` is so from its first moment.
        Raises TooLate.
        """
        relied_on = writer.reading if writer else self.readings.current()
        committer = Committer(self, snapshot)
        if pinned:
            pin = Annotation(snapshot=committer.id, time=self.clock(), pinned=True)
            annotation.put(self.store, self.keys, pin)
        snapshot_id, reading = committer.commit(relied_on)
        if writer is not None and reading is not relied_on:
            writer.renew(reading)
        return snapshot_id

    def snapshot(self, snapshot_id: SnapshotId) -> Snapshot:
        """Return one snapshot's record, as it was written. Raises NoSuchSnapshot, IntegrityError.

        It may be forgotten, and its tags may have changed since.
        """
        try:
            data = self.store.get(object_name(SNAPSHOTS, snapshot_id))
        except ObjectNotFound as error:
            raise NoSuchSnapshot(f"no snapshot {snapshot_id[:SHORT_ID]}") from error
        return sealed.decode(self.keys, SNAPSHOTS, snapshot_id, data, Snapshot)

    def records(self, ids: Iterable[SnapshotId]) -> Iterator[Snapshot | RepositoryError]:
        """Yield the record of each snapshot in turn, or why there is none: see `snapshot`."""
        return ahead.mapped(self._record, ids, ahead.small(self.store))

    def _record(self, snapshot_id: SnapshotId) -> Snapshot | RepositoryError:
        try:
            return self.snapshot(snapshot_id)
        except (NoSuchSnapshot, IntegrityError, UnsupportedFormat) as error:
            return error

    def snapshot_ids(self) -> list[SnapshotId]:
        """Return the ids of all snapshots, forgotten ones too, in no particular order."""
        return [SnapshotId(id_of(info.name)) for info in self.store.list(SNAPSHOTS)]

    def snapshots(self) -> list[tuple[SnapshotId, Snapshot]]:
        """Return all snapshots that are not forgotten, the oldest first. Raises IntegrityError."""
        found, damaged = self.readable()
        if damaged:
            raise damaged[0]
        return found

    def readable(self) -> tuple[list[tuple[SnapshotId, Snapshot]], list[RepositoryError]]:
        """Return the snapshots that can be read and are not forgotten, and what ails others."""
        found, damaged = self.recorded()
        return [(each.id, each.snapshot) for each in found if each.forgotten is None], damaged

    def recorded(self) -> tuple[list[Recorded], list[RepositoryError]]:
        """Return all snapshots, forgotten ones too, the oldest first, and what could not be read.

        A damaged marker hides no snapshot, a damaged annotation changes none, and of a damaged
        snapshot that is forgotten nothing is said any more. Snapshots are listed before markers:
        prune deletes a snapshot before its marker, so none seems to come back.
        """
        ids = self.snapshot_ids()
        times, damaged = marker.load(self.store, self.keys, ids)
        annotations, more = annotation.load(self.store, self.keys)
        newest = annotation.effective(annotations)
        damaged += more
        found = []
        for snapshot_id, read in zip(ids, self.records(ids), strict=True):
            if isinstance(read, Snapshot):
                time, about = times.get(snapshot_id), newest.get(snapshot_id)
                found.append(annotation.recorded(snapshot_id, read, time, about))
            elif not isinstance(read, NoSuchSnapshot):  # that was deleted since it was listed
                damaged += [] if snapshot_id in times else [read]
        return sorted(found, key=lambda each: (each.snapshot.time, each.id)), damaged


def create(store: Store, password: str | None, *, now: datetime | None = None) -> Repository:
    """Make a repository on a store that has none; without a password it is not encrypted.

    The descriptor is put last: a store without it is no repository, so a run that dies before
    leaves nothing that a second `create` would stumble over; the key that it left is removed where
    that is allowed. Raises RepositoryExists.
    """
    store.create()
    try:
        store.stat(DESCRIPTOR)
    except ObjectNotFound:
        pass
    else:
        raise RepositoryExists(f"there is a repository at {store.url} already")
    _refuse_foreign(store)
    recovery.put(store)
    orphans = [info.name for info in store.list(KEYS)]  # there is no repository that they open
    now = now or utc_now()
    repository_id = os.urandom(32).hex()
    cipher: descriptors.Cipher = "none" if password is None else "aes-256-gcm"
    keys = Keys(bytes.fromhex(repository_id), sealed=False)
    opened_by = None
    if password is not None:
        master = os.urandom(32)
        keys = Keys(master, sealed=True)
        data = keyfile.wrap(master, password, repository=repository_id, now=now)
        opened_by = digest(data)
        store.put(object_name(KEYS, opened_by), data)
    descriptor = Descriptor(repository_id, now, cipher).signed(keys.descriptor_key)
    store.put(DESCRIPTOR, descriptors.encode(descriptor))
    with suppress(TransportError):
        for name in orphans:
            store.delete(name)
    return Repository(store, descriptor, keys, opened_by)


def read_descriptor(store: Store) -> Descriptor:
    """Return what voltar.json says, not yet authenticated. Raises NotARepository."""
    try:
        return descriptors.decode(store.get(DESCRIPTOR))
    except ObjectNotFound as error:
        left = _left(store)
        if left:
            raise NotARepository(
                f"{store.url} holds {left} but no voltar.json: what is left of a repository",
                hint="put voltar.json back from a copy",
            ) from error
        raise NotARepository(
            f"there is no repository at {store.url}",
            hint="`voltar init` makes one; -r or VOLTAR_REPOSITORY says where",
        ) from error


def open_repository(store: Store, password: str | None) -> Repository:
    """Open the repository on a store; `password` is None for one without encryption.

    Raises NotARepository, WrongKey, IntegrityError, UnsupportedFormat, TransportError.
    """
    descriptor = read_descriptor(store)
    opened_by = None
    if not descriptor.sealed:
        if password is not None:
            # Somebody who controls the store could have put an unencrypted one in its place.
            raise WrongKey(
                f"the repository at {store.url} is not encrypted, and a password was given",
                hint="unset the password if that is the repository you mean",
            )
        keys = _public(descriptor)
    elif password is None:
        raise WrongKey(f"the repository at {store.url} is encrypted, and no password was given")
    else:
        master, opened_by = _unlock(store, descriptor, password)
        keys = Keys(master, sealed=True)
    descriptor.verify(keys.descriptor_key)
    return Repository(store, descriptor, keys, opened_by)


def _unlock(store: Store, descriptor: Descriptor, password: str) -> tuple[bytes, str]:
    """Return the master key, and the id of the key object that had it.

    A key object that cannot be used keeps no other from being tried.
    """
    unusable: RepositoryError | None = None
    found = list(store.list(KEYS))
    if not found:
        raise WrongKey(
            f"the repository at {store.url} has no keys left", hint="put keys/ back from a copy"
        )
    for info in found:
        try:
            data = intact(store, info.name)
            master = keyfile.unwrap(data, password, repository=descriptor.id)
        except ObjectNotFound:
            continue  # removed since it was listed
        except (IntegrityError, UnsupportedFormat) as error:
            unusable = error
            continue
        if master is not None:
            return master, id_of(info.name)
    if unusable is not None:
        raise type(unusable)(f"{unusable}, and no other key has this password") from unusable
    raise WrongKey(f"the password opens no key of the repository at {store.url}")


def _public(descriptor: Descriptor) -> Keys:
    """Return the keys of a repository without encryption, which its id is enough for."""
    try:
        return Keys(bytes.fromhex(descriptor.id), sealed=False)
    except ValueError as error:
        raise IntegrityError("voltar.json is damaged: its id is no number") from error


def intact(store: Store, name: str) -> bytes:
    """Return an object, whose bytes are those that its id names. Raises IntegrityError."""
    data = store.get(name)
    if digest(data) != id_of(name):
        raise IntegrityError(f"{name[:21]} is damaged")
    return data


def _refuse_foreign(store: Store) -> None:
    left = _left(store)
    if left:
        raise RepositoryExists(
            f"{store.url} holds {left} but no voltar.json: what is left of a repository",
            hint="choose an empty place, or put voltar.json back from a copy",
        )


def _left(store: Store) -> str | None:
    """Return what a store holds that only a repository has, or None."""
    return next(
        (kind for kind in ("packs", SNAPSHOTS) if any(True for _ in store.list(kind))), None
    )
