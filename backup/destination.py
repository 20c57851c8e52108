"""Where a restore goes: a volume that is new, or empty and not in use.

Everything is looked at before anything is written. A volume that has data, or may lead to some, is
refused and left as it is.
"""

import re
from dataclasses import dataclass
from typing import Final

from backup.capture import TAR_CREATE
from backup.engine import (
    Access,
    Attached,
    Container,
    Engine,
    Helper,
    container,
    create_volume,
    helper,
    remove_volume,
    users,
    volume,
)
from backup.errors import InUse, NotOnEngine, UsageError
from backup.repository import Snapshot, VolumeFacts
from backup.tar.split import split
from backup.targets import named
from backup.verify import ATTRIBUTES

PLACE: Final = "/voltar-target"
"""Where helpers mount the volume."""

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LABEL: Final = "security.selinux"  # the system's own, which the restored root is given anew


@dataclass(frozen=True, slots=True)
class Target:
    """A volume to restore into. `make` says how to make it; None where it exists and is empty.

    `root` is then what its root directory is like: owner, group, mode and time, as find prints
    them.
    """

    name: str
    make: VolumeFacts | None
    root: str = ""


def target_name(engine: Engine, text: str, snapshot: Snapshot) -> str:
    """Return the volume that a restore's target names.

    volume:NAME or NAME is that volume, there or not; container:NAME is the volume that the
    container mounts where the snapshot's was mounted. Raises UsageError, NotOnEngine.
    """
    kind, colon, name = text.partition(":")
    if (colon and kind not in ("volume", "container")) or not _NAME.fullmatch(
        name if colon else text
    ):
        raise UsageError(f"{text!r} is no target", hint="write volume:NAME or container:NAME")
    if not colon:
        if isinstance(named(engine, text), Container):
            hint = f"write container:{text} for its volume, or volume:{text} for a new one"
            raise UsageError(f"{text!r} is a container, and not a volume", hint=hint)
        return text
    if kind == "volume":
        return name
    mounts = [mount for mount in container(engine, name).mounts if mount.kind == "volume"]
    place = snapshot.mount.destination if snapshot.mount else None
    fitting = [mount for mount in mounts if mount.destination == place] or mounts
    if len(fitting) != 1:
        raise UsageError(
            f"container {name!r} has {len(mounts)} volumes, none of them at {place}",
            hint="name the volume: --to volume:NAME",
        )
    return fitting[0].source


def target(engine: Engine, name: str, facts: VolumeFacts | None, run: str) -> Target:
    """Look at a volume before anything is restored into it.

    Raises InUse where a running container uses it, or where it is not empty.
    """
    try:
        volume(engine, name)
    except NotOnEngine:
        return Target(name, facts or VolumeFacts(name=name))
    demand_unused(engine, name)
    return Target(name, None, _root_of_empty(engine, name, run))


def demand_unused(engine: Engine, name: str) -> None:
    """Raise InUse where a running container uses a volume."""
    running = [user.name for user in users(engine, name) if user.running]
    if running:
        raise InUse(
            f"volume {name!r} is used by the running container {running[0]!r}",
            hint=f"stop it first (docker stop {running[0]}), or restore into a new volume",
        )


def demand_empty(reader: Helper, name: str) -> None:
    """Raise InUse where the volume that a helper has at PLACE is not empty."""
    if reader.run(["find", PLACE, "-mindepth", "1", "-printf", "x", "-quit"]):
        raise InUse(
            f"volume {name!r} is not empty, and a restore never mixes or overwrites",
            hint="restore into a new volume: --to NEWNAME",
        )


def make(engine: Engine, name: str, like: VolumeFacts, run: str) -> None:
    """Make a volume like one that was captured. Raises InUse, and makes none, where it has data.

    A driver's options may lead to where the captured volume's own data are: a server, a device.
    """
    create_volume(engine, name, driver=like.driver, options=like.options, labels=like.labels)
    try:
        if like.options or like.driver != "local":
            _root_of_empty(engine, name, run)
    except BaseException as error:
        remove_volume(engine, name)
        if isinstance(error, InUse):
            options = ", ".join(f"{key}={value}" for key, value in like.options.items())
            raise InUse(
                f"a volume like {like.name!r} (driver {like.driver}, {options}) is not empty: its "
                "options lead to where data are",
                hint=f"make an empty one (docker volume create {name}) and restore into that",
            ) from error
        raise


def _root_of_empty(engine: Engine, name: str, run: str) -> str:
    """Return what an empty volume's root directory is like. Raises InUse where it is not empty."""
    with helper(engine, (Attached(name, PLACE),), access=Access.READ, run=run) as reader:
        root = reader.run(["find", PLACE, "-maxdepth", "0", "-printf", "%U %G %m %T@"]).decode()
        demand_empty(reader, name)
        with reader.reading([*TAR_CREATE, "--file=-", "."], within=PLACE) as stream:
            keys = [key for entry in split(stream) for key in entry.pax]
    own = [key for key in keys if key.startswith(ATTRIBUTES) and not key.endswith(_LABEL)]
    if own:
        raise InUse(
            f"the root directory of volume {name!r} has {own[0].split('.', 1)[1]} of its own, "
            "which a restore could not take away",
            hint="restore into a new volume: --to NEWNAME",
        )
    return root
