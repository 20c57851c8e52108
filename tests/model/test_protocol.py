"""Nothing is lost, whatever the order of steps: the protocol's own generators, on a store in mind.

Small instances are gone through to their last state, larger ones by random walks. An ablation
breaks one rule, in the real requests or functions, and must be found out.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model import replay
from tests.model.ablations import ABLATIONS, patched
from tests.model.instances import BIG, EXHAUSTIVE
from tests.model.scheduler import Instance, Outcome, State, World, tidied
from tests.model.store import Store
from tests.model.work import WALKS, Job

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


Work = Callable[[Job], Outcome]


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    """What becomes of a job, in a process that goes through one after the other."""
    argv = [sys.executable, "-m", "tests.model.work"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        asks, answers = process.stdin, process.stdout
        assert asks
        assert answers

        def done(job: Job) -> Outcome:
            pickle.dump(job, asks)
            asks.flush()
            found: Outcome = pickle.load(answers)
            return found

        yield done


def named(job: Job) -> str:
    return job[1]


def told(found: Outcome) -> str:
    return "\n".join([found.wrong, *found.trace])


@pytest.mark.parametrize("job", ORDERS, ids=named)
def test_nothing_is_lost_in_any_order(work: Work, job: Job) -> None:
    found = work(job)

    assert not found.wrong, told(found)
    assert found.seen > 100


@pytest.mark.parametrize("job", RANDOM, ids=named)
def test_nothing_is_lost_and_nothing_stays_on_random_walks(work: Work, job: Job) -> None:
    found = work(job)

    assert not found.wrong, told(found)
    assert found.seen > 50 * WALKS


@pytest.mark.parametrize("job", BROKEN, ids=named)
def test_every_rule_is_needed(work: Work, job: Job) -> None:
    found = work(job)

    assert found.trace, f"{found.wrong or 'nothing is wrong'} after {found.seen} states"


@pytest.mark.parametrize("job", BROKEN_ON_WALKS, ids=named)
def test_random_walks_find_what_is_broken(work: Work, job: Job) -> None:
    found = work(job)

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
