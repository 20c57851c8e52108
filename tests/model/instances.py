"""Small repositories, and who does what to them."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.model.hosts import Actor, Rules, backup, compaction, forget, prune, unforget
from tests.model.scheduler import Instance
from tests.model.store import Store

List = tuple[int, str]


def instance(
    packs: str,
    snapshots: str,
    *actors: Actor,
    index: Sequence[str] | None = None,
    condemned: Iterable[tuple[int, str]] = (),
    forgotten: Iterable[tuple[str, int]] = (),
    now: int = 0,
    **rules: Any,
) -> Instance:
    """Return an instance; packs and snapshots are words.

    `index` has the packs of each index object, one object a pack if not given; `condemned` has a
    time and packs for each list.
    """
    groups = packs.split() if index is None else index
    store = Store(
        packs=frozenset(packs.split()),
        indexes=frozenset((f"I{n}", frozenset(each.split())) for n, each in enumerate(groups)),
        snapshots=frozenset(snapshots.split()),
        forgotten=frozenset(forgotten),
        condemned=frozenset(
            (f"K{n}", time, frozenset(each.split())) for n, (time, each) in enumerate(condemned)
        ),
    )
    return Instance(store, actors, Rules(**rules), now)


SKEWED: dict[str, Any] = {"grace": 3, "margin": 1}
LATE: dict[str, Any] = {"grace": 4, "longest": 1, "margin": 2}
BOTH: dict[str, Any] = {"grace": 5, "longest": 1, "margin": 3}
ALONE = {"prune": {"grace": 0, "undelete": 0}}
OLD = ((0, "P.a"), (0, "Q.a"))

EXHAUSTIVE: dict[str, Instance] = {
    "an unused pack": instance("P.b", "", backup("B", "b"), prune("A", 2)),
    "a condemned pack": instance(
        "P.b", "", backup("B", "b"), prune("Z"), condemned=[(0, "P.b")], now=2, gaps=True
    ),
    "a condemned pack that is used": instance(
        "P.a", "X.a", prune("A", 2), condemned=[(0, "P.a")], now=2, gaps=True
    ),
    "brought back": instance("P.a", "X.a", forget("X.a"), unforget("X.a"), prune("A"), gaps=True),
    "a compaction": instance("P.a", "X.a", compaction("C"), backup("B", "c"), gaps=True),
    "a condemned pack and a compaction": instance(
        "P.a", "X.a", compaction("C"), prune("A"), condemned=[(0, "P.a")], now=2, gaps=True
    ),
    "a first backup": instance("", "", backup("B", "c"), prune("A", 2), end=4, gaps=True),
    "an old pack that was never listed": instance(
        *("P0.c", "", backup("B", "c"), prune("A")), index=[], condemned=[(0, "P0.c")], now=2
    ),
    "an unused pack's chunk is backed up": instance(
        "P.b", "", backup("B", "b"), prune("A", 2), prune("Z"), end=3
    ),
    "a backup is late and reads again": instance(
        "P.b", "", backup("B", "b"), prune("A", 3), readings=2
    ),
    "a snapshot gets there too late": instance(
        "P.b", "", backup("B", "b"), prune("A", 2), readings=2, late=True, end=3
    ),
    "a pack that is used in part": instance(
        "P.ab", "X.a", backup("B", "b"), prune("A"), prune("Z"), end=4
    ),
    "a pack that is used in part is repacked": instance(
        "P.ab", "X.a", backup("B", "b"), prune("A", 2), end=4, copying=True
    ),
    "a new chunk": instance("", "", backup("B", "c"), prune("A", 2), readings=2),
    "two backups": instance("P.b", "", backup("B", "b"), backup("E", "bc"), prune("A", 2), end=3),
    "two copies": instance("P.a Q.a", "X.a", prune("A", 2), prune("Z"), end=4),
    "all copies were condemned long ago": instance(
        *("P.a Q.a", "X.a", prune("A"), prune("Z"), backup("B", "a")), condemned=OLD, now=2, end=3
    ),
    "needed by a snapshot that another prune deletes": instance(
        *("P.a", "X.a", prune("A"), prune("Z"), backup("B", "a")),
        condemned=[(0, "P.a")],
        forgotten=[("X.a", 1)],
        now=2,
        end=3,
    ),
    "forgotten and brought back": instance(
        "P.a", "X.a", forget("X.a"), unforget("X.a"), prune("A", 2), prune("Z"), end=3
    ),
    "forgotten twice and brought back": instance(
        "P.a", "X.a", forget("X.a"), forget("X.a", name="E"), unforget("X.a"), prune("A")
    ),
    "forgotten while its chunk is backed up": instance(
        "P.a", "X.a", forget("X.a"), backup("B", "a"), prune("A", 2)
    ),
    "two compactions beside a prune": instance(
        "P.a Q.a", "X.a", prune("A", 2), compaction("C"), compaction("D"), end=3
    ),
    "readings that miss index objects": instance(
        *("P.a Q.a", "X.a", compaction("C"), backup("B", "a"), prune("A")),
        condemned=[(0, "P.a")],
        now=2,
        missing=9,
        end=3,
    ),
    "condemned lists that vanish while they are read": instance(
        *("P.a Q.b", "X.a", backup("B", "ab"), prune("A"), prune("Z")),
        condemned=[(0, "P.a Q.b")],
        now=2,
        torn=True,
        end=3,
    ),
    "what killed runs have left": instance(
        *("P.a O.c", "X.a", backup("B", "cg"), prune("A", 2), compaction("C")),
        index=["P.a G.g", "P.a"],
        condemned=[(0, "O.c G.g"), (1, "O.c")],
        now=2,
        end=4,
    ),
    "a full store": instance(
        *("P.ab O.b", "X.a", backup("B", "b"), prune("A", 2)),
        index=["P.ab"],
        end=2,
        copying=True,
        full=True,
    ),
    "a prune that is alone": instance(
        *("P.ab Q.b R.b S.e O.c", "X.ae", prune("A", 3)),
        index=["P.ab Q.b R.b S.e"],
        condemned=[(0, "R.b S.e")],
        copying=True,
        full=True,
        spans=ALONE,
    ),
    "clocks that differ": instance(
        "P.b", "", backup("B", "b"), prune("A"), prune("Z", 1, 1), **SKEWED
    ),
    "late effects": instance("P.b", "", backup("B", "b"), prune("A"), prune("Z"), **LATE),
    "late effects, and clocks that differ": instance(
        "P.b", "", backup("B", "b"), prune("A"), prune("Z", 1, 1), **BOTH
    ),
    "brought back late, with clocks that differ": instance(
        *("P.a", "X.a", forget("X.a"), unforget("X.a"), prune("A", 1, 1)),
        undelete=4,
        longest=1,
        margin=3,
    ),
}


def _big(**rules: Any) -> Instance:
    """Return an instance with many actors, whose clocks differ."""
    return instance(
        *("P.ab O.c", "X.a Y.c", backup("B", "b"), backup("D", "cd", 1), backup("E", "abe")),
        *(forget("X.a", 1), unforget("X.a"), forget("Y.c", name="G")),
        *(prune("A", 4), prune("Z", 4, 1), prune("K", 2), compaction("C"), compaction("M")),
        readings=3,
        gaps=True,
        copying=True,
        torn=True,
        longest=1,
        margin=3,
        **rules,
    )


BIG: dict[str, Instance] = {
    "many actors": _big(grace=6, undelete=6, end=26),
    "many actors that miss index objects": _big(grace=6, undelete=6, end=26, missing=1),
    "many actors, little room": _big(grace=6, undelete=6, end=26, full=True),
    "many actors, little time": _big(grace=4, undelete=4, end=30),
}
