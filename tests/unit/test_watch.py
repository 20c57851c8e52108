"""What is seen of jobs when nobody runs them."""

from datetime import UTC, datetime

import pytest

from backup.config import Occasion
from backup.status import JobStatus, SourceFacts, SourceStatus, State
from backup.watch import observations

SAVED = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def status(state: State) -> JobStatus:
    source = SourceStatus(SourceFacts(source="volume:a", saved=SAVED), state)
    return JobStatus(name="nightly", state=state, next_run=None, last=None, sources=(source,))


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        (State.FINE, None),
        (State.HELD, Occasion.FAILURE),
        (State.OVERDUE, Occasion.OVERDUE),
        (State.FAILED, Occasion.FAILURE),
    ],
)
def test_what_a_job_is_becomes_what_is_told(state: State, wrong: Occasion | None) -> None:
    [seen] = observations([status(state)])

    assert (seen.subject, seen.wrong) == ("job nightly", wrong)


def test_what_never_ran_and_is_not_due_is_neither_well_nor_wrong() -> None:
    assert list(observations([status(State.NEVER)])) == []


def test_what_is_overdue_says_since_when() -> None:
    [seen] = observations([status(State.OVERDUE)])

    assert seen.text == (
        "job nightly: overdue\nvolume:a: overdue, last saved: 2026-11-20 03:00 UTC"
    )


def test_every_state_is_thought_of() -> None:
    for state in State:
        assert len(list(observations([status(state)]))) == (state is not State.NEVER)
