"""Nothing is lost, whatever the order of steps: the protocol's own generators, on a store in mind.

Small instances are gone through to their last state, larger ones by random walks. An ablation
breaks one rule, in the real requests or functions, and must be found out.
"""

import gc
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import pytest

from tests.model import replay
from tests.model.ablations import ABLATIONS, Ablation, patched
from tests.model.instances import BIG, EXHAUSTIVE
from tests.model.scheduler import Instance, Outcome, State, World, explore, tidied, wander
from tests.model.store import Store

WALKS = 100
Job = tuple[str, str]

ORDERS = [("all", name) for name in EXHAUSTIVE]
RANDOM = [("walks", name) for name in BIG]
BROKEN = [("ablation", name) for name in ABLATIONS]
BROKEN_ON_WALKS = [
    ("ablated walks", name)
    for name in (
        "a late backup does not store again",
        "packs are not looked for",
        "prune copies after it has deleted",
        "the time of a condemned list is taken early",
    )
]


def run(job: Job) -> tuple[Job, Outcome]:
    """Do one piece of work, in a process of its own: ablations change the functions there."""
    kind, name = job
    if kind == "ablation":
        found = outcome(ABLATIONS[name].altered())
    elif kind == "all":
        found = outcome(EXHAUSTIVE[name])
    elif kind == "walks":
        found = outcome(BIG[name], WALKS)
    else:
        found = outcome(Ablation(BIG["many actors"], ABLATIONS[name].changes).altered(), WALKS)
    gc.collect()
    return job, found


def outcome(instance: Instance, walks: int = 0) -> Outcome:
    with patched(instance.rules):
        return wander(instance, walks, seed=1) if walks else explore(instance)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[Job, Outcome]]:
    """What became of all that is asked for, on two processors.

    Millions of tuples are alive at once: looking for garbage among them takes a third of the time.
    """
    items = [item for item in request.session.items if item.path == request.path]
    parameters = [item.callspec.params for item in items if isinstance(item, pytest.Function)]
    jobs: list[Any] = [each["job"] for each in parameters if "job" in each]
    with get_context("spawn").Pool(2, initializer=gc.disable) as pool:
        yield dict(pool.map(run, jobs, chunksize=1))


def named(job: Job) -> str:
    return job[1]


def told(found: Outcome) -> str:
    return "\n".join([found.wrong, *found.trace])


@pytest.mark.parametrize("job", ORDERS, ids=named)
def test_nothing_is_lost_in_any_order(outcomes: dict[Job, Outcome], job: Job) -> None:
    found = outcomes[job]

    assert not found.wrong, told(found)
    assert found.seen > 100


@pytest.mark.parametrize("job", RANDOM, ids=named)
def test_nothing_is_lost_and_nothing_stays_on_random_walks(
    outcomes: dict[Job, Outcome], job: Job
) -> None:
    found = outcomes[job]

    assert not found.wrong, told(found)
    assert found.seen > 50 * WALKS


@pytest.mark.parametrize("job", BROKEN, ids=named)
def test_every_rule_is_needed(outcomes: dict[Job, Outcome], job: Job) -> None:
    found = outcomes[job]

    assert found.trace, f"{found.wrong or 'nothing is wrong'} after {found.seen} states"


@pytest.mark.parametrize("job", BROKEN_ON_WALKS, ids=named)
def test_random_walks_find_what_is_broken(outcomes: dict[Job, Outcome], job: Job) -> None:
    found = outcomes[job]

    assert found.trace, f"nothing is wrong after {found.seen} steps"


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_all_that_is_forgotten_goes_away(name: str) -> None:
    instance = EXHAUSTIVE[name]

    with patched(instance.rules):
        left = tidied(instance.store, instance.rules, instance.now)

    assert left == Store()


@pytest.mark.parametrize("name", ["a compaction", "a condemned pack", "brought back"])
def test_states_that_count_as_one_behave_alike(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with patched(EXHAUSTIVE[name].rules):
        merged = reachable(EXHAUSTIVE[name])
        monkeypatch.setattr(replay, "frozen", lambda _: object())
        every_history = reachable(EXHAUSTIVE[name])

    assert {(each.now, each.store) for each in every_history} == {
        (each.now, each.store) for each in merged
    }
    assert len(every_history) > len(merged)


def reachable(instance: Instance) -> set[State]:
    world = World(instance)
    found = set(world.begun())
    left = list(found)
    while left:
        new = {move.state for move in world.moves(left.pop())} - found
        found |= new
        left += new
    return found
