"""What is done at times: jobs, their drills, checks and prunes of repositories."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backup.config import Config
from backup.errors import ConfigError
from backup.sentence import Sentence, next_time, parse_sentence
from backup.span import parse_span
from backup.timetable import HOURLY, tells


class Work(Enum):
    """What a task does; the value is the command for it."""

    RUN = "run"
    DRILL = "drill"
    CHECK = "check"
    PRUNE = "prune"
    OVERDUE = "notify overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that is due again and again. `subject` is a job, or a repository, or nothing where
    it is about all jobs.

    `said` is the schedule as it was written; where that has changed, it is another schedule.
    """

    work: Work
    subject: str
    said: str
    sentence: Sentence
    zone: tzinfo
    jitter_s: float = 0.0

    @property
    def key(self) -> str:
        """What no other task is called."""
        return f"{self.work.value} {self.subject}".strip()

    @property
    def lane(self) -> str:
        """Of tasks in one lane, only one runs at a time: a check would read what a prune moves."""
        is_of_repository = self.work in (Work.CHECK, Work.PRUNE)
        return f"repository {self.subject}" if is_of_repository else self.key

    def next(self, after: datetime) -> datetime:
        """Return when it is due next, strictly after a moment."""
        return next_time(self.sentence, after, self.zone)


def tasks(config: Config, zone: tzinfo) -> dict[str, Task]:
    """Return all that has a schedule, by key; `zone` is for what names none. Raises ConfigError."""
    return {task.key: task for task in _tasks(config, zone)}


def _tasks(config: Config, zone: tzinfo) -> Iterator[Task]:
    for name, job in config.jobs.items():
        drill = None if job.drill is None else job.drill.schedule
        for work, schedule in ((Work.RUN, job.schedule), (Work.DRILL, drill)):
            if schedule is not None:
                yield _task(work, name, schedule, zone, job.time_zone, job.jitter)
    for name, repository in config.repositories.items():
        for work, schedule in ((Work.CHECK, repository.check), (Work.PRUNE, repository.prune)):
            if schedule is not None:
                yield _task(work, name, schedule, zone)
    if tells(config):
        yield _task(Work.OVERDUE, "", HOURLY, zone)


def _task(
    work: Work,
    subject: str,
    schedule: str,
    zone: tzinfo,
    time_zone: str | None = None,
    jitter: str | None = None,
) -> Task:
    try:
        return Task(
            work=work,
            subject=subject,
            said=" ".join([*schedule.lower().split(), time_zone or ""]).strip(),
            sentence=parse_sentence(schedule),
            zone=zone if time_zone is None else ZoneInfo(time_zone),
            jitter_s=0.0 if jitter is None else parse_span(jitter, "jitter"),
        )
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"{work.value} {subject}: no time zone {time_zone!r} is known") from error
    except ConfigError as error:
        raise ConfigError(f"{work.value} {subject}: {error}", hint=error.hint) from error
