"""Images of an engine: what they are made of, their bytes out of it and into it.

An image's id is the digest of its configuration in the classic store and that of its manifest in
the containerd store: it says nothing to another engine. What an image is, on any engine, is told by
its layers (`diff_ids`) and its settings.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from backup.blocks import Blocks
from backup.engine.connect import LONG_TIMEOUT_S, Engine
from backup.engine.door import Declined
from backup.errors import EngineError, NotOnEngine, UsageError

SNAPSHOTTER: Final = "io.containerd.snapshotter.v1"
_SETTINGS: Final = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"),
    *("StopSignal", "StopTimeout", "Healthcheck", "OnBuild", "Shell", "ArgsEscaped"),
)
"""What of an image's configuration describes containers; engines show other fields as they like."""
_PLATFORM_SAVE: Final = (1, 48)
_PLATFORM_INSPECT: Final = (1, 49)
_MANIFESTS: Final = (1, 48)


class ImageStore(Enum):
    """Where an engine keeps images."""

    CLASSIC = "classic"
    CONTAINERD = "containerd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One image, as its engine describes it. `size` is that of its layers' files, about."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    diff_ids: tuple[str, ...]
    platform: str
    settings: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    tagged_at: datetime | None = None

    def is_like(self, diff_ids: Sequence[str], settings: Mapping[str, Any]) -> bool:
        """Tell whether it has these layers and settings."""
        return self.diff_ids == tuple(diff_ids) and self.settings == dict(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the containerd store has of an image for one platform: bytes of blobs that are there."""

    manifest_digest: str
    available: bool
    content: int
    platform: str


def image_store(engine: Engine) -> ImageStore:
    """Tell which image store an engine uses."""
    status = engine.info.get("DriverStatus") or []
    found = any(one[:2] == ["driver-type", SNAPSHOTTER] for one in status)
    return ImageStore.CONTAINERD if found else ImageStore.CLASSIC


def api_of(engine: Engine) -> tuple[int, int]:
    """The version of the API that is spoken, to be compared."""
    major, _, minor = engine.api_version.partition(".")
    return int(major), int(minor)


def canonical(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Reduce an image's configuration to what all engines tell alike."""
    return {key: settings[key] for key in _SETTINGS if settings and settings.get(key)}


def find_image(engine: Engine, reference: str, platform: str = "") -> ImageFacts:
    """Describe one image. Raises NotOnEngine, and UsageError for a platform it is not for."""
    params: dict[str, Any] = {}
    if platform and api_of(engine) >= _PLATFORM_INSPECT:
        params["platform"] = _as_json(platform)
    try:
        found = engine.get(f"/images/{_quoted(reference)}/json", **params)
    except Declined as err:
        if err.status == 404 and platform and _exists(engine, reference):
            raise UsageError(f"the image {reference} is not there for {platform}") from err
        if err.status == 404:
            raise NotOnEngine("image", reference, hint=f"docker pull {reference}") from err
        raise
    facts = _facts(found)
    if platform and not f"{facts.platform}/".startswith(f"{platform}/"):
        raise UsageError(f"the image {reference} is for {facts.platform}, not for {platform}")
    return facts


def images(engine: Engine, *, reference: str = "") -> tuple[ImageFacts, ...]:
    """Describe all images, or those of one repository. One that goes away meanwhile is left out."""
    params: dict[str, Any] = (
        {"filters": json.dumps({"reference": [reference]})} if reference else {}
    )
    found = []
    for one in engine.get("/images/json", **params):
        try:
            found.append(find_image(engine, str(one["Id"])))
        except NotOnEngine:
            continue
    return tuple(found)


def held(engine: Engine, reference: str) -> tuple[Held, ...]:
    """Ask the containerd store what it has of an image; nothing where the API cannot tell."""
    if image_store(engine) is ImageStore.CLASSIC or api_of(engine) < _MANIFESTS:
        return ()
    found = engine.find("image", reference, f"/images/{_quoted(reference)}/json?manifests=1")
    return tuple(
        Held(
            manifest_digest=str(one["ID"]),
            available=bool(one["Available"]),
            content=int(one["Size"]["Content"]),
            platform=_platform((one.get("ImageData") or {}).get("Platform") or {}),
        )
        for one in found.get("Manifests") or ()
        if one.get("Kind") == "image"
    )


@contextmanager
def saved(engine: Engine, references: Sequence[str], platform: str = "") -> Iterator[Blocks]:
    """The archive that `docker save` makes, as it comes; nothing in it is checked.

    Raises NotOnEngine, once the first block is asked for.
    """
    params: dict[str, Any] = {"names": list(references)}
    if platform and api_of(engine) >= _PLATFORM_SAVE:
        params["platform"] = _as_json(platform)
    try:
        yield engine.download("/images/get", timeout_s=LONG_TIMEOUT_S, **params)
    except Declined as err:
        if err.status == 404:
            raise NotOnEngine("image", ", ".join(references)) from err
        raise


def load(engine: Engine, blocks: Blocks) -> tuple[str, ...]:
    """Give an archive to the engine, as `docker load` does; returns the names or ids it tells.

    The containerd store calls success what it could not unpack: that is an EngineError here. What
    it made stays, for the caller to judge.
    """
    loaded, wrong = [], []
    for message in engine.upload("/images/load", blocks, timeout_s=LONG_TIMEOUT_S, quiet=1):
        for line in str(message.get("stream") or "").splitlines():
            if line.startswith("Loaded image"):
                loaded.append(line.partition(": ")[2])
            elif line.startswith("Error"):
                wrong.append(line)
    if wrong:
        raise EngineError(f"the engine could not unpack an image: {'; '.join(wrong)}")
    return tuple(loaded)


def tag_image(engine: Engine, reference: str, repository: str, tag: str) -> None:
    """Give an image a name, which another image may lose by that."""
    engine.post(f"/images/{_quoted(reference)}/tag", repo=repository, tag=tag)


def remove_image(engine: Engine, reference: str, *, force: bool = False) -> None:
    """Remove a name or, by id, an image. None there is no error."""
    try:
        engine.delete(f"/images/{_quoted(reference)}", force=int(force))
    except Declined as err:
        if err.status != 404:
            raise


def layer_sizes(engine: Engine, facts: ImageFacts) -> tuple[int, ...] | None:
    """The sizes of the layers' files, the lowest first; None where the history does not fit."""
    try:
        history = engine.get(f"/images/{_quoted(facts.id)}/history") or []  # there may be none
    except Declined:
        return None
    sizes = [int(one["Size"]) for one in reversed(history)]
    if len(sizes) != len(facts.diff_ids):
        sizes = [size for size in sizes if size]
    return tuple(sizes) if len(sizes) == len(facts.diff_ids) else None


def _exists(engine: Engine, reference: str) -> bool:
    try:
        engine.find("image", reference, f"/images/{_quoted(reference)}/json")
    except NotOnEngine:
        return False
    return True


def _facts(found: Mapping[str, Any]) -> ImageFacts:
    system = {key.lower(): value for key, value in found.items()}
    return ImageFacts(
        id=str(found["Id"]),
        tags=tuple(found.get("RepoTags") or ()),
        digests=tuple(found.get("RepoDigests") or ()),
        diff_ids=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        platform=_platform(system),
        settings=canonical(found.get("Config")),
        size=int(found.get("Size") or 0),
        tagged_at=_time((found.get("Metadata") or {}).get("LastTagTime")),
    )


def _platform(system: Mapping[str, Any]) -> str:
    words = (system.get(key) for key in ("os", "architecture", "variant"))
    return "/".join(str(word) for word in words if word)


def _as_json(platform: str) -> str:
    keys = ("os", "architecture", "variant")
    return json.dumps(dict(zip(keys, platform.split("/"), strict=False)))


def _time(text: str | None) -> datetime | None:
    """A time as the engine writes it; None for never."""
    return datetime.fromisoformat(text) if text and not text.startswith("0001") else None


def _quoted(reference: str) -> str:
    """A name of an image within a path. Raises NotOnEngine for what can be none."""
    if not reference or not reference.isascii() or set(reference) & set("?#% \\"):
        raise NotOnEngine("image", reference)
    if any(part in ("", ".", "..") for part in reference.split("/")):
        raise NotOnEngine("image", reference)
    return reference
