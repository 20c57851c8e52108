"""A store of five sets, and what an actor can do to it in one step.

A pack is named after the chunks that it holds: `A1.bc` is the pack A1 with the chunks b and c; a
snapshot `X.b` needs the chunk b. Sizes are 1. Times are whole ticks. Indexes, condemned lists and
markers are tuples that begin with their id.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from backup.repository.names import CONDEMNED, FORGOTTEN, INDEX, PACKS, SNAPSHOTS

Index = tuple[str, frozenset[str]]
Condemned = tuple[str, int, frozenset[str]]
Marker = tuple[str, int]
EMPTY: frozenset[Any] = frozenset()


class Store(NamedTuple):
    """The objects of a repository, by kind. `late` are snapshots that were put too late: they are
    there, and nobody has promised that they are whole."""

    packs: frozenset[str] = EMPTY
    indexes: frozenset[Index] = EMPTY
    snapshots: frozenset[str] = EMPTY
    forgotten: frozenset[Marker] = EMPTY
    condemned: frozenset[Condemned] = EMPTY
    late: frozenset[str] = EMPTY


PLACES = {PACKS: 0, INDEX: 1, SNAPSHOTS: 2, FORGOTTEN: 3, CONDEMNED: 4}
Outcome = tuple[Any, Store]


def chunks(name: str) -> str:
    """Return the chunks that a pack holds, or that a snapshot needs; each is a letter."""
    return name.partition(".")[2]


def holds(packs: Iterable[str]) -> set[str]:
    """Return the chunks of packs, or of snapshots."""
    return set().union(*map(chunks, packs))


@lru_cache(100_000)
def listed(indexes: frozenset[Index]) -> frozenset[str]:
    """Return the packs that are in an index."""
    return EMPTY.union(*(packs for _, packs in indexes))


@lru_cache(100_000)
def lost(packs: frozenset[str], indexes: frozenset[Index], snapshots: frozenset[str]) -> str | None:
    """Return what a snapshot needs and no pack has that is listed and there."""
    readable = holds(listed(indexes) & packs)
    for snapshot in sorted(snapshots):
        for chunk in chunks(snapshot):
            if chunk not in readable:
                return f"chunk {chunk} of snapshot {snapshot} is lost"
    return None


def with_objects(store: Store, kind: str, objects: frozenset[Any]) -> Store:
    """Return the store with other objects of a kind."""
    place = PLACES[kind]
    return Store._make((*store[:place], objects, *store[place + 1 :]))


def id_of(thing: Any) -> str:
    """Return the id of an object."""
    return thing if isinstance(thing, str) else thing[0]


# ---------------------------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the clock: answers the true time. The scheduler performs it."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Choose any of these: answers it. The scheduler performs it."""

    options: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step at the store; not to be taken after the time `by`, if there is one."""

    by: int | None

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        """Return what can come of it: an answer, and the store as it is then."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class List(Step):
    """Read all objects of a kind; up to `missing` of them may not be seen."""

    kind: str
    missing: int = 0

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        objects = store[PLACES[self.kind]]
        return ((seen, store) for seen in subsets(objects, self.missing))


@dataclass(frozen=True, slots=True)
class Tables(Step):
    """Read condemned lists and indexes. `before` are the lists that were listed, if that was a
    step before: those that are there still are read, and any that are gone may have been."""

    missing: int = 0
    before: frozenset[Condemned] | None = None

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        lists: tuple[frozenset[Condemned], ...] = (store.condemned,)
        if self.before is not None:
            kept = self.before & store.condemned
            gone = self.before - kept
            lists = tuple(kept | read for read in subsets(gone, len(gone)))
        for condemned in lists:
            for index in subsets(store.indexes, self.missing):
                yield (condemned, index), store


@dataclass(frozen=True, slots=True)
class Put(Step):
    """Put an object."""

    kind: str
    thing: Any

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        objects = store[PLACES[self.kind]]
        return ((None, with_objects(store, self.kind, objects | {self.thing})),)


@dataclass(frozen=True, slots=True)
class PutAbsent(Put):
    """Put an object, unless there is one with its id; answers whether there was none."""

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        if self.thing[0] in map(id_of, store[PLACES[self.kind]]):
            return ((False, store),)
        return [(True, after) for _, after in Put.outcomes(self, store)]


@dataclass(frozen=True, slots=True)
class PutLate(Step):
    """Put a snapshot, too late."""

    name: str

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        late = store.late if self.name in store.snapshots else store.late | {self.name}
        return ((None, store._replace(snapshots=store.snapshots | {self.name}, late=late)),)


@dataclass(frozen=True, slots=True)
class CountLate(Step):
    """Take a snapshot for one that was put in time."""

    name: str

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        return ((None, store._replace(late=store.late - {self.name})),)


@dataclass(frozen=True, slots=True)
class CopyPack(Step):
    """Put a pack with chunks that are in these packs; answers whether they are all there still."""

    name: str
    sources: frozenset[str]

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        if set(chunks(self.name)) <= holds(self.sources & store.packs):
            return ((True, store._replace(packs=store.packs | {self.name})),)
        return ((False, store),)


@dataclass(frozen=True, slots=True)
class AdoptPacks(Step):
    """Put an index of those of the packs that are there still."""

    name: str
    packs: frozenset[str]

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        there = self.packs & store.packs
        indexes = store.indexes | {(self.name, there)} if there else store.indexes
        return ((None, store._replace(indexes=indexes)),)


@dataclass(frozen=True, slots=True)
class DeleteOne(Step):
    """Delete any one of these objects; answers the ids of the others, but for those gone for good:
    only a marker's id can come again."""

    kind: str
    ids: frozenset[str]

    def outcomes(self, store: Store) -> Iterable[Outcome]:
        objects = store[PLACES[self.kind]]
        there = {id_of(each): each for each in objects if id_of(each) in self.ids}
        left = self.ids if self.kind == FORGOTTEN else frozenset(there)
        if not left:
            yield left, store
        for each in sorted(left):
            without = objects - {there[each]} if each in there else objects
            yield left - {each}, with_objects(store, self.kind, without)


def subsets(things: frozenset[Any], less: int) -> Iterator[frozenset[Any]]:
    """Yield the subsets that have at most so many things less; all of them first."""
    yield things
    for count in range(1, min(less, len(things)) + 1):
        for each in combinations(sorted(things, key=id_of), count):
            yield things.difference(each)
