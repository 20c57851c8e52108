"""Picks who takes the next step: every possible order, or one at random.

Any actor may take the next step, and a tick of the clock may come at any moment; an actor that
dies is one that is never picked again. After every step all that snapshots need must be there.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from backup.repository.names import FORGOTTEN, SNAPSHOTS
from tests.model.hosts import Actor, Rules, compaction, life, prune
from tests.model.replay import Local, reached
from tests.model.store import List, Look, Pick, Step, Store, lost


class State(NamedTuple):
    """The true time in ticks, the store, and where each actor stands."""

    now: int
    store: Store
    actors: tuple[Local, ...]


class Move(NamedTuple):
    """A possible step: the number of the actor, or -1 for the clock."""

    actor: int
    step: Any
    answer: Any
    state: State


@dataclass(frozen=True, slots=True)
class Instance:
    """Where to begin."""

    store: Store
    actors: Sequence[Actor]
    rules: Rules = field(default_factory=Rules)
    now: int = 0


class Outcome(NamedTuple):
    """What was found: how many states or steps were seen; what is wrong, and how it came about."""

    seen: int
    wrong: str = ""
    trace: Sequence[str] = ()


class World:
    """An instance that is being explored."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.end = instance.rules.end
        self._known: dict[Any, Local] = {}
        self._dead = Local(self._known, lambda: iter(()), (), None)  # type: ignore[arg-type,return-value]
        self._settled: dict[tuple[Local, int], tuple[Local, ...]] = {}
        self._ready: dict[tuple[Local, int], tuple[Local, ...]] = {}
        self._taken: dict[Any, tuple[tuple[Any, Store, Local], ...]] = {}
        self._constant: dict[str, frozenset[Any]] = {}
        kinds = {each.kind for each in instance.actors}
        forgetting = "forget" in kinds or instance.rules.late
        if not forgetting and not instance.store.forgotten:
            self._constant[FORGOTTEN] = instance.store.forgotten
            if "backup" not in kinds:
                self._constant[SNAPSHOTS] = instance.store.snapshots

    def begun(self) -> list[State]:
        """Return the states in which it can begin."""
        instance = self._instance
        programs = [partial(life, each, instance.rules) for each in instance.actors]
        actors = [reached(self._known, program, ()) for program in programs]
        return self._at(instance.now, instance.store, actors)

    def moves(self, state: State) -> Iterator[Move]:
        """Yield all that can happen next."""
        for number in range(len(state.actors)):
            yield from self.moves_of(number, state)
        yield from self.ticks(state)

    def moves_of(self, number: int, state: State) -> Iterator[Move]:
        """Yield what one actor can do next."""
        now, store, actors = state
        actor = actors[number]
        before, behind = actors[:number], actors[number + 1 :]
        for ready in self.ready(actor, now):
            key = ready, now, store, ready is actor
            taken = self._taken.get(key)
            if taken is None:
                taken = tuple(self._steps(ready, now, store, looked=ready is not actor))
                self._taken[key] = taken
            for answer, after, local in taken:
                yield Move(number, ready.step, answer, State(now, after, (*before, local, *behind)))

    def ticks(self, state: State) -> list[Move]:
        """Return how the clock can tick."""
        if state.now >= self.end:
            return []
        return [Move(-1, None, None, each) for each in self._at(state.now + 1, *state[1:])]

    def _steps(
        self, local: Local, now: int, store: Store, *, looked: bool
    ) -> Iterator[tuple[Any, Store, Local]]:
        step = local.step
        assert isinstance(step, Step)
        if looked and step.by is not None and step.by > now:
            yield None, store, local  # a tick may come between the look and what it allows
            return
        for answer, after in step.outcomes(store):
            for settled in self.settled(local.after(answer), now):
                yield answer, after, settled

    def _at(self, now: int, store: Store, actors: Iterable[Local]) -> list[State]:
        ways = [self.settled(each, now) for each in actors]
        return [State(now, store, chosen) for chosen in product(*ways)]

    def settled(self, local: Local, now: int) -> tuple[Local, ...]:
        """Return what an actor can become without a step that others might notice.

        It makes its choice, reads what never changes here, and does nothing more where it is too
        late. It may look at the clock now, or in a later tick: within one, all moments are alike.
        """
        found = self._settled.get((local, now))
        if found is None:
            found = self._settled[local, now] = tuple(self._ways(local, now))
        return found

    def _ways(self, local: Local, now: int) -> Iterator[Local]:
        step = local.step
        if isinstance(step, Pick):
            for option in step.options:
                yield from self.settled(local.after(option), now)
        elif isinstance(step, List) and step.kind in self._constant:
            yield from self.settled(local.after(self._constant[step.kind]), now)
        elif isinstance(step, Step) and step.by is not None and step.by < now:
            yield self._dead
        elif isinstance(step, Look) and self._instance.rules.gaps:
            yield from self.settled(local.after(now), now)
            if now < self.end:
                yield local
        else:
            yield local

    def ready(self, local: Local, now: int) -> tuple[Local, ...]:
        """Return the states in which it can take a step now, perhaps after a look at the clock."""
        found = self._ready.get((local, now))
        if found is None:
            found = (local,) if isinstance(local.step, Step) else ()
            if isinstance(local.step, Look) and not self._instance.rules.gaps:
                ways = self.settled(local.after(now), now)
                found = tuple(each for way in ways for each in self.ready(way, now))
            self._ready[local, now] = found
        return found

    def wrong(self, before: State, move: Move) -> str | None:
        """Return what is lost by a step, if anything is."""
        old, new = before.store, move.state.store
        if old is new:
            return None
        if old.snapshots is not new.snapshots:
            marked = {snapshot for snapshot, _ in old.forgotten}
            if gone := old.snapshots - new.snapshots - marked:
                return f"snapshots {sorted(gone)} are deleted, which are not forgotten"
        if self._instance.actors[move.actor].kind == "unforget":
            back = {snapshot for snapshot, _ in old.forgotten - new.forgotten}
            if lacking := back - new.snapshots:
                return f"snapshots {sorted(lacking)} are brought back, but gone"
        return lost(new.packs, new.indexes, new.snapshots - new.late)

    def told(self, move: Move) -> str:
        """Return a line of a trace."""
        if move.actor < 0:
            return f"the clock ticks: {move.state.now}"
        name = self._instance.actors[move.actor].name
        return f"{name}: {move.step} -> {move.answer}"


def explore(instance: Instance, most: int = 1_000_000) -> Outcome:
    """Go through all states, breadth first, until something is wrong."""
    world = World(instance)
    front = [(hash(state), state) for state in world.begun()]
    came_from: dict[int, int] = {key: 0 for key, _ in front}
    begun = dict(front)
    while front:
        found: list[tuple[int, State]] = []
        for key, state in front:
            for move in world.moves(state):
                after = hash(move.state)
                if after in came_from:
                    continue
                came_from[after] = key
                wrong = world.wrong(state, move) if move.actor >= 0 else None
                if wrong:
                    return Outcome(len(came_from), wrong, _trace(world, begun, came_from, after))
                found.append((after, move.state))
        front = found
        if len(came_from) > most:
            return Outcome(len(came_from), "there are too many states")
    return Outcome(len(came_from))


def _trace(
    world: World, begun: dict[int, State], came_from: dict[int, int], last: int
) -> list[str]:
    way = [last]
    while came_from[way[-1]]:
        way.append(came_from[way[-1]])
    state = begun[way.pop()]
    told = []
    while way:
        key = way.pop()
        move = next(each for each in world.moves(state) if hash(each.state) == key)
        told.append(world.told(move))
        state = move.state
    return told


def wander(instance: Instance, walks: int, seed: int) -> Outcome:
    """Take random walks, in which actors are fast and slow by turns."""
    chance = random.Random(seed)
    count = 0
    for _ in range(walks):
        world = World(instance)
        state = chance.choice(world.begun())
        speeds = [1.0] * len(instance.actors)
        ticking = chance.choice((0.01, 0.03, 0.1))
        told: list[str] = []
        while True:
            if chance.random() < 0.1:
                speeds[chance.randrange(len(speeds))] = chance.choice((0, 0.02, 0.2, 1, 5))
            move = _next(world, state, speeds, ticking, chance)
            if move is None:
                break
            count += 1
            told.append(world.told(move))
            wrong = world.wrong(state, move) if move.actor >= 0 else None
            if wrong:
                return Outcome(count, wrong, told)
            state = move.state
        left = tidied(state.store, instance.rules, state.now)
        if left != Store():
            return Outcome(count, f"this stays for ever: {left}", told)
    return Outcome(count)


def _next(
    world: World, state: State, speeds: Sequence[float], ticking: float, chance: random.Random
) -> Move | None:
    order = chance.choices(range(len(speeds)), [each + 1e-9 for each in speeds], k=8)
    if state.now < world.end and chance.random() < ticking:
        order = []
    for number in order:
        if moves := list(world.moves_of(number, state)):
            return chance.choice(moves)
    ticks = world.ticks(state)
    return chance.choice(ticks) if ticks else None


def tidied(store: Store, rules: Rules, now: int) -> Store:
    """Return what is left when all is forgotten, and prune runs again and again, alone."""
    marked = {snapshot for snapshot, _ in store.forgotten}
    new = ((snapshot, now) for snapshot in store.snapshots - marked)
    store = store._replace(forgotten=store.forgotten.union(new))
    careful = replace(rules, missing=0)
    for run in range(4):
        now += max(rules.grace, rules.undelete) + 1
        store = _alone(store, prune(f"tidy{run}"), careful, now)
        store = _alone(store, compaction(f"compact{run}"), careful, now)
    return store._replace(late=store.late & store.snapshots)


def _alone(store: Store, actor: Actor, rules: Rules, now: int) -> Store:
    """Let an actor do all that it does, with the last choice that there is: condemn everything."""
    steps = life(actor, rules)
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return store
        if isinstance(step, Look):
            answer = now
        elif isinstance(step, Pick):
            answer = step.options[-1]
        else:
            answer, store = next(iter(step.outcomes(store)))
