"""What is done at times: jobs, their drills, checks and prunes of repositories."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backup.config import Config
from backup.errors import ConfigError
from backup.timing import timetable
from backup.timing.sentence import Sentence, next_time, parse_sentence
from backup.timing.span import parse_span
from backup.timing.timetable import Work


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
    found = [
        _task(each, each.schedule, zone)
        for each in timetable.tasks(config)
        if each.schedule is not None
    ]
    return {task.key: task for task in found}


def _task(wanted: timetable.Task, schedule: str, zone: tzinfo) -> Task:
    work, subject = wanted.work, wanted.subject
    try:
        return Task(
            work=work,
            subject=subject,
            said=" ".join([*schedule.lower().split(), wanted.zone or ""]).strip(),
            sentence=parse_sentence(schedule),
            zone=zone if wanted.zone is None else ZoneInfo(wanted.zone),
            jitter_s=0.0 if wanted.jitter is None else parse_span(wanted.jitter, "jitter"),
        )
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"{work.value} {subject}: no time zone {wanted.zone!r} is known"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{work.value} {subject}: {error}", hint=error.hint) from error
