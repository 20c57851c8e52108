"""What is drilled: the newest snapshots, grouped by the containers that mounted them.

Pure functions of what a repository holds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from backup.config import Job
from backup.errors import NoSuchSnapshot
from backup.lookup import Found
from backup.repository import Snapshot
from backup.repository.timing import is_future
from backup.targets import CONTAINER, DUMP

_PROJECT: Final = "com.docker.compose.project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is drilled together. `definition` is of a container; a source alone has none.

    `dumped`: what the container keeps in a database is saved as a dump, and not in its volume.
    """

    subject: str
    found: tuple[Found, ...]
    definition: Mapping[str, Any] | None = None
    dumped: bool = False


def of_job(job: Job, runs: Collection[str], every: Iterable[Found]) -> list[Found]:
    """Return the snapshots of a job: those of its `runs`, which this machine remembers.

    Where none of these is there, as on another machine, those of what the job names.
    """
    every = list(every)
    known = [found for found in every if found[1].run in runs]
    return known or [found for found in every if _is_named(job, found[1])]


def _is_named(job: Job, snapshot: Snapshot) -> bool:
    containers = _containers(snapshot)
    volume = snapshot.volume.name if snapshot.volume else None
    names = [name for name in (*containers, volume) if name]
    labels = _labels(snapshot)
    return (
        job.all
        or any(name in job.containers for name in containers)
        or volume in job.volumes
        or any(each.get(_PROJECT) in job.projects for each in labels)
        or any(_has(each, label) for label in job.labels for each in labels)
        or any(fnmatchcase(name, pattern) for name in names for pattern in job.patterns)
    )


def _labels(snapshot: Snapshot) -> list[dict[str, str]]:
    """The labels of a volume, and together with those of each container that had it."""
    of_volume = snapshot.volume.labels if snapshot.volume else {}
    definitions = [each.definition for each in snapshot.users]
    of_containers = [(each.get("config") or {}).get("Labels") or {} for each in definitions]
    return [{**of_volume, **each} for each in of_containers or [{}]]


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def meant(text: str, every: Sequence[Found]) -> str:
    """Return container:NAME for a NAME that is a container's and no source's; else what is said."""
    known = any(each[1].is_of(text) for each in every)
    is_container = any(text in _containers(each[1]) for each in every)
    return f"{CONTAINER}{text}" if is_container and not known else text


def of_source(text: str, every: Iterable[Found]) -> list[Found]:
    """Return the snapshots of a source, or of all that container:NAME mounted, by what is said."""
    name = text.removeprefix(CONTAINER)
    if text.startswith(CONTAINER):
        return [each for each in every if name in _containers(each[1])]
    return [each for each in every if each[1].is_of(text)]


def _containers(snapshot: Snapshot) -> list[str]:
    known = [snapshot.mount.container] if snapshot.mount else []
    return [*known, *(each.mount.container for each in snapshot.others)]


def of_host(found: Sequence[Found], host: str) -> list[Found]:
    """Return the snapshots of a host: of the only one that there is, else of `host`.

    Raises NoSuchSnapshot.
    """
    hosts = sorted({snapshot.host for _, snapshot in found})
    if len(hosts) > 1 and host not in hosts:
        raise NoSuchSnapshot(
            f"these sources are of several hosts, and none of them is {host}: {', '.join(hosts)}",
            hint="drill on one of these hosts",
        )
    return [each for each in found if len(hosts) == 1 or each[1].host == host]


def units(
    found: Sequence[Found], pool: Sequence[Found], at: datetime | None, now: datetime
) -> tuple[Unit, ...]:
    """Group the newest snapshots, or those up to a time, of each source.

    What a container mounted comes with it out of the `pool`, whoever backed it up: of the same run
    if there is one.
    """
    newest = _newest(found, at, now)
    elsewhere = _newest(pool, at, now)
    by_run = {(each[1].run, each[1].source): each for each in pool}
    defined: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for _, snapshot in sorted(newest.values(), key=lambda each: each[1].time):
        for user in snapshot.users:
            defined[user.mount.container] = snapshot.run, user.definition
    containers = [
        _of_container(name, defining, elsewhere, by_run)
        for name, defining in sorted(defined.items())
    ]
    taken = {each[1].source for unit in containers for each in unit.found}
    return (*containers, *(unit for unit in _alone(newest) if unit.subject not in taken))


def alone(found: Sequence[Found], at: datetime | None, now: datetime) -> tuple[Unit, ...]:
    """Return the newest of each source, up to a time, by itself."""
    return tuple(_alone(_newest(found, at, now)))


def _alone(newest: Mapping[str, Found]) -> Iterator[Unit]:
    for source, each in sorted(newest.items()):
        yield Unit(subject=source, found=(each,))


def _newest(found: Sequence[Found], at: datetime | None, now: datetime) -> dict[str, Found]:
    return {each[1].source: each for each in _in_time(found, at, now)}


def _in_time(found: Sequence[Found], at: datetime | None, now: datetime) -> list[Found]:
    """The oldest first; what a clock that was wrong dated is no newest."""
    if at is not None:
        return [each for each in found if each[1].time <= at]
    past = [each for each in found if not is_future(each[1].time, now)]
    return past or list(found)


def _of_container(
    name: str,
    defining: tuple[str, Mapping[str, Any]],
    newest: Mapping[str, Found],
    by_run: Mapping[tuple[str, str], Found],
) -> Unit:
    run, definition = defining
    sources = [source_of(mount) for mount in definition.get("mounts") or []]
    found = [by_run.get((run, source)) or newest.get(source) for source in dict.fromkeys(sources)]
    return Unit(
        subject=f"{CONTAINER}{name}",
        found=tuple(each for each in found if each is not None),
        definition=definition,
        dumped=any(source.startswith(f"{DUMP}{name}/") for source in newest),
    )


def source_of(mount: Mapping[str, Any]) -> str:
    """Return the name of the source that a mount of a definition is backed up as."""
    if mount.get("type") == "volume":
        return f"volume:{mount.get('name')}"
    return f"path:{mount.get('source')}"
