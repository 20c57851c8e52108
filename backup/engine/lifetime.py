"""The helper container itself: made, started, held alive, removed.

Its first process is `cat` on a stdin that voltar holds open. When voltar dies, even by kill -9, the
engine closes that stdin, `cat` ends, and with it everything else in the container: a dead run
leaves no running helper. What is left of the container is removed by the next run (orphans.py).

Never `v=1` and never AutoRemove: both would delete an anonymous volume that the helper inherited,
if its owner was removed in the meantime without its volumes.
"""

import enum
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from backup.engine import image
from backup.engine.connect import TIMEOUT_S, Engine
from backup.engine.door import Declined
from backup.engine.image import Image
from backup.engine.mounts import Attached, Mounts, mount, request
from backup.engine.session import Cell
from backup.engine.tools import SCRATCH
from backup.errors import EngineError, HelperFailed

LABEL = "voltar.helper"
RUN_LABEL = "voltar.run"
DRILL_LABEL = "voltar.drill-run"
"""On all that a drill makes, and on the helper that lives as long as it; the value is its run."""
_OWN_NAME = "voltar-"
_READING = ("DAC_READ_SEARCH",)
_WRITING = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID"),
    *("MKNOD", "SETFCAP"),
)
_SIGNALLING = ("KILL",)


class Access(enum.Enum):
    """What a helper may do with what it mounts, and which capabilities it gets for that. One that
    may signal sees the processes of the engine's host."""

    READ = _READING
    WRITE = _WRITING
    SIGNAL = _SIGNALLING


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a helper container is to be."""

    mounts: Mounts
    access: Access
    run: str
    labels: Mapping[str, str] = field(default_factory=dict)


def is_own(labels: Collection[str], *names: str) -> bool:
    """Whether something is voltar's own: by its labels and by its name.

    An image can have any label, and what is made of it must not vanish from backups for that.
    """
    labelled = LABEL in labels or DRILL_LABEL in labels
    return labelled and any(name.lstrip("/").startswith(_OWN_NAME) for name in names)


@contextmanager
def running(engine: Engine, wanted: Wanted, scratch: str | None) -> Iterator[Cell]:
    """A helper container that runs until the end of the `with`, and is removed on every path.

    `scratch` is the host's directory that the helper sees at SCRATCH; without one it is in memory.
    Raises NotOnEngine for a volume or container that is not there.
    """
    name = f"{_OWN_NAME}{secrets.token_hex(6)}"
    with ExitStack() as stack:
        try:
            used, identity = _create(engine, name, wanted, scratch)
        except BaseException:
            _remove_late(engine, name)
            raise
        stack.push(partial(_leave, engine, identity))
        lifeline = engine.stream(f"/containers/{identity}/attach", stdin=1, stream=1)
        stack.callback(lifeline.close)
        _start(engine, identity, used)
        yield Cell(engine=engine, id=identity, image=used)


def remove(engine: Engine, reference: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Remove a container, running or not; its volumes stay. None there is no error."""
    try:
        engine.delete(f"/containers/{reference}", timeout_s=timeout_s, force=1)
    except Declined as err:
        if err.status not in (404, 409):  # 409: its removal is already in progress
            raise


def _leave(
    engine: Engine,
    identity: str,
    _kind: type[BaseException] | None,
    err: BaseException | None,
    _trace: TracebackType | None,
) -> None:
    """Remove the container; where that fails after another error, that other one is the news."""
    try:
        remove(engine, identity)
    except EngineError:
        if err is None:
            raise


def _remove_late(engine: Engine, name: str) -> None:
    """Remove a container whose creation was interrupted: the engine may be about to make it."""
    for _ in range(10):
        try:
            engine.delete(f"/containers/{name}", force=1)
        except Declined as err:
            if err.status != 404:
                return
        else:
            return
        time.sleep(0.1)


def _create(engine: Engine, name: str, wanted: Wanted, scratch: str | None) -> tuple[Image, str]:
    """Create the container; the image is made again when somebody deleted it."""
    for attempt in (1, 2):
        used = image.image(engine)
        try:
            created = engine.post(
                "/containers/create", _body(engine, used, wanted, scratch), name=name
            )
        except Declined as err:
            if err.status == 404 and "image" in err.reason.lower() and attempt == 1:
                image.forget(engine)
                continue
            raise EngineError(f"the helper container cannot be created: {err.reason}") from err
        return used, str(created["Id"])
    raise EngineError("the helper image disappears as soon as it is made")


def _start(engine: Engine, identity: str, used: Image) -> None:
    try:
        engine.post(f"/containers/{identity}/start")
    except Declined as err:
        hint = None
        if not used.built and "executable file not found" in err.reason:
            hint = f"a volume hides the tools of {used.reference}: unset VOLTAR_HELPER_IMAGE"
        if "read-only file system" in err.reason:
            hint = "one mount lies in another that lacks its place: back up the volumes by name"
        raise HelperFailed(f"the helper container cannot start: {err.reason}", hint=hint) from err


def _body(engine: Engine, used: Image, wanted: Wanted, scratch: str | None) -> dict[str, Any]:
    """The create request."""
    return {
        "Image": used.reference,
        "Entrypoint": [used.program("cat")],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "Env": used.environment,
        "OpenStdin": True,
        "StdinOnce": True,
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "NetworkDisabled": True,
        "Labels": {**wanted.labels, LABEL: "1", RUN_LABEL: wanted.run},
        "HostConfig": _host_config(engine, wanted, scratch),
    }


def _host_config(engine: Engine, wanted: Wanted, scratch: str | None) -> dict[str, Any]:
    mounts = request(engine, wanted.mounts, read_only=wanted.access is not Access.WRITE)
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": capabilities(engine, wanted.access),
        "SecurityOpt": ["no-new-privileges", "label=disable"],
        **mounts,
    }
    if wanted.access is Access.SIGNAL:
        config |= {"PidMode": "host", "UsernsMode": "host"}
    if scratch is None:
        config["Tmpfs"] = {SCRATCH: "mode=0700"}
    else:
        config["Mounts"].append(mount(Attached(scratch, SCRATCH), read_only=False))
    return config


def capabilities(engine: Engine, access: Access) -> list[str]:
    """What a helper may do. SYS_ADMIN shows `trusted.*` attributes; settings may forbid it."""
    wanted = engine.settings.sys_admin and access is not Access.SIGNAL
    extra = ["SYS_ADMIN"] if wanted else []
    return [*access.value, *extra]
