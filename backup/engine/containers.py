"""Containers of an engine: their mounts, and what is needed to create them again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from backup.engine.connect import Engine, segment
from backup.engine.definition import reduce
from backup.engine.lifetime import is_own
from backup.engine.volumes import Volume, own_name, volumes
from backup.errors import NotOnEngine

_NETWORK_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
_KERNEL = ("/proc", "/sys", "/dev")
_UNSAVED = {
    "tmpfs": "it is in memory",
    "image": "it is an image, read-only",
    "cluster": "cluster volumes belong to the swarm",
    "npipe": "it is a pipe of Windows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One thing that a container mounts and that can be backed up.

    `source` is a volume's name or a path of the engine's host; `nested` are the places inside
    `destination` where other mounts hide what this one has. Mount it alone, and somewhere else, to
    see all of it: engines put files of their own into /etc, of helpers too (20.10 always does).
    """

    kind: str
    source: str
    destination: str
    read_only: bool
    volume: Volume | None = None
    nested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container. `skipped` are (destination, why) of mounts that hold no data to back up."""

    id: str
    name: str
    running: bool
    paused: bool
    labels: dict[str, str]
    mounts: tuple[Mount, ...]
    skipped: tuple[tuple[str, str], ...]
    definition: dict[str, Any]


def containers(engine: Engine, *, running_only: bool = False) -> tuple[Container, ...]:
    """All containers but voltar's helpers and those of its drills, by name."""
    known = {one.name: one for one in volumes(engine)}
    found = []
    for listed in engine.get("/containers/json", all=0 if running_only else 1):
        if is_own(listed.get("Labels") or {}, *listed.get("Names") or []):
            continue
        try:
            found.append(_container(engine, str(listed["Id"]), known))
        except NotOnEngine:
            continue  # removed since it was listed
    return tuple(sorted(found, key=lambda one: one.name))


def container(engine: Engine, name: str) -> Container:
    """One container, by name or id. Raises NotOnEngine."""
    return _container(engine, name, {one.name: one for one in volumes(engine)})


def _container(engine: Engine, name: str, known: Mapping[str, Volume]) -> Container:
    found = engine.find("container", name, f"/containers/{segment('container', name)}/json")
    state = found["State"]
    mounts, skipped = _mounts(found, known)
    return Container(
        id=str(found["Id"]),
        name=str(found["Name"]).lstrip("/"),
        running=bool(state["Running"]),
        paused=bool(state["Paused"]),
        labels=dict(found["Config"].get("Labels") or {}),
        mounts=mounts,
        skipped=skipped,
        definition=reduce(
            found,
            _image(engine, str(found["Image"])),
            engine_version=engine.version,
            name_of=lambda identity: _name_of(engine, identity),
        ),
    )


def _image(engine: Engine, identity: str) -> Mapping[str, Any] | None:
    """The image's inspect; None when it was removed by force under the container."""
    try:
        found: Mapping[str, Any] = engine.find("image", identity, f"/images/{identity}/json")
    except NotOnEngine:
        return None
    return found


def _name_of(engine: Engine, identity: str) -> str:
    """The name of another container; what cannot be found stays as it is."""
    try:
        found = engine.find(
            "container", identity, f"/containers/{segment('container', identity)}/json"
        )
    except NotOnEngine:
        return identity
    return str(found["Name"]).lstrip("/")


def _mounts(
    found: Mapping[str, Any], known: Mapping[str, Volume]
) -> tuple[tuple[Mount, ...], tuple[tuple[str, str], ...]]:
    kept: list[Mount] = []
    skipped = [(path, _UNSAVED["tmpfs"]) for path in found["HostConfig"].get("Tmpfs") or {}]
    listed = found.get("Mounts") or []
    places = {*(str(one["Destination"]) for one in listed), *_NETWORK_FILES}
    for one in sorted(listed, key=lambda one: str(one["Destination"])):
        destination = str(one["Destination"])
        if why := _unfit(one):
            skipped.append((destination, why))
            continue
        kind = str(one["Type"])
        kept.append(
            Mount(
                kind=kind,
                source=str(one["Name"] if kind == "volume" else one["Source"]),
                destination=destination,
                read_only=not one["RW"],
                volume=known.get(str(one.get("Name"))) if kind == "volume" else None,
                nested=_inside(destination, places),
            )
        )
    return tuple(kept), tuple(dict.fromkeys(skipped))


def _unfit(mount: Mapping[str, Any]) -> str | None:
    """Why a mount is not backed up; None for one that is."""
    kind = str(mount["Type"])
    if kind not in ("volume", "bind"):
        return _UNSAVED.get(kind, f"mounts of the type {kind} are not known")
    if kind == "volume":
        return None
    source = PurePosixPath(str(mount["Source"]))
    if str(source) == "/":
        return "it is the whole host"
    if any(source.is_relative_to(one) for one in _KERNEL):
        return "it belongs to the kernel"
    return "it is a socket" if source.suffix == ".sock" else None


def _inside(destination: str, places: Iterable[str]) -> tuple[str, ...]:
    outer = PurePosixPath(destination)
    return tuple(
        sorted(
            one
            for one in places
            if PurePosixPath(one) != outer and PurePosixPath(one).is_relative_to(outer)
        )
    )


def labelled_containers(engine: Engine, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the containers that have all of these labels, the newest first."""
    wanted = json.dumps({"label": [f"{key}={value}" for key, value in labels.items()]})
    found = engine.get("/containers/json", all=1, filters=wanted)
    return tuple(str(one["Id"]) for one in sorted(found, key=lambda one: -int(one["Created"])))


def compose(engine: Engine, project: str) -> tuple[str, ...]:
    """The ids of the containers of one compose project."""
    wanted = json.dumps({"label": [f"com.docker.compose.project={project}"]})
    return tuple(str(one["Id"]) for one in engine.get("/containers/json", all=1, filters=wanted))


def container_names(engine: Engine) -> dict[str, bool]:
    """The names of all containers, and whether each runs."""
    return {
        str(name).lstrip("/"): one["State"] in ("running", "paused", "restarting")
        for one in engine.get("/containers/json", all=1)
        for name in one.get("Names") or []
    }


def joined(engine: Engine, identity: str) -> tuple[str, ...]:
    """The names of the running containers that are in the network of another one."""
    mode = f"container:{identity}"
    found = engine.get("/containers/json")
    return tuple(sorted(own_name(one) for one in found if one["HostConfig"]["NetworkMode"] == mode))


def changed_paths(engine: Engine, name: str, mounted: Sequence[str]) -> int:
    """How many files a container made, changed or deleted in its own layer, and not in a mount.

    Directories that only lead to them, and files that the engine makes, do not count.
    """
    changes = engine.get(f"/containers/{segment('container', name)}/changes") or []
    paths = {str(one["Path"]): int(one["Kind"]) for one in changes}
    above = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    places = [PurePosixPath(one) for one in (*mounted, *_NETWORK_FILES)]
    return sum(
        path not in above and not any(place.is_relative_to(path) for place in places)
        for path in paths
    )
