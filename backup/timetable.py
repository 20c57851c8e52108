"""All that a configuration wants done, and when: for systemd and cron."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from backup.config import Config


class Work(Enum):
    """What is done; the value is the name of the command."""

    RUN = "run"
    DRILL = "drill"
    CHECK = "check"
    PRUNE = "prune"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that can be started. `subject` is a job, or for CHECK and PRUNE a repository;
    `repositories` are those that it uses. Without a `schedule` only a person starts it."""

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
        return (self.work.value, *option, self.subject)


def tasks(config: Config) -> Iterator[Task]:
    """Return what is to be done: jobs and their drills, then what repositories need."""
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
                yield Task(work=work, subject=name, repositories=(name,), schedule=schedule)
