"""From what the operator names to what is captured.

    volume:NAME · container:NAME · image:REF · NAME (volume or container) · everything

A container stands for all its mounts. Each mount becomes one source with a name that does not
depend on the container: "volume:NAME", or "path:/dir" for what is bind-mounted from the host. What
several targets share is captured once. Sources that one helper can see are grouped:
`--volumes-from` gives a container's mounts at their own places. Where one mount lies inside
another, each gets a helper of its own: the inner one would be captured as a part of the outer, and
cannot even be mounted where the container never ran and its place does not exist yet.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from backup.engine import (
    Attached,
    Container,
    Engine,
    Mount,
    Mounts,
    Volume,
    VolumesFrom,
    container,
    containers,
    find_image,
    volume,
    volumes,
)
from backup.engine.reference import Reference
from backup.errors import BackupError, NotOnEngine, UsageError
from backup.repository import MountFacts, UserFacts, VolumeFacts

CONTAINER: Final = "container:"
IMAGE: Final = "image:"
DUMP: Final = "dump:"
_SOURCE: Final = "/voltar-source"
_UNKEPT: Final = "nothing of it is saved, so its definition is not kept, and it is not drilled"
_KERNEL: Final = ("/proc", "/sys", "/dev", "/run", "/var/run")


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to capture: its name, its place in the helper, and what to remember about it.

    `origin` is what is mounted there: a volume's name, or a path of the engine's host. `places` are
    directories of that host where the data are, as far as it is known. `users` are the containers
    that are captured and mount it.
    """

    name: str
    origin: str
    path: str
    volume: VolumeFacts | None = None
    users: tuple[UserFacts, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Sources that one helper sees."""

    mounts: Mounts
    sources: tuple[Source, ...]


def alone(source: Source) -> Group:
    """Return a group of one source, mounted at a place of the helper's own.

    What is bind-mounted may be a file, whose name is then the name of the one entry.
    """
    at = _SOURCE
    if source.volume is None:
        at = f"{_SOURCE}/{PurePosixPath(source.path).name}"
    return Group((Attached(source.origin, at),), (replace(source, path=at),))


@dataclass(frozen=True, slots=True)
class Dump:
    """What a container's database writes of itself; `kind` is what the configuration calls it."""

    container: str
    kind: str

    @property
    def source(self) -> str:
        return f"{DUMP}{self.container}/{self.kind}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be captured, and what will not and why, as (name, reason).

    `failed` are targets that name nothing, or not one thing; `unkept` containers of which nothing
    is captured.
    """

    groups: tuple[Group, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, BackupError], ...] = ()
    images: tuple[str, ...] = ()
    """Names of images, as the docker client shows them."""
    dumps: tuple[Dump, ...] = ()
    unkept: tuple[str, ...] = ()

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What will not be kept, and why."""
        dumped = {each.container for each in self.dumps}
        unkept = [each for each in self.unkept if each not in dumped]
        return [*self.skipped, *((f"{CONTAINER}{each}", _UNKEPT) for each in unkept)]

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for group in self.groups for source in group.sources)


@dataclass(slots=True)
class _Planner:
    """Collects groups; a source that was seen is not taken again."""

    engine: Engine
    keep_out: Sequence[str]
    left_out: Collection[str] = ()
    groups: list[Group] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, BackupError]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unkept: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    users: dict[str, dict[str, UserFacts]] = field(default_factory=dict)

    def add_target(self, text: str, *, with_images: bool) -> None:
        """Add what a target names. One that is gone must not keep the others from being saved."""
        try:
            if text.startswith(IMAGE):
                self._add_image(text.removeprefix(IMAGE))
                return
            found = resolve(self.engine, text)
        except (NotOnEngine, UsageError) as error:
            self.failed.append((text, error))
            return
        if isinstance(found, Volume):
            self.add_volume(found)
        else:
            self.add_container(found)
            if with_images:
                self._add_image_of(found)

    def _add_image(self, text: str, identity: str | None = None) -> None:
        name = Reference.parse(text).familiar
        facts = find_image(self.engine, name)
        if identity is not None and facts.id != identity:
            raise UsageError(f"{name} is another image by now than the container was made of")
        if name not in self.images:
            self.images.append(name)

    def _add_image_of(self, found: Container) -> None:
        """Add the image that a container was made of, if its name still means that one."""
        name, identity = (str(found.definition["image"][key]) for key in ("reference", "id"))
        try:
            self._add_image(name, identity)
        except (NotOnEngine, UsageError) as error:
            self.failed.append((f"the image of {found.name}", error))

    def add_volume(self, found: Volume) -> None:
        name = f"volume:{found.name}"
        if not self._is_new(name, found.places):
            return
        facts = volume_facts(found)
        source = Source(name, found.name, _SOURCE, volume=facts, places=tuple(found.places))
        self.groups.append(alone(source))

    def used(self) -> Iterable[Group]:
        """The groups, each source with the containers that use it."""
        for group in self.groups:
            sources = (
                replace(each, users=tuple(self.users.get(each.name, {}).values()))
                for each in group.sources
            )
            yield replace(group, sources=tuple(sources))

    def add_container(self, found: Container) -> None:
        together: list[Source] = []
        nested = any(mount.nested for mount in found.mounts)
        for where, why in found.skipped:
            self.skipped.append((f"{found.name}:{where}", why))
        for mount in found.mounts:
            source = self._source(mount)
            self._take_note(found, mount)
            if source is None:
                continue
            if nested:
                self.groups.append(alone(source))
            else:
                together.append(source)
        if together:
            self.groups.append(Group(VolumesFrom(found.id), tuple(together)))
        if not any(found.name in users for users in self.users.values()):
            self.unkept.append(found.name)

    def _take_note(self, found: Container, mount: Mount) -> None:
        """A definition is kept with what the container mounts, whoever else does."""
        name = _name(mount)
        if name in self.left_out or name in self.refused:
            return
        facts = MountFacts(
            container=found.name, destination=mount.destination, read_only=mount.read_only
        )
        user = UserFacts(mount=facts, definition=found.definition)
        self.users.setdefault(name, {}).setdefault(found.name, user)

    def _source(self, mount: Mount) -> Source | None:
        name = _name(mount)
        places = mount.volume.places if mount.volume else [mount.source]
        if not self._is_new(name, places):
            return None
        return Source(
            name,
            mount.source,
            mount.destination,
            volume=volume_facts(mount.volume) if mount.volume else None,
            places=tuple(places),
        )

    def _is_new(self, name: str, places: Iterable[str]) -> bool:
        """Tell whether a source in these directories of the host is to be saved, and is not yet."""
        if name in self.seen or name in self.left_out:
            return False
        self.seen.add(name)
        refused = next(filter(None, map(self._keep_out, places)), None)
        if refused:
            self.skipped.append((name, refused))
            self.refused.add(name)
        return not refused

    def _keep_out(self, directory: str) -> str | None:
        """Return why a directory of the host is not for a backup, or None."""
        path = PurePosixPath(directory)
        if any(path.is_relative_to(kernel) for kernel in _KERNEL):
            return "belongs to the running system of the host"
        for place in (path, PurePosixPath(Path(directory).resolve())):
            for own in map(PurePosixPath, self.keep_out):
                if own.is_relative_to(place):
                    return f"holds {own}, which is the engine's or the repository's own"
                if place.is_relative_to(own) and str(own) != self.engine.data_root:
                    return f"is in {own}, which is the repository's own"
        return None


def plan(
    engine: Engine,
    targets: Iterable[str],
    *,
    everything: bool,
    keep_out: Sequence[str],
    with_images: bool = False,
    left_out: Collection[str] = (),
) -> Plan:
    """Resolve what the operator named; `with_images`: containers with the images they are made of.

    `keep_out` are directories of the host that no source may contain: the engine's and the
    repository's. `left_out` are names of sources; who knows why tells of them.
    """
    planner = _Planner(engine, keep_out, left_out)
    for text in dict.fromkeys(targets):
        planner.add_target(text, with_images=with_images)
    if everything:
        for each in containers(engine):
            planner.add_container(each)
        for each_volume in volumes(engine):
            planner.add_volume(each_volume)
    return Plan(
        tuple(planner.used()),
        tuple(planner.skipped),
        tuple(planner.failed),
        tuple(planner.images),
        unkept=tuple(planner.unkept),
    )


def resolve(engine: Engine, text: str) -> Volume | Container:
    """Return what a target names. Raises NotOnEngine; UsageError where two things have the name."""
    kind, colon, name = text.partition(":")
    if colon and kind == "volume":
        return volume(engine, name)
    if colon and kind == "container":
        return container(engine, name)
    if colon:
        raise UsageError(
            f"{text!r} is not a target of this version",
            hint="write volume:NAME, container:NAME, image:REF, or a NAME",
        )
    found = named(engine, text)
    if found is None:
        raise NotOnEngine("volume or container", text, hint="`docker volume ls` and `docker ps -a`")
    return found


def named(engine: Engine, name: str) -> Volume | Container | None:
    """Return what has a name without a kind before it. Raises UsageError where two things have."""
    found_volume = _volume_or_none(engine, name)
    found_container = _container_or_none(engine, name)
    if found_volume and found_container:
        raise UsageError(
            f"{name!r} is a volume and a container",
            hint=f"write volume:{name} or container:{name}",
        )
    return found_volume or found_container


def _name(mount: Mount) -> str:
    return f"{'volume' if mount.kind == 'volume' else 'path'}:{mount.source}"


def volume_facts(found: Volume) -> VolumeFacts:
    """Return what a snapshot remembers of a volume."""
    return VolumeFacts(
        name=found.name,
        driver=found.driver,
        options=dict(found.options),
        labels=dict(found.labels),
        anonymous=found.anonymous,
    )


def _volume_or_none(engine: Engine, name: str) -> Volume | None:
    try:
        return volume(engine, name)
    except NotOnEngine:
        return None


def _container_or_none(engine: Engine, name: str) -> Container | None:
    try:
        return container(engine, name)
    except NotOnEngine:
        return None
