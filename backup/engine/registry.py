"""Images to and from registries, by the engine itself.

The engine talks to the registry; we say who we are, watch what it tells, and do not believe it: a
push is good when the registry, asked again, has the tag with the digest that the engine named, and
a pull when the image is there by that digest with all that belongs to it.

Whether it may be talked to at all without TLS is decided before, by `backup.engine.trust`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from backup.engine.connect import Engine
from backup.engine.credentials import Credential
from backup.engine.door import Declined
from backup.engine.reference import Reference
from backup.engine.transfer import Transfer
from backup.errors import BackupError, EngineError, InUse, NotOnEngine, UsageError
from backup.report import Finished, OnEvent, Started

QUIET_S: Final = 900.0
"""For so long an engine may say nothing: it packs or unpacks a large layer, or tries again."""
_MANIFESTS_SINCE: Final = (1, 48)
_DENIED: Final = ("no basic auth", "unauthorized", "authentication", "denied", "401", "403")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An image that was pushed or pulled, and proven. `size` is what the engine says it moved."""

    reference: Reference
    digest: str
    layers: int
    already_there: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An image of this engine, and the name by which it goes to a registry."""

    image: str
    target: Reference
    layers: int
    tagged: bool
    """The engine has that name already."""


def parcel(engine: Engine, image: str, target: Reference) -> Parcel:
    """Look at what is to be pushed. Raises NotOnEngine, and InUse where the name is another's."""
    found = _image(engine, image)
    if target.tag is None:
        raise UsageError(f"{target.familiar} has no tag, and a push needs one")
    try:
        there = _image(engine, str(target))
    except NotOnEngine:
        there = None
    if there is not None and there["Id"] != found["Id"]:
        raise InUse(
            f"{target.familiar} is another image on this engine than {image}, so it is not pushed",
            hint=f"docker rmi {target.familiar}, or push it by its own name",
        )
    layers = (found.get("RootFS") or {}).get("Layers") or []
    return Parcel(
        image=str(found["Id"]), target=target, layers=len(layers), tagged=there is not None
    )


def push(engine: Engine, what: Parcel, who: Credential, *, on_event: OnEvent) -> Moved:
    """Push an image, and ask the registry for it again. Raises EngineError."""
    name = what.target.familiar
    on_event(Started("push", name, 0, what.layers, "layers"))
    transfer = Transfer()
    with _tagged(engine, what):
        path = f"/images/{_quoted(what.target.name)}/push"
        messages = engine.upload(path, headers=who.headers, timeout_s=QUIET_S, tag=what.target.tag)
        _follow(transfer, messages, f"push {name}", who, on_event)
    if transfer.digest is None:
        raise EngineError(f"the engine said nothing of the digest of {name}, so nothing is proven")
    there = _asked_back(engine, what.target, who)
    if there != transfer.digest:
        raise EngineError(
            f"{name} was pushed as {transfer.digest}, and the registry has {there} there",
            hint="somebody else pushed it at the same time? push again",
        )
    on_event(Finished("push", name))
    return _moved(what.target, transfer)


def pull(
    engine: Engine,
    reference: Reference,
    who: Credential,
    *,
    platform: str | None = None,
    on_event: OnEvent,
) -> Moved:
    """Pull an image and look whether all of it is there. Raises EngineError."""
    if reference.digest:
        reference = replace(reference, tag=None)  # as the docker client: the digest says it all
    name = reference.familiar
    on_event(Started("pull", name, unit="layers"))
    transfer = Transfer()
    wanted: dict[str, Any] = {"fromImage": reference.name, "tag": reference.digest or reference.tag}
    wanted |= {"platform": platform} if platform else {}
    messages = engine.upload("/images/create", headers=who.headers, timeout_s=QUIET_S, **wanted)
    _follow(transfer, messages, f"pull {name}", who, on_event)
    _prove_pulled(engine, reference, transfer.digest, platform)
    on_event(Finished("pull", name))
    return _moved(reference, transfer)


def _follow(
    transfer: Transfer,
    messages: Iterator[dict[str, Any]],
    attempt: str,
    who: Credential,
    on_event: OnEvent,
) -> None:
    try:
        for message in messages:
            for event in transfer.feed(message):
                on_event(event)
    except Declined as error:
        raise _refused(attempt, who, error) from error


def _refused(attempt: str, who: Credential, error: Declined) -> EngineError:
    hint = None
    if any(word in error.reason.lower() for word in _DENIED):
        hint = f"the credentials came from {who.origin}; `docker login` renews them"
    if "HTTP response to HTTPS client" in error.reason:
        hint = "the registry speaks plain HTTP: see --plain-http"
    return EngineError(f"cannot {attempt}: the engine says: {error.reason}", hint=hint)


def _moved(reference: Reference, transfer: Transfer) -> Moved:
    return Moved(
        reference=reference,
        digest=transfer.digest or "",
        layers=transfer.moved + transfer.there,
        already_there=transfer.there,
        size=transfer.size,
    )


@contextmanager
def _tagged(engine: Engine, what: Parcel) -> Iterator[None]:
    """Give the image the name that the push needs, for as long as it takes."""
    if what.tagged:
        yield
        return
    target = what.target
    engine.post(f"/images/{what.image}/tag", repo=target.name, tag=target.tag)
    try:
        yield
    except BaseException as error:
        try:
            _untag(engine, what)
        except BackupError as another:
            error.add_note(f"{target.familiar} is still a name of the image here: {another}")
        raise
    _untag(engine, what)


def _untag(engine: Engine, what: Parcel) -> None:
    """Take the name away again; of an image without another one the layers would go, too."""
    mine = f"{what.target.name}:{what.target.tag}"
    names = _image(engine, what.image).get("RepoTags") or []
    if [name for name in names if _full(name) != mine]:
        engine.delete(f"/images/{_quoted(mine)}", noprune=1)


def _asked_back(engine: Engine, target: Reference, who: Credential) -> str:
    try:
        reply = engine.get(
            f"/distribution/{_quoted(f'{target.name}:{target.tag}')}/json", headers=who.headers
        )
    except Declined as error:
        raise EngineError(
            f"{target.familiar} was pushed, but the registry, asked for it, does not have it: "
            f"{error.reason}"
        ) from error
    return str(reply["Descriptor"]["digest"])


def _prove_pulled(
    engine: Engine, reference: Reference, digest: str | None, platform: str | None
) -> None:
    """Raise EngineError unless what was pulled is all there."""
    name = reference.familiar
    if digest is None or reference.digest not in (None, digest):
        raise EngineError(f"the engine pulled {digest or 'nothing'} where {name} was asked for")
    found = _image(engine, str(reference))
    if f"{reference.name}@{digest}" not in map(_full, found.get("RepoDigests") or ()):
        raise EngineError(f"{name} was pulled as {digest}, but is another image on the engine now")
    manifests = _manifests(engine, reference)
    if manifests is None:
        whole = bool((found.get("RootFS") or {}).get("Layers"))
    else:
        whole = any(each.get("Available") for each in manifests if _is_for(each, platform))
    if not whole:
        raise EngineError(
            f"{name} was pulled, but the engine has not kept all of its layers: it may start, "
            "and can be neither saved nor pushed",
            hint=f"docker rmi --force {name}, and other images with its layers, and pull again",
        )


def _manifests(engine: Engine, reference: Reference) -> list[dict[str, Any]] | None:
    """What the containerd store has of each platform; None where the engine cannot tell."""
    version = tuple(int(part) for part in engine.api_version.split("."))
    if version < _MANIFESTS_SINCE:
        return None
    found = engine.get(f"/images/{_quoted(str(reference))}/json", manifests=1)
    listed: list[dict[str, Any]] | None = found.get("Manifests")
    return listed or None


def _is_for(manifest: Mapping[str, Any], platform: str | None) -> bool:
    if manifest.get("Kind") != "image":
        return False
    has = (manifest.get("ImageData") or {}).get("Platform") or {}
    wanted = platform.split("/")[:2] if platform else []
    return wanted in ([], [has.get("os"), has.get("architecture")])


def _image(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.find("image", name, f"/images/{_quoted(name)}/json")
    return found


def _full(digest: str) -> str:
    return str(Reference.parse(digest))


def _quoted(name: str) -> str:
    return quote(name, safe="/:@")
