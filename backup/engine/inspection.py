"""What an engine says of a container, as it says it, and what is done to one for evidence.

Documents are the engine's own bytes: whoever relies on them wants nothing put into other words.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from backup.blocks import Blocks
from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.engine.session import Frames
from backup.errors import EngineError, NotOnEngine

LONG_TIMEOUT_S: Final = 3600.0
"""A commit answers when the engine has written all of the layer."""


class Document(Enum):
    """What can be asked about a container, by the end of its path."""

    INSPECT = "json?size=1"
    PROCESSES = "top"
    CHANGES = "changes"


class Log(Enum):
    """One of the two streams of a container's log."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A container as it is right now. `tty` says that its log has one stream."""

    id: str
    name: str
    image: str
    running: bool
    paused: bool
    tty: bool


def seen(engine: Engine, name: str) -> Seen:
    """Look at a container, by name or id. Raises NotOnEngine."""
    found = engine.find("container", name, f"/containers/{segment('container', name)}/json")
    state = found["State"]
    return Seen(
        id=str(found["Id"]),
        name=str(found["Name"]).lstrip("/"),
        image=str(found["Image"]),
        running=bool(state["Running"]),
        paused=bool(state["Paused"]),
        tty=bool(found["Config"].get("Tty")),
    )


def document(engine: Engine, container: str, which: Document) -> Blocks:
    """What the engine says, byte for byte, as JSON."""
    yield from engine.download(f"/containers/{container}/{which.value}")


def image_document(engine: Engine, image: str) -> Blocks:
    """What the engine says of an image."""
    yield from engine.download(f"/images/{image}/json")


def version_document(engine: Engine) -> Blocks:
    """What the engine says of its version."""
    yield from engine.download("/version")


def info_document(engine: Engine) -> Blocks:
    """What the engine says of itself."""
    yield from engine.download("/info")


def log(engine: Engine, container: Seen, which: Log) -> Blocks:
    """All that a stream of the log has, with time stamps. Of a terminal, all is on stdout."""
    pieces = engine.download(
        f"/containers/{container.id}/logs", timestamps=1, follow=0, **{which.value: 1}
    )
    if container.tty:
        yield from pieces if which is Log.STDOUT else ()
        return
    frames = Frames()
    for piece in pieces:
        for _, part in frames.feed(memoryview(piece)):
            yield part


def committed(engine: Engine, container: str, repository: str, tag: str) -> str:
    """Make an image of a container as it is, which is not paused for it; return its id."""
    made = engine.post(
        "/commit",
        {},
        timeout_s=LONG_TIMEOUT_S,
        container=container,
        repo=repository,
        tag=tag,
        pause=0,
    )
    return str(made["Id"])


def pause(engine: Engine, container: str) -> None:
    """Stop all processes of a container where they are."""
    engine.post(f"/containers/{container}/pause")


def unpause(engine: Engine, container: str) -> None:
    """Let a paused container go on. One that is not paused, or gone, is no error."""
    try:
        engine.post(f"/containers/{container}/unpause")
    except Declined:
        try:
            if not seen(engine, container).paused:
                return
        except NotOnEngine:
            return
        raise


def identity(engine: Engine) -> str:
    """What tells an engine from all others."""
    found = engine.info.get("ID")
    if not found:
        raise EngineError(f"the engine at {engine.url} does not say who it is")
    return str(found)
