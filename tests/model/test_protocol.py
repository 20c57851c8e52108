"""Nothing is lost, whatever the order of steps: the protocol's own generators, on a store in mind.

Small instances are gone through to their last state; of larger ones the first MOST states, in the
order of their distance from the beginning, and then random walks. An ablation breaks one rule, in
the real requests or functions, and must be found out.
"""

from collections.abc import Iterator
from multiprocessing import get_context

import pytest

from tests.model.ablations import ABLATIONS, patched
from tests.model.instances import BIG, EXHAUSTIVE
from tests.model.scheduler import Instance, Outcome, explore, wander

MOST = 150_000
MOST_OF_ABLATIONS = 1_200_000
WALKS = 40
TOO_MANY = "there are too many states"
LARGE = {
    "an unused pack's chunk is backed up",
    "a backup is late and reads again",
    "two backups",
    "all copies were condemned long ago",
    "needed by a snapshot that another prune deletes",
    "forgotten and brought back",
    "two compactions beside a prune",
    "readings that miss index objects",
    "what killed runs have left",
    "condemned lists that vanish while they are read",
}
"""Instances that have more than MOST states."""

Job = tuple[str, str]
JOBS: list[Job] = [
    *(("ablation", name) for name in ABLATIONS),
    *(("all", name) for name in EXHAUSTIVE),
    *(("walks", name) for name in [*EXHAUSTIVE, *BIG]),
]


def run(job: Job) -> tuple[Job, Outcome]:
    """Do one piece of work, in a process of its own: ablations change the functions there."""
    kind, name = job
    if kind == "ablation":
        return job, outcome(ABLATIONS[name].altered(), MOST_OF_ABLATIONS)
    if kind == "all":
        return job, outcome(EXHAUSTIVE[name], MOST)
    instance = (EXHAUSTIVE | BIG)[name]
    with patched(instance.rules):
        return job, wander(instance, WALKS, seed=len(name))


def outcome(instance: Instance, most: int) -> Outcome:
    with patched(instance.rules):
        return explore(instance, most)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[Job, Outcome]]:
    """What became of everything, on two processors."""
    with get_context("spawn").Pool(2) as pool:
        yield dict(pool.imap_unordered(run, JOBS))


def told(found: Outcome) -> str:
    return "\n".join([found.wrong, *found.trace])


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_nothing_is_lost_in_any_order(outcomes: dict[Job, Outcome], name: str) -> None:
    found = outcomes["all", name]

    assert found.wrong == (TOO_MANY if name in LARGE else ""), told(found)
    assert found.count > 20


@pytest.mark.parametrize("name", [*EXHAUSTIVE, *BIG])
def test_nothing_is_lost_and_nothing_stays_on_random_walks(
    outcomes: dict[Job, Outcome], name: str
) -> None:
    found = outcomes["walks", name]

    assert not found.wrong, told(found)
    assert found.count > WALKS


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_rule_is_needed(outcomes: dict[Job, Outcome], name: str) -> None:
    found = outcomes["ablation", name]

    assert found.wrong not in ("", TOO_MANY)
    assert found.trace
