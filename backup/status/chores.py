"""What is done beside saving, and how that is: checks and prunes of repositories, drills of jobs.

A chore is overdue as a source is (`judging`): when it was due after it went well last, and half a
period has passed since. What never went well is counted from when its schedule was first seen, and
so is what went well before: nobody has missed what was not asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from backup.config import Config
from backup.history import History, Kind, Result, Run
from backup.status.judging import State
from backup.timing.freshness import late_after
from backup.timing.sentence import Sentence, next_time, parse_sentence
from backup.timing.span import parse_span

_LOOK_BACK: Final = 20
"""So many runs may be at work while one is looked for that has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreFacts:
    """What is known of a chore. `name` is that of a repository or a job; `last` is the newest run
    that has ended, or was killed, `success` the newest that went well."""

    kind: Kind
    name: str
    since: datetime
    schedule: Sentence | None
    zone: tzinfo
    jitter_s: float = 0.0
    last: Run | None = None
    success: Run | None = None

    @property
    def subject(self) -> str:
        """What it is called where somebody is told of it."""
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreStatus:
    """A chore, how it is, and when it is due next."""

    facts: ChoreFacts
    state: State
    next_run: datetime | None


def judge_chore(facts: ChoreFacts, now: datetime) -> ChoreStatus:
    """Return how a chore is."""
    schedule = facts.schedule
    return ChoreStatus(
        facts=facts,
        state=_state(facts, now),
        next_run=None if schedule is None else next_time(schedule, now, facts.zone),
    )


def _state(facts: ChoreFacts, now: datetime) -> State:
    if facts.last is not None and facts.last.result is not Result.OK:
        return State.FAILED
    if _is_overdue(facts, now):
        return State.OVERDUE
    return State.FINE if facts.success else State.NEVER


def _is_overdue(facts: ChoreFacts, now: datetime) -> bool:
    if facts.schedule is None:
        return False
    since, lasted = facts.since, timedelta(seconds=facts.jitter_s)
    if facts.success is not None:
        since = max(since, facts.success.started)
        lasted += (facts.success.ended or since) - facts.success.started
    return now.astimezone(UTC) > late_after(facts.schedule, since, facts.zone) + lasted


def chores(found: Config, history: History, *, zone: tzinfo, now: datetime) -> list[ChoreFacts]:
    """Return those that have a schedule, or were ever done. Raises BackupError."""
    every = (_facts(each, history, zone, now) for each in _wanted(found))
    return [each for each in every if each.schedule is not None or each.last is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a configuration says of a chore; `called` are the names that its runs may have."""

    kind: Kind
    name: str
    called: Sequence[str]
    schedule: str | None
    zone: str | None
    jitter: str | None = None


def _wanted(found: Config) -> Iterator[_Wanted]:
    for name, one in found.repositories.items():
        for kind, schedule in ((Kind.CHECK, one.check), (Kind.PRUNE, one.prune)):
            yield _Wanted(
                kind=kind,
                name=name,
                called=(name, one.location),  # as whoever did it called it
                schedule=schedule,
                zone=one.time_zone,
            )
    for name, job in found.jobs.items():
        if job.drill is not None:
            yield _Wanted(
                kind=Kind.DRILL,
                name=name,
                called=(name,),
                schedule=job.drill.schedule,
                zone=job.time_zone,
                jitter=job.jitter,
            )


def _facts(wanted: _Wanted, history: History, zone: tzinfo, now: datetime) -> ChoreFacts:
    runs, good = [], []
    for called in wanted.called:
        runs += history.runs(job=called, kind=wanted.kind, limit=_LOOK_BACK)
        good += history.runs(job=called, kind=wanted.kind, result=Result.OK, limit=1)
    ended = [each for each in runs if each.result is not None]
    seen = wanted.schedule is not None
    return ChoreFacts(
        kind=wanted.kind,
        name=wanted.name,
        since=history.seen(f"{wanted.kind.value} {wanted.name}", now) if seen else now,
        schedule=parse_sentence(wanted.schedule) if wanted.schedule else None,
        zone=ZoneInfo(wanted.zone) if wanted.zone else zone,
        jitter_s=parse_span(wanted.jitter, "jitter") if wanted.jitter else 0.0,
        last=_newest(ended),
        success=_newest(good),
    )


def _newest(runs: Sequence[Run]) -> Run | None:
    return max(runs, key=lambda run: run.started, default=None)
