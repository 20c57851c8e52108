"""What a job is going to do on an engine as it is now: what a run does, and what `plan` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backup.config import Job
from backup.database.choice import dumps, undumped
from backup.engine import Container, Engine, Volume, containers, volumes
from backup.errors import BackupError, ConfigError
from backup.selection.resolve import Selection, select
from backup.targets import Plan, plan


@dataclass(frozen=True, slots=True)
class Present:
    """What an engine has."""

    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a job chooses of what is present, and the sources that this comes to. `failed` are
    (name, error) of what cannot be had."""

    present: Present
    selection: Selection
    plan: Plan
    failed: tuple[tuple[str, BackupError], ...] = ()

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What is not captured, and why."""
        return [*self.selection.excluded, *self.plan.left_out]


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
    wanted = replace(wanted, dumps=dumps(selection.treatments, there.containers))
    failed = [*selection.failed, *wanted.failed]
    if (kind := jobs[name].dump) is not None and not wanted.dumps:
        failed.append(("dump", undumped(kind)))
    if not (failed or wanted.sources or wanted.images or wanted.dumps):
        why = "nothing that it chooses holds data, or all of it is left out"
        failed.append((f"job {name}", ConfigError(why)))
    return Intent(present=there, selection=selection, plan=wanted, failed=tuple(failed))
