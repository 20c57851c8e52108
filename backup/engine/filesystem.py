"""The file system of a container, flattened: out of it as a tar, and into a new image.

The engine's export is what the container sees without its mounts, in one layer; everything that is
no file is lost on the way, and `Lost` says what that is of one container.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backup.blocks import Blocks
from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.engine.instructions import Instructions, instructions
from backup.engine.reference import Reference
from backup.errors import BackupError, EngineError, InUse, NotOnEngine

_QUIET_S: Final = 900.0
"""For so long an engine may say nothing: it reads, or unpacks, a large file system."""

_STOPSIGNAL_SINCE: Final = (1, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A container whose file system is to be had, and what of it is not in that."""

    id: str
    name: str
    image: str
    running: bool
    mounts: tuple[str, ...]
    """Where in it other things are mounted, whose contents are not in the export."""
    configuration: Instructions


def exported(engine: Engine, name: str) -> Exported:
    """Look at a container. Raises NotOnEngine."""
    found = engine.find("container", name, f"/containers/{segment('container', name)}/json")
    tmpfs = found["HostConfig"].get("Tmpfs") or {}
    mounts = {str(each["Destination"]): str(each["Type"]) for each in found.get("Mounts") or ()}
    mounts |= dict.fromkeys(tmpfs, "tmpfs")
    return Exported(
        id=str(found["Id"]),
        name=str(found["Name"]).lstrip("/"),
        image=str(found["Config"]["Image"]),
        running=bool(found["State"]["Running"]),
        mounts=tuple(f"{place} ({kind})" for place, kind in sorted(mounts.items())),
        configuration=instructions(found["Config"]),
    )


def export(engine: Engine, container: Exported) -> Blocks:
    """Read a container's file system as a tar. Raises EngineError."""
    try:
        yield from engine.download(f"/containers/{container.id}/export", timeout_s=_QUIET_S)
    except Declined as error:
        raise EngineError(f"cannot export {container.name}: the engine says: {error.reason}") from (
            error
        )


def demand_free(engine: Engine, reference: Reference) -> None:
    """Raise InUse where an image has that name."""
    name = str(reference)
    try:
        engine.find("image", name, f"/images/{name}/json")
    except NotOnEngine:
        return
    raise InUse(
        f"there is an image {reference.familiar} on this engine",
        hint="choose another name, or take that one from it with --force",
    )


def import_image(
    engine: Engine, blocks: Blocks, reference: Reference, *, changes: Sequence[str], message: str
) -> str:
    """Make an image of a tar; returns its id.

    The image gets its name when it is known to be good: its only layer is the tar, byte for byte.
    What the blocks raise is raised here, and of what came before there is no image. Raises
    EngineError.
    """
    sent, before = _Sent(blocks), _unnamed(engine)
    try:
        identity = _made(engine, sent, changes, message)
    except Declined as error:
        said = f"cannot make {reference.familiar}: the engine says: {error.reason}"
        why = sent.broken or EngineError(said)
        for left in _unnamed(engine) - before:  # 28.5 keeps what it could not unpack
            if _layers(engine, left) == [sent.digest]:
                _without(engine, left, why)
        raise why from error
    if sent.broken is None and _layers(engine, identity) != [sent.digest]:
        sent.broken = EngineError(f"the engine has not made {reference.familiar} of what was sent")
    if sent.broken is not None:
        raise _without(engine, identity, sent.broken)
    engine.post(f"/images/{identity}/tag", repo=reference.name, tag=reference.tag)
    return identity


class _Sent:
    """Blocks on their way to the engine, hashed.

    An error among them ends the stream as if it were whole. If the connection were cut, nobody
    could say what the engine makes of the part that it has (28.5: sometimes an image); so it
    answers, and what it made can be removed.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._hash = hashlib.sha256()
        self.broken: Exception | None = None

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self._blocks:
                self._hash.update(block)
                yield bytes(block)
        except BackupError as error:
            self.broken = error


def _made(engine: Engine, sent: _Sent, changes: Sequence[str], message: str) -> str:
    what: dict[str, Any] = {"fromSrc": "-", "changes": list(changes), "message": message}
    told = list(engine.upload("/images/create", iter(sent), timeout_s=_QUIET_S, **what))
    return str(told[-1]["status"])


def _unnamed(engine: Engine) -> set[str]:
    found = engine.get("/images/json", filters=json.dumps({"dangling": ["true"]}))
    return {str(one["Id"]) for one in found}


def _layers(engine: Engine, identity: str) -> Any:
    return engine.find("image", identity, f"/images/{identity}/json")["RootFS"].get("Layers")


def _without(engine: Engine, identity: str, error: Exception) -> Exception:
    """Remove what must not stay, which has no name; returns the error that says why."""
    try:
        engine.delete(f"/images/{identity}")
    except BackupError as another:
        error.add_note(f"the image {identity} is still on the engine: {another}")
    return error


def left_out(engine: Engine, lines: Sequence[str]) -> list[str]:
    """Those of some instructions that this engine does not know for an import."""
    old = tuple(int(part) for part in engine.api_version.split(".")) < _STOPSIGNAL_SINCE
    return [line for line in lines if old and line.startswith("STOPSIGNAL ")]


def configuration(engine: Engine, name: str) -> Instructions:
    """What puts a container's configuration back. Raises NotOnEngine."""
    found: Mapping[str, Any] = engine.find(
        "container", name, f"/containers/{segment('container', name)}/json"
    )
    return instructions(found["Config"])
