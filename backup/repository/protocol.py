"""How backups, forgetting and pruning share a repository without locks (docs/format.md, 12).

Every actor is a generator. It yields one request at a time, to the store or to the clock, and is
sent the answer; what it decides in between is computed from answers alone. So the same code runs
against a store (`prune.py`, `commit.py`) and under a scheduler that lets any number of actors take
their steps in any order and die between any two (tests/model).

The rules, in one paragraph: a pack is live if an index lists it, it is there, and no condemned list
names it; condemned is for good. A backup refers to live packs only, and commits within GRACE less
MARGIN of the reading in which they were. Prune copies what is used and in no live pack, and only
then deletes the packs that were condemned longer than GRACE ago. Numbers in comments are those of
the rules in section 12.
"""

from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from backup.errors import TooLate
from backup.repository.index import PACKS_PER_OBJECT
from backup.repository.names import (
    CONDEMNED,
    FORGOTTEN,
    INDEX,
    PACKS,
    SNAPSHOTS,
    ChunkId,
    PackId,
    SnapshotId,
)
from backup.repository.timing import GRACE, MARGIN, UNDELETE

_T = TypeVar("_T")
Steps = Generator["Request", Any, _T]
_ATTEMPTS: Final = 5
"""Readings that a backup takes before it gives up: each one is a day later than the last."""


@dataclass(frozen=True, slots=True)
class Spans:
    """What is waited for; zero where somebody vouches that nothing else writes."""

    grace: timedelta = GRACE
    undelete: timedelta = UNDELETE
    margin: timedelta = MARGIN

    @property
    def exclusive(self) -> bool:
        """Whether nobody else is there who may have seen a pack that is live."""
        return not self.grace


SPANS: Final = Spans()
EXCLUSIVE: Final = Spans(timedelta(0), timedelta(0))


class CondemnedList(NamedTuple):
    """Packs that nobody may refer to any more, and since when."""

    id: str
    time: datetime
    packs: frozenset[PackId]


class View(NamedTuple):
    """What a reading saw. A pack that is there is in at most one of the three sets.

    `time` is when the reading began. `live` packs may be referred to; `spare` ones are listed and
    there, but condemned; `unlisted` ones are there, in no index, and not condemned.
    """

    time: datetime
    condemned: tuple[CondemnedList, ...]
    live: set[PackId]
    spare: set[PackId]
    unlisted: set[PackId]


def view(
    time: datetime,
    condemned: Iterable[CondemnedList],
    listed: Mapping[PackId, int],
    present: Mapping[PackId, int],
) -> View:
    """Return what is live (rule 3). `listed` is what indexes say, `present` what is there, both
    with sizes; a pack of another size than its table says is half a copy, and as good as unlisted.
    """
    lists = tuple(condemned)
    dead: set[PackId] = set()
    dead.update(*(each.packs for each in lists))
    whole = {pack for pack, size in listed.items() if present.get(pack) == size}
    unlisted = {pack for pack in present if pack not in whole and pack not in dead}
    return View(time, lists, whole - dead, whole & dead, unlisted)


# ---------------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class Now:
    """Look at the clock. A request that follows at once takes effect within LONGEST_WRITE of it,
    or its maker is told (rule 4, 6, 11)."""


@dataclass(frozen=True, slots=True)
class ReadTables:
    """Read condemned lists and indexes; answers both: lists, and sizes by pack id (rule 2)."""


@dataclass(frozen=True, slots=True)
class ListPacks:
    """List packs; answers sizes by id."""


@dataclass(frozen=True, slots=True)
class ListMarkers:
    """Read the markers of forgotten snapshots; answers times by snapshot id."""


@dataclass(frozen=True, slots=True)
class ListSnapshots:
    """List snapshots; answers their ids."""


@dataclass(frozen=True, slots=True)
class ListIndexes:
    """Read indexes; answers, by object id, what they list."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Find what snapshots use, as far as `seen` goes; answers a Usage. Raises IntegrityError."""

    snapshots: Collection[SnapshotId]
    seen: View


@dataclass(frozen=True, slots=True)
class Choose:
    """Choose what is to go; answers a Choice. Any packs may be condemned; those that go at once,
    where spans are EXCLUSIVE, must hold nothing that is used."""

    seen: View
    usage: "Usage"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Put an index of packs that have none, if there is room for it."""

    packs: Collection[PackId]


@dataclass(frozen=True, slots=True)
class Copy:
    """Put packs with these chunks, then their index. Raises IntegrityError where one cannot be
    read."""

    chunks: Collection[ChunkId]
    seen: View


@dataclass(frozen=True, slots=True)
class Repack:
    """As Copy, of what is in live packs; answers whether there was room."""

    chunks: Collection[ChunkId]
    seen: View


@dataclass(frozen=True, slots=True)
class PutCondemned:
    """Condemn packs, as of the time that was just read."""

    time: datetime
    packs: frozenset[PackId]


@dataclass(frozen=True, slots=True)
class PutSnapshot:
    """Put the snapshot that a backup has made; answers whether that took effect in time."""


@dataclass(frozen=True, slots=True)
class PutMarker:
    """Mark a snapshot as forgotten; answers whether it was not yet."""

    snapshot: SnapshotId
    time: datetime


@dataclass(frozen=True, slots=True)
class Merge:
    """Put indexes with all tables of those objects, but for the packs left out."""

    objects: Collection[str]
    without: Collection[PackId]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete objects of one kind, in any order; answered when all are gone."""

    kind: str
    ids: Collection[str]


@dataclass(frozen=True, slots=True)
class Supply:
    """Put again what of the backup's own chunks no pack that is live in `seen` holds, then its
    index; answers whether all of it was there to be read."""

    seen: View


Request = (
    Now
    | ReadTables
    | ListPacks
    | ListMarkers
    | ListSnapshots
    | ListIndexes
    | Walk
    | Choose
    | Adopt
    | Copy
    | Repack
    | PutCondemned
    | PutSnapshot
    | PutMarker
    | Merge
    | Delete
    | Supply
)


class Usage(Protocol):
    """What is used: chunks that no live pack holds, and what else `Choose` wants to know."""

    @property
    def lacking(self) -> Collection[ChunkId]:
        """The used chunks that are in no live pack, but in a spare one."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which packs go: `unused` ones as they are, `repacked` ones after the used chunks in them are
    `copied`, so that no backup has to store these again."""

    unused: frozenset[PackId] = frozenset()
    repacked: frozenset[PackId] = frozenset()
    copied: Collection[ChunkId] = ()


# ---------------------------------------------------------------------------------- actors


def read() -> Steps[View]:
    """Take a reading: condemned lists and indexes first, and only then the packs (rule 2)."""
    time = yield Now()
    condemned, listed = yield ReadTables()
    present = yield ListPacks()
    return view(time, condemned, listed, present)


def commit(snapshot: SnapshotId, seen: View, spans: Spans = SPANS) -> Steps[View]:
    """Put the snapshot of a backup whose packs and index are there and that relied on `seen`.

    Returns the reading that it relied on in the end: where the deadline is over, what is not in a
    live pack of a new reading is put again (rules 4 and 5). A snapshot that got there too late is
    treated as one that is still to be put, and where it cannot be put in time, it is forgotten: it
    may lack what prune has deleted, and would stop every prune. Raises TooLate.
    """
    is_there = False
    error = TooLate(
        "the snapshot was not stored: again and again, more time than prune waits went by",
        hint="look whether this machine sleeps, or its clock jumps",
    )
    for _ in range(_ATTEMPTS):
        now = yield Now()
        if now < seen.time + spans.grace - spans.margin:
            in_time = yield PutSnapshot()
            if in_time:
                return seen
            is_there = True
        seen = yield from read()
        supplied = yield Supply(seen)
        if not supplied:
            error = TooLate(
                "the backup took so long that what it relied on is deleted",
                hint="run it again: it finds what it has stored",
            )
            break
    if is_there:
        yield from forget(snapshot)
    raise error


def forget(snapshot: SnapshotId) -> Steps[bool]:
    """Mark a snapshot as forgotten; return whether it was not yet (rule 6)."""
    now = yield Now()
    put: bool = yield PutMarker(snapshot, now)
    return put


def unforget(snapshot: SnapshotId, spans: Spans = SPANS) -> Steps[bool | None]:
    """Take a snapshot's marker away, if there is time; return whether there was (rule 6).

    None is for a snapshot that is not marked.
    """
    markers = yield ListMarkers()
    if snapshot not in markers:
        return None
    now = yield Now()
    if now >= markers[snapshot] + spans.undelete - spans.margin:
        return False
    yield Delete(FORGOTTEN, (snapshot,))
    return True


def prune(spans: Spans = SPANS) -> Steps[None]:
    """Delete what is over, save what is used, condemn what is not (rules 7 to 11).

    Where the store is full, all goes on that can: what frees space comes before what takes it.
    """
    yield from _bury(spans)
    began = yield Now()
    snapshots = yield ListSnapshots()
    seen = yield from read()
    if seen.unlisted:
        yield Adopt(seen.unlisted)
    usage = yield Walk(snapshots, seen)
    choice: Choice = yield Choose(seen, usage)
    if usage.lacking:
        yield Copy(usage.lacking, seen)
    yield from _delete_condemned(seen, began, spans)
    yield from _drop(choice.unused, spans)
    if choice.repacked:
        copied = yield Repack(choice.copied, seen)
        if copied:
            yield from _drop(choice.repacked, spans)


def _drop(packs: Collection[PackId], spans: Spans) -> Steps[None]:
    """Condemn packs (rule 11). Where nobody else is there to refer to them, they go at once: that
    needs no room for a list."""
    if not packs:
        return
    if spans.exclusive:
        yield Delete(PACKS, sorted(packs))
        return
    now = yield Now()
    yield PutCondemned(now, frozenset(packs))


def _bury(spans: Spans) -> Steps[None]:
    """Delete forgotten snapshots, then their markers (rule 7)."""
    began = yield Now()
    markers = yield ListMarkers()
    over = sorted(each for each, time in markers.items() if began >= time + spans.undelete)
    if over:
        yield Delete(SNAPSHOTS, over)
        yield Delete(FORGOTTEN, over)


def _delete_condemned(seen: View, began: datetime, spans: Spans) -> Steps[None]:
    """Delete what was condemned long ago when the run began; lists go after packs (rule 10)."""
    over = [each for each in seen.condemned if began >= each.time + spans.grace]
    if over:
        yield Delete(PACKS, sorted(set().union(*(each.packs for each in over))))
        yield Delete(CONDEMNED, sorted(each.id for each in over))


def compact(before: datetime) -> Steps[None]:
    """Make many small indexes into few; those newer than `before` are left alone (rule 12)."""
    objects = yield ListIndexes()
    present = yield ListPacks()
    old = {each: packs for each, (time, packs) in objects.items() if time <= before}
    poor, absent = _poor(old, present)
    if poor:
        yield Merge(poor, absent)
        yield Delete(INDEX, poor)


FULL: Final = PACKS_PER_OBJECT
_WORTH: Final = 8
"""How many objects compaction has to save."""


def _poor(
    objects: Mapping[str, Collection[PackId]], present: Collection[PackId]
) -> tuple[list[str], set[PackId]]:
    """Return the objects that are worth being merged, and the packs that they list in vain."""
    left = {each: sum(pack in present for pack in packs) for each, packs in objects.items()}
    poor = sorted(each for each, count in left.items() if count < FULL * 3 // 4)
    tables = sum(left[each] for each in poor)
    if len(poor) - -(-tables // FULL) < _WORTH:
        poor = [each for each in poor if not left[each]]
    return poor, {pack for each in poor for pack in objects[each] if pack not in present}
