"""What is seen of jobs when nobody runs them: that one is overdue, or that its run was killed.

A run tells of its own end; this is for what has no end to tell of. What is known already is told to
nobody again, so it may be asked as often as one likes.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from backup.config import Occasion
from backup.notify import Observation
from backup.status import JobStatus, State

_WRONG: Final = {
    State.FINE: None,
    State.HELD: Occasion.FAILURE,
    State.OVERDUE: Occasion.OVERDUE,
    State.FAILED: Occasion.FAILURE,
}
"""What never ran and is not due is neither well nor wrong."""


def observations(jobs: Iterable[JobStatus]) -> Iterator[Observation]:
    """Return what is seen of each job."""
    for job in jobs:
        if job.state in _WRONG:
            yield Observation(
                subject=f"job {job.name}",
                wrong=_WRONG[job.state],
                text="\n".join([f"job {job.name}: {job.state.value}", *_lines(job)]),
            )


def _lines(job: JobStatus) -> Iterator[str]:
    if job.last is not None and job.last.message:
        yield job.last.message
    for each in job.sources:
        if each.state is not State.FINE:
            facts = each.facts
            why = facts.failure or facts.held
            yield (
                f"{facts.source}: {each.state.value}{why and f': {why}'},"
                f" last saved: {_time_text(facts.saved)}"
            )


def _time_text(time: datetime | None) -> str:
    return "never" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
