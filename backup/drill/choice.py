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
from backup.targets import CONTAINER

_DUMP: Final = "dump:"
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
    container = snapshot.mount.container if snapshot.mount else None
    volume = snapshot.volume.name if snapshot.volume else None
    names = [name for name in (container, volume) if name]
    labels = _labels(snapshot)
    return (
        job.all
        or container in job.containers
        or volume in job.volumes
        or labels.get(_PROJECT) in job.projects
        or any(_has(labels, label) for label in job.labels)
        or any(fnmatchcase(name, pattern) for name in names for pattern in job.patterns)
    )


def _labels(snapshot: Snapshot) -> dict[str, str]:
    of_container = ((snapshot.definition or {}).get("config") or {}).get("Labels") or {}
    return {**(snapshot.volume.labels if snapshot.volume else {}), **of_container}


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def of_source(text: str, every: Iterable[Found]) -> list[Found]:
    """Return the snapshots of a source, or of all that container:NAME mounted, by what is said."""
    name = text.removeprefix(CONTAINER)
    if text.startswith(CONTAINER):
        return [each for each in every if each[1].mount and each[1].mount.container == name]
    return [each for each in every if each[1].is_of(text)]


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
    defined: dict[str, Found] = {}
    for each in sorted(newest.values(), key=lambda each: each[1].time):
        if each[1].mount and each[1].definition:
            defined[each[1].mount.container] = each
    containers = [
        _of_container(name, each[1], elsewhere, by_run) for name, each in sorted(defined.items())
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
    defining: Snapshot,
    newest: Mapping[str, Found],
    by_run: Mapping[tuple[str, str], Found],
) -> Unit:
    assert defining.definition is not None  # noqa: S101  what was chosen for it
    sources = [source_of(mount) for mount in defining.definition.get("mounts") or []]
    found = [
        by_run.get((defining.run, source)) or newest.get(source)
        for source in dict.fromkeys(sources)
    ]
    return Unit(
        subject=f"{CONTAINER}{name}",
        found=tuple(each for each in found if each is not None),
        definition=defining.definition,
        dumped=any(source.startswith(f"{_DUMP}{name}/") for source in newest),
    )


def source_of(mount: Mapping[str, Any]) -> str:
    """Return the name of the source that a mount of a definition is backed up as."""
    if mount.get("type") == "volume":
        return f"volume:{mount.get('name')}"
    return f"path:{mount.get('source')}"
