"""Look at both engines. Nothing is changed; helpers read, and are gone again."""

from pathlib import PurePosixPath

from backup.engine import (
    Container,
    Engine,
    Found,
    ImageFacts,
    Mount,
    Volume,
    changed_paths,
    container,
    container_names,
    find_image,
    free_space,
    host,
    images,
    joined,
    look,
    networks,
    path_users,
    sizes,
    state,
    taken_ports,
    users,
    volumes,
)
from backup.errors import NotOnEngine, UsageError
from backup.migrate.facts import Data, Ground, Image, Origin, bound_by
from backup.targets import resolve

_SYSTEM = ("/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/run", "/var/run", "/opt/nvidia")
"""What is bound read-only from here is the host's own, and the target has its own."""


def identity(engine: Engine) -> str:
    """What tells an engine from all others."""
    return host(engine).identity


def origin(engine: Engine, target: str, run: str) -> Origin:
    """What is to be moved. Raises NotOnEngine, UsageError."""
    found = resolve(engine, target)
    if isinstance(found, Volume):
        return Origin(host=host(engine), data=_measured(engine, (_alone(engine, found),), run))
    return _of_container(engine, found, run)


def _alone(engine: Engine, found: Volume) -> Data:
    return Data(
        kind="volume", source=found.name, volume=found, users=tuple(users(engine, found.name))
    )


def _of_container(engine: Engine, found: Container, run: str) -> Origin:
    inherited = _inherited(engine, found)
    own = [one for one in found.mounts if one.destination not in inherited]
    data = _measured(engine, tuple(_distinct(engine, found, own)), run)
    with_data = {one.source for one in data if one.kind in ("volume", "d", "f")}
    bound = [str(one["source"]) for one in found.definition["mounts"] if one["type"] == "bind"]
    wanted = set(found.definition["networks"])
    return Origin(
        host=host(engine),
        container=found,
        state=state(engine, found.id),
        image=known_image(engine, str(found.definition["image"]["id"])),
        data=tuple(one for one in data if one.source in with_data),
        borrowed=tuple(sorted({*bound} - with_data)),
        inherited=tuple(sorted(inherited)),
        networks=tuple(one for one in networks(engine) if one.name in wanted),
        layer_changes=changed_paths(engine, found.id, [one.destination for one in found.mounts]),
        containers=container_names(engine),
        joined=joined(engine, found.id),
    )


def _inherited(engine: Engine, found: Container) -> set[str]:
    """The places of mounts that come from other containers, by `--volumes-from`."""
    places: set[str] = set()
    for one in found.definition["host_config"].get("VolumesFrom") or []:
        try:
            other = container(engine, str(one).partition(":")[0])
        except NotOnEngine:
            continue  # what was inherited from it is the container's own by now
        places |= {mount.destination for mount in other.mounts}
    return places


def _distinct(engine: Engine, found: Container, mounts: list[Mount]) -> list[Data]:
    """The container's data, each once; what lies in a directory that is carried comes with it."""
    requested = {one["destination"]: one["requested"] for one in found.definition["mounts"] if one}
    bound = [PurePosixPath(one.source) for one in mounts if one.kind == "bind" and _own(one)]
    data: dict[str, Data] = {}
    for one in mounts:
        path = PurePosixPath(one.source)
        within = one.kind == "bind" and any(path != b and path.is_relative_to(b) for b in bound)
        if one.source in data or within or not _own(one):
            continue
        having = users(engine, one.source) if one.kind == "volume" else path_users(engine, path)
        data[one.source] = Data(
            kind=one.kind,
            source=one.source,
            destination=one.destination,
            volume=one.volume,
            anonymous=one.kind == "volume" and not requested.get(one.destination, True),
            read_only=one.read_only,
            users=tuple(user for user in having if user.id != found.id),
        )
    return list(data.values())


def _own(mount: Mount) -> bool:
    if mount.kind == "volume" or not mount.read_only:
        return True
    return not any(PurePosixPath(mount.source).is_relative_to(one) for one in _SYSTEM)


def _measured(engine: Engine, data: tuple[Data, ...], run: str) -> tuple[Data, ...]:
    """The data with their sizes; of paths, also what they are."""
    here = tuple(one.source for one in data if not one.elsewhere)
    found = sizes(engine, here, run)
    measured = []
    for one in data:
        size, kind = found.get(one.source, (0, one.kind))
        kind = one.kind if one.kind == "volume" else kind
        measured.append(_with(one, kind=kind, size=size))
    return tuple(measured)


def _with(one: Data, *, kind: str, size: int) -> Data:
    return Data(
        kind=kind,
        source=one.source,
        destination=one.destination,
        volume=one.volume,
        anonymous=one.anonymous,
        read_only=one.read_only,
        size=size,
        users=one.users,
    )


def known_image(engine: Engine, reference: str) -> Image | None:
    """An image as the engine has it; None where it is not there."""
    try:
        return _known(find_image(engine, reference))
    except NotOnEngine:
        return None


def _known(found: ImageFacts) -> Image:
    return Image(
        id=found.id,
        layers=found.diff_ids,
        config=found.settings,
        architecture=[*found.platform.split("/"), ""][1],
        size=found.size,
        tags=found.tags,
    )


def same_image(engine: Engine, wanted: Image) -> Image | None:
    """The image of the same layers and configuration, if the engine has it."""
    for reference in (wanted.id, *wanted.tags):
        found = known_image(engine, reference)
        if found is not None and found.same(wanted):
            return found
    everything = map(_known, images(engine))
    return next((one for one in everything if one.same(wanted)), None)


def ground(engine: Engine, about: Origin, run: str) -> Ground:
    """What on the target concerns the move. Raises UsageError where it is the source itself."""
    facts = host(engine)
    if facts.identity == about.host.identity:
        raise UsageError("source and target are the same engine", hint="--to names another one")
    wanted = about.image
    image = same_image(engine, wanted) if wanted else None
    return Ground(
        host=facts,
        containers=container_names(engine),
        volumes={one.name: one for one in volumes(engine)},
        networks=networks(engine),
        ports=taken_ports(engine),
        places=_places(engine, about, run),
        image=image,
        tags=_tags(engine, about, image),
        free=free_space(engine, run),
    )


def _places(engine: Engine, about: Origin, run: str) -> dict[str, Found]:
    """What is at the paths that the source uses of its host."""
    paths = {*about.borrowed, *(one.source for one in about.data if one.kind != "volume")}
    paths |= {device for one in about.data if (device := bound_by(one.volume))}
    if about.container:
        for one in about.container.definition["host_config"].get("Devices") or []:
            paths.add(str(one["PathOnHost"]))
    return {path: look(engine, path, run) for path in sorted(paths)}


def _tags(engine: Engine, about: Origin, image: Image | None) -> dict[str, bool]:
    """Whether the container's name for its image is there, and leads to the same one."""
    if about.container is None:
        return {}
    reference = str(about.container.definition["image"]["reference"])
    found = known_image(engine, reference)
    if found is None:
        return {}
    return {reference: image is not None and found.same(image)}
