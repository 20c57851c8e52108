"""Volumes of an engine, and who uses them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.engine.lifetime import is_own
from backup.errors import EngineError, InUse, NotOnEngine

ANONYMOUS = "com.docker.volume.anonymous"
_GENERATED = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume. `options` are the driver's: with some, its data live elsewhere (NFS, a
    device). `mountpoint` is where the engine's host has it, "" where it does not tell."""

    name: str
    driver: str
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    scope: str = "local"
    mountpoint: str = ""

    @property
    def places(self) -> list[str]:
        """Directories of the engine's host that have the volume's data."""
        device = self.options.get("device", "")
        return [place for place in (self.mountpoint, device) if place.startswith("/")]

    @property
    def anonymous(self) -> bool:
        """True where nobody gave it a name; older engines tell only by the name's form."""
        return ANONYMOUS in self.labels or bool(_GENERATED.fullmatch(self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A container that mounts a volume; `writes` where it may write to it."""

    id: str
    name: str
    running: bool
    paused: bool
    writes: bool = True


def volumes(engine: Engine) -> tuple[Volume, ...]:
    """All volumes but those of drills, by name."""
    found = engine.get("/volumes")["Volumes"] or []
    seen = sorted((_volume(one) for one in found), key=lambda one: one.name)
    return tuple(one for one in seen if not is_own(one.labels, one.name))


def volume(engine: Engine, name: str) -> Volume:
    """One volume. Raises NotOnEngine."""
    return _volume(engine.find("volume", name, f"/volumes/{segment('volume', name)}"))


def create_volume(
    engine: Engine,
    name: str,
    *,
    driver: str = "local",
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Volume:
    """Create a volume. Raises InUse when there is one of that name: the engine would just return
    it."""
    try:
        volume(engine, name)
    except NotOnEngine:
        pass
    else:
        raise InUse(f"there is a volume {name!r} already on this engine")
    body = {"Name": name, "Driver": driver, "DriverOpts": options or {}, "Labels": labels or {}}
    try:
        return _volume(engine.post("/volumes/create", body))
    except Declined as err:
        raise EngineError(f"the volume {name!r} cannot be created: {err.reason}") from err


def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume and its data. Raises NotOnEngine, and InUse while a container has it."""
    try:
        engine.delete(f"/volumes/{segment('volume', name)}")
    except Declined as err:
        if err.status == 404:
            raise NotOnEngine("volume", name) from err
        if err.status == 409:
            raise InUse(f"the volume {name!r} is in use: {err.reason}") from err
        raise


def users(engine: Engine, name: str) -> tuple[User, ...]:
    """The containers that mount a volume, running or not; voltar's own helpers do not count."""
    found = engine.get("/containers/json", all=1, filters=json.dumps({"volume": [name]}))
    return tuple(
        User(
            id=str(one["Id"]),
            name=own_name(one),
            running=one["State"] in ("running", "paused", "restarting"),
            paused=one["State"] == "paused",
            writes=any(
                mount.get("RW", True)
                for mount in one.get("Mounts") or []
                if mount.get("Name") == name
            ),
        )
        for one in sorted(found, key=own_name)
        # the filter also finds containers that mount something else at a path of that name
        if not is_own(one.get("Labels") or {}, *one.get("Names") or [])
        and any(mount.get("Name") == name for mount in one.get("Mounts") or [])
    )


def path_users(engine: Engine, path: PurePosixPath) -> tuple[User, ...]:
    """The containers that mount a path of the host, what is above it or what is below it."""
    return tuple(
        User(
            id=str(one["Id"]),
            name=own_name(one),
            running=one["State"] in ("running", "paused", "restarting"),
            paused=one["State"] == "paused",
            writes=any(
                mount.get("RW", True) for mount in one.get("Mounts") or [] if _meets(mount, path)
            ),
        )
        for one in sorted(engine.get("/containers/json", all=1), key=own_name)
        if not is_own(one.get("Labels") or {}, *one.get("Names") or [])
        and any(_meets(mount, path) for mount in one.get("Mounts") or [])
    )


def _meets(mount: Mapping[str, Any], path: PurePosixPath) -> bool:
    if mount.get("Type") != "bind":
        return False
    other = PurePosixPath(str(mount["Source"]))
    return path.is_relative_to(other) or other.is_relative_to(path)


def own_name(listed: Mapping[str, Any]) -> str:
    """A container's own name; links add names with more than one slash."""
    names = [str(one).lstrip("/") for one in listed.get("Names") or []]
    return next((one for one in names if "/" not in one), str(listed["Id"])[:12])


def _volume(found: Mapping[str, Any]) -> Volume:
    return Volume(
        name=str(found["Name"]),
        driver=str(found.get("Driver") or "local"),
        options=dict(found.get("Options") or {}),
        labels=dict(found.get("Labels") or {}),
        scope=str(found.get("Scope") or "local"),
        mountpoint=str(found.get("Mountpoint") or ""),
    )
