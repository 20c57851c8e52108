"""Who is paused or stopped while sources are read, together with whom, in which order.

Sources that have a user in common are a *unit*: all of it is read in one window, so that nobody is
stopped twice. A user is whoever mounts a source and may write to it, captured or not. Whoever only
reads it is left alone, for it changes nothing. A container that has joined the network, processes
or IPC of one that is stopped cannot work any more, so it is stopped as well.

Dependents stop first and start last. A depends on B by compose's `depends_on`, by a link, or by
having joined it; in a cycle, the dependency that closes it does not count.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from backup.config import Hook, Quiesce, When
from backup.engine import Container, Mount
from backup.errors import BackupError, UsageError
from backup.selection.resolve import Treatment
from backup.targets import Group, Source

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
NUMBER: Final = "com.docker.compose.container-number"
_DEPENDS_ON: Final = "com.docker.compose.depends_on"
_SWARM_SERVICE: Final = "com.docker.swarm.service.name"
_SWARM: Final = "com.docker.swarm.service.id"
_JOINED: Final = ("NetworkMode", "PidMode", "IpcMode")
_STOP_S: Final = 10
UNTOUCHED: Final = Treatment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quieted:
    """A container that does not run while its unit is read.

    `grace_s` is how long it may take to stop, negative for ever. `service` says whose place it
    takes in a compose project (project, service, number), "" where it is none's.
    """

    id: str
    name: str
    how: Quiesce
    grace_s: int
    service: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Sources that are read in one window, and who is quiet meanwhile, in the order of stopping.

    `refused` is why it cannot be done; nothing of the unit is touched then.
    """

    groups: tuple[Group, ...]
    quieted: tuple[Quieted, ...] = ()
    hooks: tuple[Hook, ...] = ()
    refused: BackupError | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for group in self.groups for source in group.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: how each container is treated, by name, and how all that are not named.

    `hooks` run around the whole run; the same ones in a treatment are not its own. `own` is the
    container in which voltar itself runs, by the beginning of its id.
    """

    treatments: Mapping[str, Treatment]
    otherwise: Treatment = UNTOUCHED
    hooks: tuple[Hook, ...] = ()
    own: str = ""

    @property
    def asks_for_anything(self) -> bool:
        """Whether anything is to be done to anybody."""
        all_ = (self.otherwise, *self.treatments.values())
        quiet = any(each.quiesce is not Quiesce.NONE or each.hooks for each in all_)
        return bool(self.hooks) or quiet

    def of(self, container: Container) -> Treatment:
        return self.treatments.get(container.name, self.otherwise)

    def own_hooks(self, container: Container) -> list[Hook]:
        return [hook for hook in self.of(container).hooks if hook not in self.hooks]


def units(
    groups: Sequence[Group], containers: Sequence[Container], order: Order
) -> tuple[Unit, ...]:
    """Divide what is captured into units, in the order of its groups."""
    users = [[one for one in containers if _uses(one, group)] for group in groups]
    writers = [[one for one in containers if _may_write(one, group)] for group in groups]
    quieted = [_with_joined(_to_quiet(each, order), containers) for each in writers]
    hooked = [{one.name for one in each if order.own_hooks(one)} for each in users]
    ties = [set(one) | two for one, two in zip(quieted, hooked, strict=True)]
    made = []
    for numbers in _tied(ties):
        hows: dict[str, Quiesce] = {}
        for number in numbers:
            for name, how in quieted[number].items():
                hows[name] = _stronger(how, hows.get(name, Quiesce.NONE))
        tie = {name for number in numbers for name in ties[number]}
        members = [one for one in containers if one.name in tie]
        made.append(_unit([groups[number] for number in numbers], members, hows, order))
    return tuple(made)


def before(hooks: Iterable[Hook]) -> list[Hook]:
    return [hook for hook in hooks if hook.when is When.BEFORE]


def after(hooks: Iterable[Hook]) -> list[Hook]:
    return [hook for hook in hooks if hook.when is When.AFTER]


def _unit(
    groups: Sequence[Group],
    members: Sequence[Container],
    hows: Mapping[str, Quiesce],
    order: Order,
) -> Unit:
    stopping = ordered([one for one in members if one.name in hows])
    hooks: list[Hook] = []
    for one in members:
        hooks += [hook for hook in order.own_hooks(one) if hook not in hooks]
    refusals = (_refusal(one, hows[one.name], order.own) for one in stopping)
    return Unit(
        groups=tuple(groups),
        quieted=tuple(_quieted(one, hows[one.name], order.of(one)) for one in stopping),
        hooks=tuple(hooks),
        refused=next(filter(None, refusals), None),
    )


def _quieted(one: Container, how: Quiesce, treatment: Treatment) -> Quieted:
    own = (one.definition.get("config") or {}).get("StopTimeout")
    grace = treatment.grace_s if treatment.grace_s is not None else own
    return Quieted(
        id=one.id,
        name=one.name,
        how=how,
        grace_s=math.ceil(grace) if grace is not None else _STOP_S,
        service=_service(one),
    )


def _service(one: Container) -> tuple[str, str, str]:
    project, service, number = (one.labels.get(key, "") for key in (PROJECT, SERVICE, NUMBER))
    return (project, service, number) if project and service else ("", "", "")


def _refusal(one: Container, how: Quiesce, own: str) -> BackupError | None:
    if own and one.id.startswith(own):
        return UsageError(
            f"voltar runs in container {one.name!r}, which would have to be quiet",
            hint="run voltar outside of what it backs up, or give that container quiesce none",
        )
    if how is not Quiesce.STOP:
        return None
    if _SWARM in one.labels:
        service = one.labels.get(_SWARM_SERVICE, one.labels[_SWARM])
        return UsageError(
            f"container {one.name!r} is a task of the swarm's service {service!r}, and cannot be "
            "stopped: the swarm would start another one in its place",
            hint="use quiesce pause or none for it; services of a swarm are not supported yet",
        )
    if _host_config(one).get("AutoRemove"):
        return UsageError(
            f"container {one.name!r} was started with --rm, and cannot be stopped: "
            "it would be removed",
            hint="use quiesce pause for it, or start it without --rm",
        )
    return None


def _to_quiet(users: Iterable[Container], order: Order) -> dict[str, Quiesce]:
    """Who runs, and is not to run meanwhile."""
    hows = {one.name: order.of(one).quiesce for one in users if one.running and not one.paused}
    return {name: how for name, how in hows.items() if how is not Quiesce.NONE}


def _with_joined(hows: dict[str, Quiesce], containers: Sequence[Container]) -> dict[str, Quiesce]:
    """Add who cannot work without one that is stopped, and so on."""
    found = dict(hows)
    grows = True
    while grows:
        stopped = {name for name, how in found.items() if how is Quiesce.STOP}
        more = {
            one.name
            for one in containers
            if one.running and not one.paused and one.name not in stopped and stopped & _joined(one)
        }
        found |= dict.fromkeys(more, Quiesce.STOP)
        grows = bool(more)
    return found


def _stronger(one: Quiesce, other: Quiesce) -> Quiesce:
    return Quiesce.STOP if Quiesce.STOP in (one, other) else one


def _uses(one: Container, group: Group) -> bool:
    return any(_meets(mount, source) for mount in one.mounts for source in group.sources)


def _may_write(one: Container, group: Group) -> bool:
    writable = [mount for mount in one.mounts if not mount.read_only]
    return any(_meets(mount, source) for mount in writable for source in group.sources)


def _meets(mount: Mount, source: Source) -> bool:
    """Whether a mount leads into a source. Who mounts a directory that a volume of the engine lies
    in somewhere (/var/lib/docker, say) looks after the engine, and is no user of the volume."""
    if mount.kind == "volume" and source.volume and mount.source == source.volume.name:
        return True
    theirs = [PurePosixPath(each) for each in _places(mount)]
    ours = [PurePosixPath(each) for each in source.places]
    if any(one.is_relative_to(other) for one in theirs for other in ours):
        return True
    return not source.volume and any(a.is_relative_to(b) for a in ours for b in theirs)


def _places(mount: Mount) -> list[str]:
    if mount.kind == "bind":
        return [mount.source]
    return mount.volume.places if mount.volume else []


def _tied(ties: Sequence[Collection[str]]) -> Iterator[list[int]]:
    """Yield which sets have, directly or not, a name in common; the first ones first."""
    left = list(range(len(ties)))
    while left:
        numbers = [left.pop(0)]
        names = set(ties[numbers[0]])
        while found := [number for number in left if names & set(ties[number])]:
            numbers += found
            left = [number for number in left if number not in found]
            names.update(*(ties[number] for number in found))
        yield sorted(numbers)


def ordered(members: Sequence[Container]) -> list[Container]:
    """Return containers in the order of stopping: each one before those it depends on."""
    needed = {one.name: _needed(one, members) for one in members}
    by_name = {one.name: one for one in members}
    starting: dict[str, None] = {}
    entered: set[str] = set()

    def start(name: str) -> None:
        if name in entered:
            return
        entered.add(name)
        for other in sorted(needed[name]):
            start(other)
        starting[name] = None

    for name in sorted(by_name):
        start(name)
    return [by_name[name] for name in reversed(starting)]


def _needed(one: Container, members: Sequence[Container]) -> set[str]:
    project = one.labels.get(PROJECT)
    services = {each.split(":")[0].strip() for each in one.labels.get(_DEPENDS_ON, "").split(",")}
    links = {str(link).split(":")[0] for link in _host_config(one).get("Links") or []}
    named = links | _joined(one)
    return {
        other.name
        for other in members
        if other.name in named
        or (
            (project and other.labels.get(PROJECT) == project)
            and other.labels.get(SERVICE) in services - {""}
        )
    } - {one.name}


def _joined(one: Container) -> set[str]:
    """The containers whose network, processes or IPC a container shares."""
    modes = [str(_host_config(one).get(key) or "").partition(":") for key in _JOINED]
    return {name for kind, _, name in modes if kind == "container"}


def _host_config(one: Container) -> Mapping[str, Any]:
    return one.definition.get("host_config") or {}
