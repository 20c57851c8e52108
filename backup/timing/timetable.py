"""All that a configuration wants done, and when: for systemd, cron and the daemon."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from backup.config import Config

HOURLY: Final = "every hour at :20"


class Work(Enum):
    """What is done; the value is the command for it."""

    RUN = "run"
    DRILL = "drill"
    CHECK = "check"
    PRUNE = "prune"
    OVERDUE = "notify overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that can be started. `subject` is a job, or for CHECK and PRUNE a repository, or
    nothing for OVERDUE, which is about all jobs; `repositories` are those that it uses. Without a
    `schedule` only a person starts it."""

    work: Work
    subject: str
    repositories: tuple[str, ...]
    schedule: str | None = None
    zone: str | None = None
    jitter: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What is said to the command."""
        option = ("--repository",) if self.work in (Work.CHECK, Work.PRUNE) else ()
        return (*self.work.value.split(), *option, *filter(None, (self.subject,)))


def tasks(config: Config) -> Iterator[Task]:
    """Return what is to be done: jobs and their drills, then what repositories need. Where somebody
    is to be told, what is overdue is looked for each hour."""
    for name, job in config.jobs.items():
        used = (job.repository,) if job.repository else tuple(config.repositories)
        schedules = {Work.RUN: job.schedule}
        if job.drill is not None:
            schedules[Work.DRILL] = job.drill.schedule
        for work, schedule in schedules.items():
            yield Task(
                work=work,
                subject=name,
                repositories=used,
                schedule=schedule,
                zone=job.time_zone,
                jitter=job.jitter,
            )
    for name, repository in config.repositories.items():
        for work, schedule in ((Work.CHECK, repository.check), (Work.PRUNE, repository.prune)):
            if schedule is not None:
                yield Task(
                    work=work,
                    subject=name,
                    repositories=(name,),
                    schedule=schedule,
                    zone=repository.time_zone,
                )
    if tells(config):
        yield Task(work=Work.OVERDUE, subject="", repositories=(), schedule=HOURLY)


def tells(config: Config) -> bool:
    """Whether somebody is to be told, and so what is overdue is to be looked for."""
    return config.notify is not None and bool(config.notify.urls or config.notify.urls_file)
