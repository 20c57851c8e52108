"""Images of an engine, seen from another one: by layers and configuration, for ids differ."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from backup.blocks import Blocks
from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.errors import EngineError, NotOnEngine

_SILENT_S = 3600.0
"""An engine says nothing while it packs or unpacks a large image."""
_KEYS = (
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild"),
    *("Shell", "StopSignal", "User", "Volumes", "WorkingDir"),
)
_ERRORS = ("error unpacking image",)
_REFERENCE = re.compile(r"[\w][\w./:-]*", re.ASCII)


def find_image(engine: Engine, reference: str) -> Mapping[str, Any]:
    """What the engine shows of an image. Raises NotOnEngine."""
    if not _REFERENCE.fullmatch(reference.partition("@")[0]):
        raise NotOnEngine("image", reference)
    found: Mapping[str, Any] = engine.find("image", reference, f"/images/{reference}/json")
    return found


def image_ids(engine: Engine) -> list[str]:
    """The ids of all images."""
    return [str(one["Id"]) for one in engine.get("/images/json")]


def image_config(found: Mapping[str, Any]) -> dict[str, Any]:
    """What of an image's configuration makes its containers; engines differ in how they show
    what is not set."""
    config = found.get("Config") or {}
    return {key: config[key] for key in _KEYS if config.get(key)}


def save_image(engine: Engine, identity: str) -> Iterator[bytes]:
    """The image as a tar stream."""
    return engine.download(f"/images/{identity}/get", timeout_s=_SILENT_S)


def load_image(engine: Engine, blocks: Blocks) -> None:
    """Load a tar stream of images. Raises EngineError, also where the engine says that all is well
    and has something unusable."""
    for message in engine.upload("/images/load", blocks, timeout_s=_SILENT_S, quiet=1):
        said = str(message.get("stream") or "").strip()
        if said.lower().startswith(_ERRORS):
            raise EngineError(f"the image cannot be loaded: {said}")


def tag_image(engine: Engine, identity: str, reference: str) -> None:
    """Give an image a name."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = reference, "latest"
    engine.post(f"/images/{identity}/tag", repo=repository, tag=tag)


def remove_image(engine: Engine, reference: str) -> None:
    """Take away a name of an image, and with the last one the image. One that is gone, or that a
    container uses, is left."""
    try:
        engine.delete(f"/images/{reference}")
    except Declined as err:
        if err.status not in (404, 409):
            raise
