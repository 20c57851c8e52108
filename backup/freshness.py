"""How old the newest snapshot of a source may be: what a job's schedule promises.

A snapshot is fresh until the next run after it should long have ended: a quarter of the time
between two runs later than it was due, but at least an hour and at most a day, and the jitter. A
job without a schedule promises nothing, so a week is taken.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from backup.config import Job
from backup.sentence import next_time, parse_sentence
from backup.span import parse_span

WITHOUT_SCHEDULE: Final = timedelta(days=7)
_LEAST: Final = timedelta(hours=1)
_MOST: Final = timedelta(days=1)


def next_run(job: Job, after: datetime, clock: tzinfo) -> datetime | None:
    """Return when a job is due next; `clock` is for one that names no time zone."""
    if job.schedule is None:
        return None
    zone = clock if job.time_zone is None else ZoneInfo(job.time_zone)
    return next_time(parse_sentence(job.schedule), after, zone)


def fresh_until(job: Job, newest: datetime, clock: tzinfo) -> datetime:
    """Return until when a job may be content with a snapshot that was taken at a time."""
    due = next_run(job, newest, clock)
    if due is None:
        return newest.astimezone(UTC) + WITHOUT_SCHEDULE
    following = next_run(job, due, clock) or due
    jitter = timedelta(seconds=parse_span(job.jitter, "jitter")) if job.jitter else timedelta()
    return due + min(max((following - due) / 4, _LEAST), _MOST) + jitter
