"""Prune: what nobody needs is deleted, without a lock (docs/format.md, section 12).

The order of things is that of `protocol.prune`; here is what each of its requests does to a store.
What is condemned now is deleted by a run that begins after the grace period.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backup.errors import IntegrityError, NoSuchSnapshot, RepositoryError
from backup.report import Advanced, Finished, Noted, OnEvent, Started
from backup.repository import annotation, marker, sealed
from backup.repository.actor import Actor, CondemnedRecord
from backup.repository.ahead import small
from backup.repository.annotation import Annotation
from backup.repository.compaction import compact_indexes
from backup.repository.copying import copy
from backup.repository.manifest import to_chunk
from backup.repository.names import (
    ANNOTATIONS,
    CONDEMNED,
    FORGOTTEN,
    PACKS,
    SNAPSHOTS,
    ChunkId,
    PackId,
    SnapshotId,
    object_name,
)
from backup.repository.protocol import (
    EXCLUSIVE,
    SPANS,
    Adopt,
    Choice,
    Choose,
    Copy,
    Delete,
    ListMarkers,
    ListSnapshots,
    PutCondemned,
    ReadTables,
    Repack,
    Request,
    Spans,
    View,
    Walk,
    prune,
)
from backup.repository.reading import REPAIR
from backup.repository.relist import relist
from backup.repository.repack import MaxUnused, PackState, chosen
from backup.repository.repository import SHORT_ID, Repository
from backup.repository.snapshot import Snapshot
from backup.repository.usage import PackUsage, Walker
from transports.errors import OutOfSpace

DEFAULT_UNUSED: Final = MaxUnused(share=0.05)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of objects or chunks, and their bytes."""

    number: int = 0
    size: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Return both together."""
        return Amount(self.number + other.number, self.size + other.size)

    def less(self, other: "Amount") -> "Amount":
        """Return what is left without the other, which is a part of it."""
        return Amount(self.number - other.number, self.size - other.size)


NONE: Final = Amount()


@dataclass(slots=True)
class Pruned:
    """What a run did, or would do. Sizes in bytes.

    `packs` are all that were there; `used` bytes of them snapshots use, `unused` ones stay although
    none does: in packs that are used otherwise, or were put lately. `condemned` packs are deleted
    by a run after `free_at`; `waiting` ones were condemned by runs before. `adopted` packs were in
    no index, `merged` is by how much there are fewer index objects. `held` are forgotten snapshots
    that can be brought back, and what only they use; the last is deleted after `held_until`.
    """

    snapshots: int = 0
    packs: Amount = NONE
    used: int = 0
    unused: int = 0
    copied: Amount = NONE
    condemned: Amount = NONE
    deleted: Amount = NONE
    waiting: Amount = NONE
    adopted: int = 0
    merged: int = 0
    free_at: datetime | None = None
    held: Amount = NONE
    held_until: datetime | None = None


def prune_repository(
    repository: Repository,
    on_event: OnEvent,
    *,
    max_unused: MaxUnused = DEFAULT_UNUSED,
    exclusive: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Delete what nobody needs, and condemn what nobody needs any more.

    `exclusive`: nothing else writes to the repository meanwhile, so nothing is waited for, and what
    would be condemned is deleted at once. Where the store is full, what needs room is left to the
    next run. Raises IntegrityError where something that a snapshot needs cannot be read: by then
    nothing is deleted that it may need; TooLate, TransportError.
    """
    spans = EXCLUSIVE if exclusive else SPANS
    first = _Pruner(repository, on_event, max_unused, spans, dry_run=dry_run)
    try:
        first.run(prune(spans))
    except IntegrityError:
        # before that is believed: another prune may have moved things while this one looked, or
        # what this machine keeps of the indexes may be what is damaged
        repository.tables.discard()
        before = Pruned() if dry_run else first.pruned
        first = _Pruner(repository, on_event, max_unused, spans, dry_run=dry_run)
        first.run(prune(spans))
        first.pruned.snapshots += before.snapshots
        first.pruned.adopted += before.adopted
        first.pruned.deleted = first.pruned.deleted.plus(before.deleted)
    done = first.pruned
    if not dry_run:
        with suppress(OutOfSpace):
            done.merged = compact_indexes(repository, before=repository.clock() - spans.grace)
    return done


class _Pruner(Actor):
    """Performs one run of prune."""

    def __init__(
        self,
        repository: Repository,
        on_event: OnEvent,
        max_unused: MaxUnused,
        spans: Spans,
        *,
        dry_run: bool,
    ) -> None:
        super().__init__(repository)
        self.pruned = Pruned()
        self._on_event = on_event
        self._max_unused = max_unused
        self._spans = spans
        self._dry_run = dry_run
        self._manifests: set[str] = set()
        self._unreadable: set[PackId] = set()
        self._going: frozenset[PackId] = frozenset()
        self._waiting: set[PackId] = set()
        self._waste: dict[PackId, int] = {}
        self._buried: set[str] = set()
        self._forgotten: dict[SnapshotId, datetime] = {}

    def perform(self, request: Request) -> Any:  # noqa: PLR0911, C901  a case a request
        match request:
            case ReadTables():
                return self._read_whole_tables()
            case ListMarkers():
                self._forgotten = self._markers()
                return self._forgotten
            case ListSnapshots():
                ids = self.repository.snapshot_ids()
                return [each for each in ids if each not in self._buried]
            case Walk(snapshots, seen):
                return self._walk(snapshots, seen)
            case Choose(seen, usage):
                assert isinstance(usage, PackUsage)  # noqa: S101  it is what _walk has returned
                return self._choose(seen, usage)
            case Adopt(packs):
                self._adopt(packs)
            case Copy(chunks, seen):
                self._copy(chunks, seen)
            case Repack(chunks, seen):
                return self._repack(chunks, seen)
            case PutCondemned(time, packs):
                self._condemn(time, packs)
            case Delete(kind, ids):
                self._delete(kind, ids)
            case _:
                return super().perform(request)
        return None

    def _read_whole_tables(self) -> Any:
        found = super().perform(ReadTables())
        if self.damaged:
            raise IntegrityError(
                f"no pack was deleted: {self.damaged[0]}",
                hint=REPAIR,
            )
        return found

    def _markers(self) -> dict[SnapshotId, datetime]:
        """Return when snapshots were forgotten; not those that are pinned, or may be."""
        store, keys = self.store, self.keys
        annotations, damaged = annotation.load(store, keys)
        if damaged:
            self._note(f"{damaged[0]}: no snapshot is deleted")
            return {}
        times, _ = marker.load(store, keys)
        said = annotation.effective(annotations)
        return {each: time for each, time in times.items() if not _is_pinned(said.get(each))}

    def _walk(self, snapshots: Collection[SnapshotId], seen: View) -> PackUsage:
        reading = self.as_reading(seen)
        self.repository.readings.replace(reading)
        usage, walker = PackUsage(reading), Walker(self.repository.read)
        forgotten = [each for each in snapshots if each in self._forgotten]
        self._on_event(Started("prune", "snapshots", 0, len(snapshots), unit="snapshots"))
        self._mark([each for each in snapshots if each not in self._forgotten], usage, walker)
        size = usage.total
        self._mark(forgotten, usage, walker)
        self._on_event(Finished("prune", "snapshots"))
        if forgotten:
            self.pruned.held = Amount(len(forgotten), usage.total - size)
            last = max(self._forgotten[each] for each in forgotten)
            self.pruned.held_until = last + self._spans.undelete
        return usage

    def _mark(self, snapshots: Collection[SnapshotId], usage: PackUsage, walker: Walker) -> None:
        records = walker.prepared(self.repository.records(snapshots), small(self.store))
        for snapshot_id, record in zip(snapshots, records, strict=True):
            try:
                self._mark_one(record, usage, walker)
            except NoSuchSnapshot:
                continue  # another prune has deleted it
            except RepositoryError as error:
                raise IntegrityError(
                    f"no pack was deleted: snapshot {snapshot_id[:SHORT_ID]} is damaged: {error}",
                    hint=error.hint
                    or "`voltar check` says what can be read; `voltar forget` gives up the rest",
                ) from error
            self._on_event(Advanced(0, 1))

    def _mark_one(
        self, record: Snapshot | RepositoryError, usage: PackUsage, walker: Walker
    ) -> None:
        if isinstance(record, RepositoryError):
            raise record
        for extent in record.manifest:
            usage.mark(extent.chunk, manifest=True)
            self._manifests.add(extent.chunk)
        for chunk in walker.chunks(record.manifest):
            usage.mark(chunk)

    def _choose(self, seen: View, usage: PackUsage) -> Choice:
        packs = list(self._states(seen, usage))
        choice = chosen(packs, self._max_unused)
        unused = self._unreadable.union(choice.unused)
        if self._spans.exclusive:
            unused |= seen.unlisted  # no backup is under way that has put them
        self._going = frozenset(unused.union(choice.repacked))
        copied = [chunk for pack in choice.repacked for chunk in self._used(pack, usage)]
        self._waste = {pack.id: pack.unused for pack in packs}
        self._waiting = self.sizes.keys() & set().union(*(each.packs for each in seen.condemned))
        self.pruned.packs = self._amount(self.sizes)
        self.pruned.used = sum(pack.used for pack in packs)
        self.pruned.unused = sum(self._waste.values())
        self.pruned.waiting = self._amount(self._waiting)
        return Choice(frozenset(unused), frozenset(choice.repacked), copied)

    def _states(self, seen: View, usage: PackUsage) -> Iterator[PackState]:
        now = seen.time.timestamp()
        grace = self._spans.grace.total_seconds()
        for listed in self.repository.tables.listed():
            if listed.id in seen.live:
                young = now - grace < listed.since < now + grace
                yield PackState(
                    listed.id,
                    listed.size,
                    self.repository.tables.blobs(listed.id),
                    usage.size(listed.id),
                    young,
                    usage.of_manifests(listed.id),
                )

    def _used(self, pack: PackId, usage: PackUsage) -> Iterator[ChunkId]:
        table = self.repository.tables.table(pack)
        for number, blob in enumerate(table.blobs if table else ()):
            if usage.has(pack, number):
                yield to_chunk(blob.chunk)

    def _adopt(self, packs: Collection[PackId]) -> None:
        """Take in what runs that were killed have left: a backup may yet use it."""
        if self._dry_run:
            self.pruned.adopted = len(packs)
            return
        packs_and_sizes = ((each, self.sizes[each]) for each in packs)
        try:
            for pack, error in relist(self.repository, packs_and_sizes):
                if error is None:
                    self.pruned.adopted += 1
                else:
                    self._unreadable.add(pack)
        except OutOfSpace:
            self.pruned.adopted = 0
            self._note("the store is full: packs that are in no index stay so")

    def _copy(self, chunks: Collection[ChunkId], seen: View) -> None:
        if self._dry_run:
            places = [self.repository.readings.find(chunk) for chunk in chunks]
            size = sum(place[1].length for place in places if place)
            self.pruned.copied = self.pruned.copied.plus(Amount(len(chunks), size))
            return
        reading = self.as_reading(seen).without(self._going)
        copied = copy(self.repository, chunks, reading, self._manifests)
        self.pruned.copied = self.pruned.copied.plus(Amount(copied.chunks, copied.stored))

    def _repack(self, chunks: Collection[ChunkId], seen: View) -> bool:
        try:
            self._copy(chunks, seen)
        except OutOfSpace:
            self._note("the store is full: packs that are used in part stay as they are")
            return False
        return True

    def _condemn(self, time: datetime, packs: frozenset[PackId]) -> None:
        self.pruned.free_at = time + self._spans.grace
        self.pruned.condemned = self.pruned.condemned.plus(self._amount(packs))
        self._go(packs)
        if self._dry_run:
            return
        record = CondemnedRecord(time, sorted(packs))
        list_id, data = sealed.encode(self.keys, CONDEMNED, record)
        name = object_name(CONDEMNED, list_id)
        self.store.put(name, data)
        self.demand_in_time("condemning packs", lambda: self.store.delete(name))

    def _delete(self, kind: str, ids: Collection[str]) -> None:
        if kind == SNAPSHOTS:
            self.pruned.snapshots = len(ids)
            self._buried = set(ids)
        if kind == PACKS:
            packs = {PackId(each) for each in ids if each in self.sizes}
            self.pruned.deleted = self.pruned.deleted.plus(self._amount(packs))
            self.pruned.waiting = self._amount(self._waiting - packs)
            self._go(packs)
        if self._dry_run:
            return
        if kind == FORGOTTEN:
            super().delete(ANNOTATIONS, annotation.about(self.store, self.keys, set(ids)))
        super().delete(kind, ids)

    def _go(self, packs: Collection[PackId]) -> None:
        """Count the waste in packs as such that does not stay."""
        self.pruned.unused -= sum(self._waste.pop(pack, 0) for pack in packs)

    def _note(self, text: str) -> None:
        self._on_event(Noted("repository", b"", text))

    def _amount(self, packs: Collection[PackId]) -> Amount:
        return Amount(len(packs), sum(self.sizes.get(pack, 0) for pack in packs))


def _is_pinned(said: Annotation | None) -> bool:
    return said is not None and bool(said.pinned)
