"""What a job is about: what of an engine it chooses, and how containers are treated meanwhile.

A pure function of the job and of what the engine shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from backup.config import Hook, Job, Quiesce
from backup.engine import Container, Volume
from backup.targets import CONTAINER

VOLUME = "volume:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How a container is treated while what it mounts is read.

    `grace_s` is how long it may take to stop, None for its own time. `dump` names a database.
    """

    quiesce: Quiesce = Quiesce.NONE
    grace_s: float | None = None
    hooks: tuple[Hook, ...] = ()
    dump: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a job captures. `targets` are "container:NAME" and "volume:NAME"; `excluded` are (name,
    why) of what it would choose but for an exclude; `treatments` are by name of the container."""

    targets: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...] = ()
    treatments: dict[str, Treatment] = field(default_factory=dict)


def select(
    name: str, job: Job, containers: Iterable[Container], volumes: Iterable[Volume]
) -> Selection:
    """Choose from what there is; what the job names and is not there is chosen as well, and its
    absence told by whoever looks for it."""
    del name
    targets = [f"{CONTAINER}{each}" for each in job.containers]
    targets += [f"{VOLUME}{each}" for each in job.volumes]
    chosen = [each for each in containers if job.all or _matches(each.name, job)]
    targets += [f"{CONTAINER}{each.name}" for each in chosen]
    targets += [f"{VOLUME}{each.name}" for each in volumes if job.all or _matches(each.name, job)]
    treatment = Treatment(quiesce=job.quiesce or Quiesce.NONE, hooks=tuple(job.hooks))
    named = {*job.containers, *(each.name for each in chosen)}
    return Selection(
        targets=tuple(dict.fromkeys(targets)),
        treatments={
            each.name: replace(treatment, dump=job.dump if each.name in named else None)
            for each in containers
        },
    )


def _matches(name: str, job: Job) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in job.patterns)
