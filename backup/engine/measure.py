"""How much there is, how much room there is, and what lies at a path of an engine's host."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.engine.helper import Helper, helper
from backup.engine.image import image
from backup.engine.lifetime import LABEL, Access, remove
from backup.engine.mounts import Attached, mount
from backup.errors import EngineError

_AT = "/voltar-measured"
_ABSENT = ("bind source path does not exist", "no such file or directory")
_PROBE = "voltar-probe-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is at a path of a host. `kind` is find's letter, "" for nothing; `anchor` is the nearest
    directory above that is there, `free` the bytes that can still be written at it."""

    kind: str = ""
    empty: bool = False
    anchor: str = "/"
    free: int = 0


def free_space(engine: Engine, run: str) -> int:
    """The bytes that can still be written where the engine keeps its data."""
    with helper(engine, (), access=Access.READ, run=run) as h:
        return _free(h, "/")


def sizes(engine: Engine, sources: tuple[str, ...], run: str) -> dict[str, tuple[int, str]]:
    """The bytes that volumes and paths take on disk, and what kind of file each one is."""
    places = {source: f"{_AT}/{number}" for number, source in enumerate(sources)}
    if not places:
        return {}
    mounts = tuple(Attached(source, at) for source, at in places.items())
    with helper(engine, mounts, access=Access.READ, run=run) as h:
        return {source: (_used(h, at), _kind(h, at)) for source, at in places.items()}


def look(engine: Engine, path: str, run: str) -> Found:
    """What is at a path of the engine's host."""
    place = PurePosixPath(path)
    above = [one for one in (place, *place.parents) if exists(engine, str(one))]
    anchor = str(above[0]) if above else "/"
    with helper(engine, (Attached(anchor, _AT),), access=Access.READ, run=run) as h:
        if anchor != str(place):
            return Found(anchor=anchor, free=_free(h, _AT))
        inside = h.run(["find", _AT, "-mindepth", "1", "-printf", "x", "-quit"])
        return Found(kind=_kind(h, _AT), empty=not inside, anchor=anchor, free=_free(h, _AT))


def exists(engine: Engine, path: str) -> bool:
    """Whether there is something at a path of the engine's host. Nothing is made there.

    The engine looks when a container is created that mounts it; this one is never started.
    """
    try:
        with _probe(engine, {"Mounts": [mount(Attached(path, _AT), read_only=True)]}):
            return True
    except Declined as err:
        if any(word in err.reason for word in _ABSENT):
            return False
        raise EngineError(f"cannot look at {path} there: {err.reason}") from err


def make_directory(engine: Engine, path: str) -> None:
    """Have the engine make a directory of its host, and those above it, where they are missing."""
    try:
        with _probe(engine, {"Binds": [f"{path}:{_AT}"]}) as name:
            engine.post(f"/containers/{name}/start")
    except Declined as err:
        raise EngineError(f"the directory {path} cannot be made there: {err.reason}") from err


@contextmanager
def _probe(engine: Engine, mounts: dict[str, Any]) -> Iterator[str]:
    """A container that is not started; yields its name, and removes it. Raises Declined."""
    name = f"{_PROBE}{secrets.token_hex(6)}"
    used = image(engine)
    body = {
        "Image": used.reference,
        "Entrypoint": [used.program("cat")],
        "Labels": {LABEL: "1"},
        "HostConfig": {"NetworkMode": "none", **mounts},
    }
    try:
        engine.post("/containers/create", body, name=name)
        yield name
    finally:
        remove(engine, name)


def _free(h: Helper, at: str) -> int:
    blocks, size = h.run(["stat", "--file-system", "--format=%a %S", at]).split()
    return int(blocks) * int(size)


def _used(h: Helper, at: str) -> int:
    said = h.run(["du", "-sx", "-B1", at], ok=(0, 1)).split(b"\t")[0]
    return int(said or 0)


def _kind(h: Helper, at: str) -> str:
    return h.run(["find", at, "-maxdepth", "0", "-printf", "%y"]).decode()
