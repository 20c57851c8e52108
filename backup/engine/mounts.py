"""What a helper mounts: everything that a container mounts, or volumes and paths one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backup.engine.connect import Engine, segment

_SAVED = ("volume", "bind")


@dataclass(frozen=True, slots=True)
class VolumesFrom:
    """All mounts of a container, at their own places."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Attached:
    """One volume (a name) or directory or file of the engine's host (a path), mounted at `at`."""

    source: str
    at: str

    @property
    def kind(self) -> str:
        """`bind` or `volume`."""
        return "bind" if self.source.startswith("/") else "volume"


Mounts = VolumesFrom | tuple[Attached, ...]


def request(engine: Engine, mounts: Mounts, *, read_only: bool) -> dict[str, Any]:
    """The part of a create request that asks for these mounts. Raises NotOnEngine.

    The engine would make volumes that are missing, so they are asked for first.
    """
    if isinstance(mounts, VolumesFrom):
        return _inherited(engine, mounts.container_id, read_only=read_only)
    for one in mounts:
        if one.kind == "volume":
            engine.find("volume", one.source, f"/volumes/{segment('volume', one.source)}")
    return {"Mounts": [mount(one, read_only=read_only) for one in mounts]}


def mount(one: Attached, *, read_only: bool) -> dict[str, Any]:
    """One mount of a create request; nothing is copied from the image into an empty volume."""
    found: dict[str, Any] = {
        "Type": one.kind,
        "Source": one.source,
        "Target": one.at,
        "ReadOnly": read_only,
    }
    if one.kind == "volume":
        found["VolumeOptions"] = {"NoCopy": True}
    return found


def _inherited(engine: Engine, name: str, *, read_only: bool) -> dict[str, Any]:
    """Volumes are inherited. What else there is makes that unfit, and all is asked for one by one:
    an engine cannot inherit from a container that has a `--mount type=tmpfs` or an image mount
    ("get: no such volume"), and it *makes* the host's directory of a bind mount that is gone."""
    found = engine.find("container", name, f"/containers/{segment('container', name)}/json")
    listed = found.get("Mounts") or []
    if all(one["Type"] == "volume" for one in listed):
        return {"VolumesFrom": [f"{found['Id']}:{'ro' if read_only else 'rw'}"], "Mounts": []}
    wanted = found["HostConfig"].get("Mounts") or []
    return {
        "Mounts": [
            _again(one, wanted, read_only=read_only) for one in listed if one["Type"] in _SAVED
        ]
    }


def _again(
    listed: Mapping[str, Any], wanted: list[dict[str, Any]], *, read_only: bool
) -> dict[str, Any]:
    """The same mount once more, with the part of the volume that it shows."""
    source = str(listed["Name"] if listed["Type"] == "volume" else listed["Source"])
    place = str(listed["Destination"])
    made = mount(Attached(source, place), read_only=read_only or not listed["RW"])
    for one in wanted:
        part = (one.get("VolumeOptions") or {}).get("Subpath")
        if part and one.get("Target") == place:
            made["VolumeOptions"]["Subpath"] = part
    return made
