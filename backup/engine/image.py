"""The helper image: built from a machine's tools without a registry, or one that the user names.

Our own tools do where the engine runs them; otherwise, over SSH, those of the engine's host.

A built image is found by its tag, which is the digest of its contents; its id differs between image
stores and means nothing here. It is looked for before every run and built again when it is gone.
A label says what it was made of: while that has not changed, it is not gathered to be compared.
"""

import re
from dataclasses import dataclass
from typing import Any

from backup.engine import tools
from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.engine.machine import Machine
from backup.errors import EngineError, NotOnEngine

REPOSITORY = "voltar-helper"
LABEL = "voltar.helper-image"
ORIGIN = "voltar.helper-origin"
_REFERENCE = re.compile(r"[\w][\w./:@-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that helpers can run on. `built` tells ours from one that the user named."""

    reference: str
    built: bool

    def program(self, name: str) -> str:
        """Where a tool is: ours has them where no volume can hide them."""
        return f"{tools.ROOT}/bin/{name}" if self.built else name

    @property
    def environment(self) -> list[str]:
        """The environment of every command."""
        ours = tools.ENVIRONMENT
        return [
            f"{name}={value}"
            for name, value in ours.items()
            if self.built or name not in ("PATH", "LD_LIBRARY_PATH")
        ]


def image(engine: Engine) -> Image:
    """The helper image of this engine, built when it is not there.

    Raises NotOnEngine for a named image that is not there, and EngineError when none can be built.
    """
    known: Image | None = engine.memory.get("image")
    if known is None:
        named = engine.settings.helper_image
        known = _named(engine, named) if named else _built(engine)
        engine.memory["image"] = known
    return known


def forget(engine: Engine) -> None:
    """Look for the image again next time: it was deleted under our feet."""
    engine.memory.pop("image", None)


def _named(engine: Engine, reference: str) -> Image:
    if not _REFERENCE.fullmatch(reference):
        raise EngineError(f"the helper image {reference!r} is not an image name")
    try:
        found = engine.find("image", reference, f"/images/{reference}/json")
    except NotOnEngine as err:
        raise NotOnEngine("image", reference, hint=f"docker pull {reference}") from err
    if volumes := (found.get("Config") or {}).get("Volumes"):
        raise EngineError(
            f"the helper image {reference} declares volumes ({', '.join(sorted(volumes))}), "
            "and every helper would leave some behind",
            hint="use a plain image such as debian:stable-slim",
        )
    return Image(reference=reference, built=False)


def _built(engine: Engine) -> Image:
    """An image of this machine's tools, or of those of the engine's host where ours do not do."""
    missing = []
    for machine in engine.machines():
        try:
            reference = _ready(engine, machine) or _made(engine, machine)
        except tools.NoTools as err:
            missing.append(err)
        else:
            return Image(reference=reference, built=True)
    if missing:
        raise missing[-1]
    raise EngineError(
        f"the helper image cannot be built here: the engine at {engine.url} runs "
        f"{engine.architecture} programs, and this machine does not",
        hint="name an image with GNU tar and GNU find: VOLTAR_HELPER_IMAGE=debian:stable-slim",
    )


def _ready(engine: Engine, machine: Machine) -> str | None:
    """The reference of an image that was made of the tools that are there now, if there is one."""
    for found in _ours(engine):
        tags = [tag for tag in found.get("RepoTags") or [] if tag.startswith(f"{REPOSITORY}:")]
        if tags and tools.unchanged(str(found["Labels"].get(ORIGIN)), machine):
            return str(tags[0])
    return None


def _ours(engine: Engine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.get("/images/json", filters=f'{{"label":["{LABEL}"]}}')
    return found


def _made(engine: Engine, machine: Machine) -> str:
    box: tools.Toolbox = engine.memory.get("toolbox") or tools.gather(machine)
    engine.memory["toolbox"] = box
    tag = box.digest[:12]
    reference = f"{REPOSITORY}:{tag}"
    try:
        engine.find("image", reference, f"/images/{reference}/json")
    except NotOnEngine:
        _load(engine, box, tag)
        _retire(engine, reference)
    return reference


def _load(engine: Engine, box: tools.Toolbox, tag: str) -> None:
    """Import the archive as an image."""
    changes = [f"ENV {name}={value}" for name, value in tools.ENVIRONMENT.items()]
    changes += [f"LABEL {LABEL}={box.digest}", f"LABEL {ORIGIN}={box.origin}"]
    changes += [f'ENTRYPOINT ["{tools.ROOT}/bin/cat"]']
    messages = engine.upload(
        "/images/create",
        iter([box.archive]),
        fromSrc="-",
        repo=REPOSITORY,
        tag=tag,
        changes=changes,
        message="voltar helper",
    )
    for _ in messages:
        pass


def _retire(engine: Engine, current: str) -> None:
    """Remove helper images of earlier tools that no container uses."""
    for old in _ours(engine):
        for tag in old.get("RepoTags") or []:
            if tag != current and tag.startswith(f"{REPOSITORY}:"):
                try:
                    engine.delete(f"/images/{tag}")
                except Declined:
                    continue  # in use by a helper of another run, or already gone
