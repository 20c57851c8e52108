"""What a job is going to do on an engine as it is now: what a run does, and what `plan` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backup.config import Job
from backup.database.choice import dumps, undumped
from backup.engine import Container, Engine, Volume, containers, volumes
from backup.errors import BackupError
from backup.selection import Selection, select
from backup.targets import Plan, plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a job chooses, and the sources that this comes to."""

    selection: Selection
    plan: Plan

    @property
    def failed(self) -> list[tuple[str, BackupError]]:
        """What cannot be had, and why."""
        return [*self.selection.failed, *self.plan.failed]

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What is not captured, and why."""
        return [*self.selection.excluded, *self.plan.skipped]


@dataclass(frozen=True, slots=True)
class Present:
    """What an engine has."""

    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...]


def present(engine: Engine) -> Present:
    """Look at what an engine has."""
    return Present(containers(engine), volumes(engine))


def intend(
    name: str,
    jobs: Mapping[str, Job],
    engine: Engine,
    keep_out: Sequence[str],
    there: Present | None = None,
) -> Intent:
    """Return what a job is about; `there` is what the engine has, where that is known."""
    there = there or present(engine)
    selection = select(name, jobs, there.containers, there.volumes)
    wanted = plan(
        engine,
        selection.targets,
        everything=False,
        keep_out=keep_out,
        with_images=jobs[name].images,
        left_out=dict(selection.excluded),
    )
    chosen = dumps(selection.treatments, there.containers)
    failed = list(wanted.failed)
    if jobs[name].dump is not None and not chosen:
        failed.append(("dump", undumped(jobs[name].dump)))
    return Intent(selection=selection, plan=replace(wanted, dumps=chosen, failed=tuple(failed)))
