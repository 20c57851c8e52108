"""How old the newest snapshot of a source may be: what a job's schedule promises.

A snapshot is fresh until the next run after it should long have ended: half of the time between two
runs later than it was due, but at least an hour and at most a day, and the jitter. So one of a
nightly job is stale at three in the afternoon, not at a minute past three at night. A job without a
schedule promises nothing, so a week is taken.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from backup.config import Job
from backup.timing.sentence import Sentence, next_time, parse_sentence
from backup.timing.span import parse_span

WITHOUT_SCHEDULE: Final = timedelta(days=7)
_LEAST: Final = timedelta(hours=1)
_MOST: Final = timedelta(days=1)


def late_after(schedule: Sentence, since: datetime, zone: tzinfo) -> datetime:
    """Return when the first run that is due after a moment is late, but for its jitter."""
    due = next_time(schedule, since, zone)
    period = next_time(schedule, due, zone) - due
    return due + min(max(period / 2, _LEAST), _MOST)


def next_run(job: Job, after: datetime, clock: tzinfo) -> datetime | None:
    """Return when a job is due next; `clock` is for one that names no time zone."""
    if job.schedule is None:
        return None
    return next_time(parse_sentence(job.schedule), after, _zone(job, clock))


def fresh_until(job: Job, newest: datetime, clock: tzinfo) -> datetime:
    """Return until when a job may be content with a snapshot that was taken at a time."""
    if job.schedule is None:
        return newest.astimezone(UTC) + WITHOUT_SCHEDULE
    jitter_s = parse_span(job.jitter, "jitter") if job.jitter else 0.0
    late = late_after(parse_sentence(job.schedule), newest, _zone(job, clock))
    return late + timedelta(seconds=jitter_s)


def _zone(job: Job, clock: tzinfo) -> tzinfo:
    return clock if job.time_zone is None else ZoneInfo(job.time_zone)
