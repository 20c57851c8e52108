"""What is seen of jobs and chores when nobody runs them: that one is overdue, or that its run was
killed.

A run tells of its own end; this is for what has no end to tell of. What is known already is told to
nobody again, so it may be asked as often as one likes.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backup.config import Occasion
from backup.notify import Observation
from backup.status import ChoreStatus, JobStatus, State

_WRONG: Final = {
    State.FINE: None,
    State.HELD: Occasion.FAILURE,
    State.OVERDUE: Occasion.OVERDUE,
    State.FAILED: Occasion.FAILURE,
}
"""What never ran and is not due is neither well nor wrong."""


def observations(
    jobs: Iterable[JobStatus], chores: Iterable[ChoreStatus] = ()
) -> Iterator[Observation]:
    """Return what is seen of each job and chore."""
    for job in jobs:
        if job.state in _WRONG and not _is_undecided(job):
            yield Observation(
                subject=f"job {job.name}",
                wrong=_WRONG[job.state],
                text="\n".join([f"job {job.name}: {job.state.value}", *_lines(job)]),
            )

    for chore in chores:
        if chore.state in _WRONG:
            yield Observation(
                subject=chore.facts.subject,
                wrong=_WRONG[chore.state],
                text=_chore_text(chore),
            )


def history_observation(aside: Sequence[Path]) -> Observation:
    """Return what is seen of the history: whether files that were found damaged lie there."""
    text = damage_text(aside) if aside else "the history is whole"
    return Observation(subject="history", wrong=Occasion.FAILURE if aside else None, text=text)


def damage_text(aside: Sequence[Path]) -> str:
    """Return what to do about histories that were found damaged."""
    return (
        f"the history was damaged, and began anew: what runs came to before is not known any more;"
        f" see that all is well, then remove {', '.join(map(str, aside))}"
    )


def _is_undecided(job: JobStatus) -> bool:
    """Whether a job runs that is well so far: whoever was told that it fails would hear of a
    recovery, and then of the same failure again."""
    return job.state is State.FINE and job.last is not None and job.last.result is None


def _chore_text(chore: ChoreStatus) -> str:
    facts = chore.facts
    why = ""
    if chore.state is State.FAILED and facts.last is not None and facts.last.result is not None:
        why = facts.last.message or facts.last.result.value
    well = None if facts.success is None else facts.success.started
    line = f"{facts.subject}: {chore.state.value}{why and f': {why}'}"
    return f"{line}\nlast went well: {_time_text(well)}"


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
