"""Actors: hosts that run the real generators of `backup.repository.protocol`, step by step.

Each request becomes steps at the abstract store, in the order in which the code that performs it
at a real one takes them. Nothing is decided here, but for what those who perform requests compute
from a view: which chunks are used or lacking. What prune condemns is up to the scheduler.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from backup.errors import IntegrityError, TooLate
from backup.repository import protocol
from backup.repository.names import CONDEMNED, FORGOTTEN, INDEX, PACKS, SNAPSHOTS
from backup.repository.protocol import (
    Adopt,
    Choice,
    Choose,
    CondemnedList,
    Copy,
    Delete,
    ListIndexes,
    ListMarkers,
    ListPacks,
    ListSnapshots,
    Merge,
    Now,
    PutCondemned,
    PutMarker,
    PutSnapshot,
    ReadTables,
    Repack,
    Spans,
    Supply,
    Walk,
)
from tests.model.replay import Life
from tests.model.store import (
    AdoptPacks,
    CopyPack,
    CountLate,
    DeleteOne,
    List,
    Look,
    Pick,
    Put,
    PutAbsent,
    PutLate,
    Tables,
    holds,
    listed,
)

TICK = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
Steps = protocol.Steps[Any]
Alteration = Callable[[Steps], Steps]


@dataclass(frozen=True, slots=True)
class Save:
    """Put a pack with chunks that a backup has read, then its index."""

    chunks: str


@dataclass(frozen=True, slots=True)
class Count:
    """Report a backup's success: now its snapshot must be whole, whenever it was put."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers that hold in an instance, in ticks, and what its actors may meet.

    `longest` is the time from a look at the clock to what follows at once. A backup dies after so
    many `readings`. `gaps`: time may pass between any look at the clock and the step after it.
    `copying`: prune may copy what is used of what it condemns. A reading may miss so many index
    objects: `missing`. `full`: there may be no room for what prune puts, but for condemned lists.
    `torn`: condemned lists are listed first and read afterwards. `late`: a snapshot may get there
    at any time after it was put, and whoever has put it is told.

    The rest is for ablations. `renamed`: ids can come again. `altered` are changes of the real
    generators, by kind of actor, and `spans` what such actors believe; `patched` are functions of
    the protocol module.
    """

    grace: int = 2
    undelete: int = 2
    margin: int = 1
    longest: int = 0
    end: int = 5
    readings: int = 1
    gaps: bool = False
    copying: bool = False
    missing: int = 0
    full: bool = False
    torn: bool = False
    late: bool = False
    renamed: bool = False
    altered: Mapping[str, Alteration] = field(default_factory=dict)
    spans: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    patched: Mapping[str, Any] = field(default_factory=dict)

    def spans_of(self, kind: str) -> Spans:
        """Return the spans that a kind of actor knows."""
        own: dict[str, int] = {
            "grace": self.grace,
            "undelete": self.undelete,
            "margin": self.margin,
        }
        return Spans(**{name: n * TICK for name, n in {**own, **self.spans.get(kind, {})}.items()})


class Actor(NamedTuple):
    """A host that does one thing, `runs` times, with a clock that is `fast` ticks ahead."""

    kind: str
    name: str
    about: str = ""
    runs: int = 1
    fast: int = 0

    @property
    def snapshot(self) -> str:
        """What a backup puts."""
        return f"{self.name}.{self.about}"


def backup(name: str, want: str, fast: int = 0) -> Actor:
    """Return one that backs up chunks."""
    return Actor("backup", name, want, 1, fast)


def prune(name: str, runs: int = 1, fast: int = 0) -> Actor:
    """Return one that prunes."""
    return Actor("prune", name, "", runs, fast)


def compaction(name: str) -> Actor:
    """Return one that compacts the index."""
    return Actor("compact", name)


def forget(snapshot: str, fast: int = 0, name: str = "F") -> Actor:
    """Return one that forgets a snapshot."""
    return Actor("forget", name, snapshot, 1, fast)


def unforget(snapshot: str, fast: int = 0, name: str = "U") -> Actor:
    """Return one that brings a snapshot back."""
    return Actor("unforget", name, snapshot, 1, fast)


def _back_up(actor: Actor, spans: Spans) -> Steps:
    seen = yield from protocol.read()
    have = holds(seen.live)
    new = "".join(chunk for chunk in actor.about if chunk not in have)
    if new:
        yield Save(new)  # type: ignore[misc]  # a backup's own data are nothing to the protocol
    yield from protocol.commit(actor.snapshot, seen, spans)  # type: ignore[arg-type]
    yield Count()  # type: ignore[misc]


KINDS: dict[str, Callable[[Actor, Spans], Steps]] = {
    "backup": _back_up,
    "prune": lambda _, spans: protocol.prune(spans),
    "compact": lambda _, __: protocol.compact(START),
    "forget": lambda actor, _: protocol.forget(actor.about),  # type: ignore[arg-type]
    "unforget": lambda actor, spans: protocol.unforget(actor.about, spans),  # type: ignore[arg-type]
}


# ---------------------------------------------------------------------------------- performing


@dataclass(slots=True)
class Hand:
    """What the one who performs an actor's requests has to know."""

    actor: Actor
    rules: Rules
    run: int
    written: int = 0
    readings: int = 0
    by: int | None = None
    indexes: dict[str, frozenset[str]] = field(default_factory=dict)

    def new_id(self, sort: str = "") -> str:
        """Return an id that was never there, unless ids can come again."""
        if self.rules.renamed:
            return f"{sort}P0"
        self.written += 1
        return f"{sort}{self.actor.name}{self.run}{self.written}"

    def time(self, hours: int) -> datetime:
        """Return what a clock shows."""
        return START + hours * TICK

    def ticks(self, time: datetime) -> int:
        """Return the same in ticks."""
        return (time - START) // TICK


def life(actor: Actor, rules: Rules) -> Life:
    """Do all that an actor does."""
    alter = rules.altered.get(actor.kind)
    for run in range(actor.runs):
        steps = KINDS[actor.kind](actor, rules.spans_of(actor.kind))
        hand = Hand(actor, rules, run)
        with suppress(IntegrityError, TooLate):  # nothing more happens in this run
            yield from _perform(alter(steps) if alter else steps, hand)


def _perform(steps: Steps, hand: Hand) -> Life:
    answer: Any = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return
        if isinstance(request, Now) and hand.actor.kind == "prune" and _reads(steps):
            answer = UNUSED
        elif isinstance(request, Now):
            now = yield Look()
            hand.by = now + hand.rules.longest
            answer = hand.time(now + hand.actor.fast)
        else:
            answer = yield from WAYS[type(request)](request, hand)
            hand.by = None


UNUSED = object()
"""The time of a reading, for a prune, which has no use for it: states that differ by it alone are
one. Whoever compares it with a time gets a TypeError."""


def _reads(steps: Any) -> bool:
    """Return whether an actor has just begun a reading."""
    waits_for = steps.gi_yieldfrom
    return waits_for is not None and waits_for.gi_code is protocol.read.__code__


def _read_tables(_: ReadTables, hand: Hand) -> Life:
    hand.readings += 1
    if hand.actor.kind == "backup" and hand.readings > hand.rules.readings:
        raise TooLate("this one dies")
    before = None
    if hand.rules.torn:
        before = yield List(None, CONDEMNED)
    condemned, index = yield Tables(None, hand.rules.missing, before)
    lists = [
        CondemnedList(each, hand.time(at), packs)
        for each, at, packs in sorted(condemned, key=lambda found: found[0])
    ]
    return lists, dict.fromkeys(listed(index), 1)


def _list_packs(_: ListPacks, hand: Hand) -> Life:
    packs = yield List(None, PACKS)
    return dict.fromkeys(packs, 1)


def _list_markers(_: ListMarkers, hand: Hand) -> Life:
    markers = yield List(None, FORGOTTEN)
    return {snapshot: hand.time(at) for snapshot, at in markers}


def _list_snapshots(_: ListSnapshots, hand: Hand) -> Life:
    return (yield List(None, SNAPSHOTS))


def _list_indexes(_: ListIndexes, hand: Hand) -> Life:
    index = yield List(None, INDEX, hand.rules.missing)
    hand.indexes = dict(index)
    return {each: (START, packs) for each, packs in index}


def _merge(request: Merge, hand: Hand) -> Life:
    packs = frozenset().union(*(hand.indexes[each] for each in request.objects))
    if packs := packs.difference(request.without):
        yield Put(None, INDEX, (hand.new_id(), packs))


class Used(NamedTuple):
    """What snapshots use."""

    chunks: frozenset[str]
    lacking: frozenset[str]


def _walk(request: Walk, hand: Hand) -> Life:
    used = holds(request.snapshots)
    lacking = used - holds(request.seen.live)
    if lacking - holds(request.seen.spare):
        raise IntegrityError("a used chunk is in no pack")
    return Used(frozenset(used), frozenset(lacking))
    yield  # it takes no step at the store


def _choose(request: Choose, hand: Hand) -> Life:
    """Let anything be chosen, with and without a copy of what is used of it; and by one who is
    alone, what may go at once."""
    usage: Any = request.usage
    live, alone = request.seen.live, hand.rules.spans_of("prune").exclusive
    packs = sorted(live | request.seen.unlisted)
    options = [Choice()]
    for going in [frozenset([each]) for each in packs] + [frozenset(packs)]:
        used = holds(going & live) & usage.chunks
        if not alone or used <= holds(live - going):
            options.append(Choice(going))
        if used and hand.rules.copying:
            repacked = frozenset(each for each in going & live if holds([each]) & used)
            options.append(Choice(going - repacked, repacked, frozenset(used)))
    return (yield Pick(tuple(dict.fromkeys(options))))


def _room(hand: Hand) -> Life:
    """Return whether there is room: where there may be none, either can be."""
    return (yield Pick((True, False))) if hand.rules.full else True


def _adopt(request: Adopt, hand: Hand) -> Life:
    if (yield from _room(hand)):
        yield AdoptPacks(None, hand.new_id(), frozenset(request.packs))


def _copy(request: Copy | Repack, hand: Hand) -> Life:
    name = f"{hand.new_id()}.{''.join(sorted(set(map(str, request.chunks))))}"
    copied = yield CopyPack(None, name, frozenset(request.seen.live | request.seen.spare))
    if not copied:
        raise IntegrityError("a chunk cannot be read")
    yield Put(None, INDEX, (hand.new_id(), frozenset([name])))


def _repack(request: Repack, hand: Hand) -> Life:
    """Copy, or find no room: packs without an index are what a run leaves that dies meanwhile."""
    if (yield from _room(hand)):
        yield from _copy(request, hand)
        return True
    return False


def _save(request: Save, hand: Hand) -> Life:
    name = f"{hand.new_id()}.{request.chunks}"
    yield Put(None, PACKS, name)
    yield Put(None, INDEX, (hand.new_id(), frozenset([name])))


def _supply(request: Supply, hand: Hand) -> Life:
    lacking = set(hand.actor.about) - holds(request.seen.live)
    if lacking - holds(request.seen.spare):
        return False
    if lacking:
        try:
            yield from _copy(Copy(lacking, request.seen), hand)  # type: ignore[arg-type]
        except IntegrityError:
            return False
    return True


def _put_snapshot(_: PutSnapshot, hand: Hand) -> Life:
    name = hand.actor.snapshot
    if hand.rules.late and (yield Pick((False, True))):
        yield PutLate(hand.rules.end, name)
        return False
    yield Put(hand.by, SNAPSHOTS, name)
    return True


def _count(_: Count, hand: Hand) -> Life:
    if hand.rules.late:
        yield CountLate(None, hand.actor.snapshot)


def _put_marker(request: PutMarker, hand: Hand) -> Life:
    return (yield PutAbsent(hand.by, FORGOTTEN, (request.snapshot, hand.ticks(request.time))))


def _put_condemned(request: PutCondemned, hand: Hand) -> Life:
    yield Put(hand.by, CONDEMNED, (hand.new_id(), hand.ticks(request.time), request.packs))


def _delete(request: Delete, hand: Hand) -> Life:
    left = frozenset(request.ids)
    while left:
        left = yield DeleteOne(hand.by, request.kind, left)


WAYS: dict[type, Callable[[Any, Hand], Life]] = {
    ReadTables: _read_tables,
    ListPacks: _list_packs,
    ListMarkers: _list_markers,
    ListSnapshots: _list_snapshots,
    ListIndexes: _list_indexes,
    Merge: _merge,
    Walk: _walk,
    Choose: _choose,
    Adopt: _adopt,
    Copy: _copy,
    Repack: _repack,
    Save: _save,
    Supply: _supply,
    Count: _count,
    PutSnapshot: _put_snapshot,
    PutMarker: _put_marker,
    PutCondemned: _put_condemned,
    Delete: _delete,
}
