"""What is seen of jobs when nobody runs them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backup.config import Occasion
from backup.history import Kind, Result, Run
from backup.status import ChoreFacts, ChoreStatus, JobStatus, SourceFacts, SourceStatus, State
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


def run(kind: Kind, result: Result | None, message: str = "") -> Run:
    return Run(id="a", kind=kind, job="nightly", started=SAVED, result=result, message=message)


@pytest.mark.parametrize(
    ("state", "wrong"),
    [(State.FINE, [None]), (State.OVERDUE, [Occasion.OVERDUE]), (State.FAILED, [Occasion.FAILURE])],
)
def test_a_job_that_runs_and_is_well_so_far_has_not_recovered(
    state: State, wrong: list[Occasion | None]
) -> None:
    goes_on = replace(status(state), last=run(Kind.BACKUP, None))

    assert [each.wrong for each in observations([goes_on])] == [each for each in wrong if each]
    assert [each.wrong for each in observations([status(state)])] == wrong


def chore(state: State, last: Run | None) -> ChoreStatus:
    facts = ChoreFacts(
        kind=Kind.CHECK, name="main", since=SAVED, schedule=None, zone=UTC, last=last
    )
    return ChoreStatus(facts=facts, state=state, next_run=None)


@pytest.mark.parametrize(
    ("state", "last", "wrong", "line"),
    [
        (State.FINE, None, None, "check main: fine"),
        (State.OVERDUE, None, Occasion.OVERDUE, "check main: overdue"),
        (
            State.FAILED,
            run(Kind.CHECK, Result.FAILED, "1 damage"),
            Occasion.FAILURE,
            "check main: failed: 1 damage",
        ),
        (
            State.FAILED,
            run(Kind.CHECK, Result.KILLED),
            Occasion.FAILURE,
            "check main: failed: killed",
        ),
    ],
)
def test_what_a_chore_is_becomes_what_is_told(
    state: State, last: Run | None, wrong: Occasion | None, line: str
) -> None:
    [seen] = observations([], [chore(state, last)])

    assert (seen.subject, seen.wrong) == ("check main", wrong)
    assert seen.text == f"{line}\nlast went well: never"


def test_a_chore_that_was_never_done_and_is_not_due_is_neither_well_nor_wrong() -> None:
    assert list(observations([], [chore(State.NEVER, None)])) == []
