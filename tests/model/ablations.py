"""Rules that are dropped, to see that the model notices.

Each changes what the real generators ask for: a request is left out, comes at another time or in
another order, or is answered with something else; or it changes what they believe.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from backup.repository import protocol
from backup.repository.names import CONDEMNED, INDEX, PACKS
from backup.repository.protocol import (
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
    PutSnapshot,
    ReadTables,
    Repack,
    Spans,
    Supply,
    View,
    Walk,
)
from tests.model.hosts import Alteration, Rules, Save, Steps
from tests.model.instances import ALONE, EXHAUSTIVE
from tests.model.scheduler import Instance

Way = Callable[[Any], Steps]


@contextmanager
def patched(rules: Rules) -> Iterator[None]:
    """Put functions into the protocol module; let compaction find every object worth it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "_WORTH", 0)
        for name, value in rules.patched.items():
            patch.setattr(protocol, name, value)
        yield


def otherwise(ways: Mapping[Any, Way]) -> Alteration:
    """Perform some kinds of requests otherwise: a way yields requests, and returns the answer.

    The kind of a deletion is that of its objects.
    """

    def altered(steps: Steps) -> Steps:
        answer: Any = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value
            kind = request.kind if isinstance(request, Delete) else type(request)
            answer = (yield from ways[kind](request)) if kind in ways else (yield request)

    return altered


def without(*kinds: Any, answer: Any = None) -> Alteration:
    """Leave requests out; answer them all the same."""

    def nothing(_: Any) -> Steps:
        return answer
        yield

    return otherwise(dict.fromkeys(kinds, nothing))


def swapped(first: Any, second: Any) -> Alteration:
    """Perform a request after the next one, which is of the second kind and asks for nothing
    particular."""

    def altered(steps: Steps) -> Steps:
        answer: Any = None
        early: list[Any] = []
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value
            if early and isinstance(request, second):
                answer = early.pop()
                continue
            if isinstance(request, first):
                early = [(yield second())]
            answer = yield request

    return altered


def postponed(first: Any, second: Any) -> Alteration:
    """Perform a request, whose answer says nothing, after the next one of the second kind."""

    def altered(steps: Steps) -> Steps:
        answer: Any = None
        held: list[Any] = []
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value
            kind = request.kind if isinstance(request, Delete) else type(request)
            if kind == first:
                held.append(request)
                answer = None
                continue
            answer = yield request
            if kind == second:
                while held:
                    yield held.pop()

    return altered


# ---------------------------------------------------------------------------------- ways


def _trusting(request: ReadTables) -> Steps:
    _, listed = yield request
    return (), listed


def _in_time(request: PutSnapshot) -> Steps:
    yield request
    return True


def _stamped_early(steps: Steps) -> Steps:
    """Condemn as of the time before the reading."""
    answer: Any = None
    began: Any = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(request, ListSnapshots):
            began = answer
        if isinstance(request, PutCondemned):
            answer = yield ListMarkers()  # so that the put follows no look at the clock
            request = replace(request, time=began)
        answer = yield request


def _released(steps: Steps) -> Steps:
    """Delete lists of condemned packs that are needed, and leave these packs."""
    needed: set[Any] = set()

    def walk(request: Walk) -> Steps:
        usage = yield request
        spare = request.seen.spare
        needed.update(each for each in spare if set(each.partition(".")[2]) & usage.lacking)
        return usage

    def delete(request: Delete) -> Steps:
        return (yield Delete(PACKS, [each for each in request.ids if each not in needed]))

    def copy(_: Copy) -> Steps:
        return None
        yield

    return (yield from otherwise({Walk: walk, PACKS: delete, Copy: copy})(steps))


def _at_once(request: Choose) -> Steps:
    choice = yield request
    yield Delete(PACKS, sorted(choice.unused))
    return choice


def _without_condemned(request: ListPacks) -> Steps:
    lists, _ = yield ReadTables()
    present = yield request
    dead = set().union(*(each.packs for each in lists))
    return {pack: size for pack, size in present.items() if pack not in dead}


def _all_indexes(request: Delete) -> Steps:
    objects = yield ListIndexes()
    return (yield Delete(INDEX, [each for each in objects if not each.startswith("C")]))


_view, _read, _delete_condemned = protocol.view, protocol.read, protocol._delete_condemned


def _unseen(time: Any, lists: Collection[CondemnedList], listed: Any, _: Any) -> View:
    """Take every pack that is listed for one that is there."""
    return _view(time, lists, listed, listed)


def _dated_late() -> Steps:
    """Date a reading to its end."""
    seen = yield from _read()
    time = yield Now()
    return seen._replace(time=time)


def _aged_late(seen: View, _: Any, spans: Spans) -> Steps:
    """Look how old condemned lists are when they are to be deleted."""
    began = yield Now()
    yield from _delete_condemned(seen, began, spans)


# ---------------------------------------------------------------------------------- the list


class Ablation(NamedTuple):
    """What changes of an instance."""

    instance: Instance
    changes: Mapping[str, Any]

    def altered(self) -> Instance:
        """Return the instance without the rule."""
        return replace(self.instance, rules=replace(self.instance.rules, **self.changes))


def _of(kind: str, alteration: Alteration) -> dict[str, Any]:
    return {"altered": {kind: alteration}}


UNUSED = EXHAUSTIVE["an unused pack"]
CONDEMNED_ONE = EXHAUSTIVE["a condemned pack"]
USED = EXHAUSTIVE["a condemned pack that is used"]
BROUGHT_BACK = EXHAUSTIVE["brought back"]
COMPACTED = EXHAUSTIVE["a compaction"]
HUGE = 1000

ABLATIONS: dict[str, Ablation] = {
    "a backup has no deadline": Ablation(UNUSED, {"spans": {"backup": {"grace": HUGE}}}),
    "a backup trusts condemned packs": Ablation(
        UNUSED, _of("backup", otherwise({ReadTables: _trusting}))
    ),
    "a backup dates its reading late": Ablation(UNUSED, {"patched": {"read": _dated_late}}),
    "a late backup does not store again": Ablation(
        EXHAUSTIVE["a backup is late and reads again"],
        _of("backup", without(Supply, answer=True)),
    ),
    "a snapshot that gets there too late counts": Ablation(
        EXHAUSTIVE["a snapshot gets there too late"],
        _of("backup", otherwise({PutSnapshot: _in_time})),
    ),
    "a snapshot before its packs": Ablation(
        EXHAUSTIVE["a first backup"], _of("backup", postponed(Save, PutSnapshot))
    ),
    "packs are listed before condemned lists": Ablation(
        CONDEMNED_ONE, _of("backup", swapped(ReadTables, ListPacks))
    ),
    "packs are not looked for": Ablation(CONDEMNED_ONE, {"patched": {"view": _unseen}}),
    "ids come again": Ablation(EXHAUSTIVE["an old pack that was never listed"], {"renamed": True}),
    "prune does not copy": Ablation(USED, _of("prune", without(Copy))),
    "prune copies after it has deleted": Ablation(USED, _of("prune", postponed(Copy, PACKS))),
    "unused packs are deleted at once": Ablation(
        UNUSED, _of("prune", otherwise({Choose: _at_once}))
    ),
    "a prune is not alone, but told so": Ablation(UNUSED, {"spans": ALONE}),
    "prune does not copy what it deletes at once": Ablation(
        EXHAUSTIVE["a prune that is alone"], _of("prune", without(Repack, answer=True))
    ),
    "prune releases what is needed": Ablation(
        EXHAUSTIVE["needed by a snapshot that another prune deletes"], _of("prune", _released)
    ),
    "snapshots are listed before the time is taken": Ablation(
        UNUSED, _of("prune", swapped(Now, ListSnapshots))
    ),
    "the age of condemned lists is taken late": Ablation(
        UNUSED, {"patched": {"_delete_condemned": _aged_late}}
    ),
    "the time of a condemned list is taken early": Ablation(UNUSED, _of("prune", _stamped_early)),
    "condemned lists are deleted before their packs": Ablation(
        CONDEMNED_ONE, _of("prune", postponed(PACKS, CONDEMNED))
    ),
    "the age of markers is taken late": Ablation(
        BROUGHT_BACK, _of("prune", swapped(Now, ListMarkers))
    ),
    "unforget has no deadline": Ablation(BROUGHT_BACK, {"spans": {"unforget": {"undelete": HUGE}}}),
    "compaction deletes first": Ablation(COMPACTED, _of("compact", postponed(Merge, INDEX))),
    "compaction drops the tables of condemned packs": Ablation(
        EXHAUSTIVE["a condemned pack and a compaction"],
        _of("compact", otherwise({ListPacks: _without_condemned})),
    ),
    "compaction deletes what it has not read": Ablation(
        COMPACTED, _of("compact", otherwise({INDEX: _all_indexes}))
    ),
    "compaction lists packs before indexes": Ablation(
        COMPACTED, _of("compact", swapped(ListIndexes, ListPacks))
    ),
    "M = S - 1": Ablation(EXHAUSTIVE["clocks that differ"], {"margin": 0}),
    "M = 2 L - 1": Ablation(EXHAUSTIVE["late effects"], {"margin": 1}),
    "M = 2 L + S - 1": Ablation(EXHAUSTIVE["late effects, and clocks that differ"], {"margin": 2}),
}
