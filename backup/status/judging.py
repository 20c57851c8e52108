"""What the facts come to: next run, overdue or not, and what somebody should look at.

A source is overdue when its schedule was due after its last success, and half a period has passed
since (at least an hour, at most a day; and the jitter, and as long as its last run took). So a
nightly job is overdue at three in the afternoon, not at a minute past three at night, and one that
runs every hour is when one run is missing and the next is due. What never succeeded is counted
from when its job ran last, or was first seen.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from backup.history import Result, Run
from backup.repository.timing import is_future
from backup.status.facts import JobFacts, SourceFacts
from backup.timing.freshness import late_after
from backup.timing.sentence import next_time


class State(Enum):
    """How a source or a job is, the best first. NEVER: not saved yet, which is not due either."""

    FINE = "fine"
    NEVER = "never"
    HELD = "held"
    OVERDUE = "overdue"
    FAILED = "failed"

    @property
    def is_alarming(self) -> bool:
        """Whether somebody should look."""
        return self not in (State.FINE, State.NEVER)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source, and how it is."""

    facts: SourceFacts
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job, and how it is: its `state` is the worst of its own and its sources'."""

    name: str
    state: State
    next_run: datetime | None
    last: Run | None
    sources: tuple[SourceStatus, ...]


def judge(facts: JobFacts, now: datetime) -> JobStatus:
    """Return how a job is, and each of its sources."""
    sources = tuple(SourceStatus(each, _state(each, facts, now)) for each in facts.sources)
    states = [_own_state(facts, now), *(each.state for each in sources)]
    return JobStatus(
        name=facts.name,
        state=max(states, key=[*State].index),
        next_run=next_time(facts.schedule, now, facts.zone) if facts.schedule else None,
        last=facts.last,
        sources=sources,
    )


def _own_state(facts: JobFacts, now: datetime) -> State:
    last = facts.last
    if last is not None and last.result in (Result.FAILED, Result.KILLED):
        return State.FAILED
    if facts.sources:
        return State.FINE
    return State.OVERDUE if _is_overdue(facts, _tried(facts, now), 0.0, now) else State.NEVER


def _state(source: SourceFacts, job: JobFacts, now: datetime) -> State:
    if source.failure:
        return State.FAILED
    since = source.saved or _tried(job, now)
    if _is_overdue(job, since, source.seconds, now):
        return State.OVERDUE
    if source.held:
        return State.HELD
    return State.FINE if source.saved else State.NEVER


def _tried(job: JobFacts, now: datetime) -> datetime:
    """Return when a job ran last, or was seen first. What a wrong clock has dated in the future
    would hide until then that it does not run."""
    last = job.last
    return job.since if last is None or is_future(last.started, now) else last.started


def _is_overdue(job: JobFacts, since: datetime, lasted_s: float, now: datetime) -> bool:
    if job.schedule is None:
        return False
    late = late_after(job.schedule, since, job.zone)
    return now.astimezone(UTC) > late + timedelta(seconds=job.jitter_s + lasted_s)
