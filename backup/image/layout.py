"""From what was seen in an archive to its images: two layouts, decided without reading anything.

    Docker <= 24    <v1 id>/layer.tar, <config digest>.json, manifest.json, repositories
    Docker >= 25    blobs/sha256/<digest>, index.json, manifest.json, oci-layout

`manifest.json` names the configuration and the layers of each image in both. `index.json` leads to
the manifests, through further indexes where an image has several platforms; what it names may be
missing for platforms that the engine does not have, but not for all of them.

An engine with the containerd store writes, without an error, an archive without layers when its own
store lacks them. So what an image names and the archive does not have is an error here.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backup.compression import Form
from backup.engine.reference import Reference
from backup.errors import DamagedImage, UsageError
from backup.image.saved import Layer, Platform, SavedImage

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_INDEXES: Final = ("image.index.", "manifest.list.")
_DEEPEST: Final = 4
"""Indexes within indexes; Docker makes no more than two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A file of the archive that went by. `digest` and `diff_id` are "" where it was skipped."""

    name: str
    size: int
    digest: str = ""
    diff_id: str = ""
    tar_size: int = 0
    form: Form = Form.TAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that went by: files by name, the bytes of documents, and where links lead."""

    files: Mapping[str, Passed]
    documents: Mapping[str, bytes]
    links: Mapping[str, str]

    def resolved(self, name: str) -> str:
        """Follow links; a name that leads nowhere stays a name of nothing."""
        seen: set[str] = set()
        while name in self.links and name not in seen:
            seen.add(name)
            name = self.links[name]
        return name

    def document(self, name: str) -> Any:
        """Parse a document, None where there is none."""
        data = self.documents.get(self.resolved(name))
        return None if data is None else json.loads(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """A manifest that is in the archive; `top` says which entry of index.json led to it."""

    digest: str
    media_type: str
    data: bytes
    top: int
    tags: tuple[str, ...]

    @property
    def parsed(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data)
        return found


def images(contents: Contents, what: str) -> tuple[SavedImage, ...]:
    """Give the images of an archive, each complete and proven. `what` names it in errors.

    Raises DamagedImage.
    """
    try:
        manifests = tuple(_manifests(contents))
        listed = contents.document("manifest.json") or ()
        found = [_listed(contents, one, manifests, what) for one in listed]
        known = {image.config_digest for image in found}
        found += _unlisted(contents, manifests, known, what)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedImage(f"{what}: its manifest is not of the form that Docker writes") from error
    if not found:
        raise DamagedImage(f"{what} holds no image")
    return tuple(found)


def _listed(
    contents: Contents, entry: Mapping[str, Any], manifests: Sequence[_Manifest], what: str
) -> SavedImage:
    """An image of manifest.json."""
    tags = tuple(_tag(one, what) for one in entry.get("RepoTags") or ())
    config_name = str(entry["Config"])
    called = tags[0] if tags else config_name.rpartition("/")[2][:12]
    data = contents.documents.get(contents.resolved(config_name))
    names = [contents.resolved(str(name)) for name in entry.get("Layers") or ()]
    if data is None:
        missing = [f"sha256:{_hex(name)}" for name in names if name not in contents.files]
        raise DamagedImage(_lacking(what, called, missing, "its configuration"), hint=_INCOMPLETE)
    digest = _named(data, config_name, what, called)
    ours = [one for one in manifests if one.parsed["config"]["digest"] == digest]
    return _image(contents, data, names, (tags, ours[0] if ours else None), what)


def _unlisted(
    contents: Contents, manifests: Sequence[_Manifest], known: Collection[str], what: str
) -> Iterator[SavedImage]:
    """Images that only index.json leads to: those of other tools, and those that are incomplete."""
    for top in sorted({one.top for one in manifests}):
        group = [one for one in manifests if one.top == top]
        if any(one.parsed["config"]["digest"] in known for one in group):
            continue
        complete = [one for one in group if not list(_absent(contents, one))]
        for one in complete or group[:1]:
            yield _by_manifest(contents, one, what)


def _by_manifest(contents: Contents, manifest: _Manifest, what: str) -> SavedImage:
    called = manifest.tags[0] if manifest.tags else manifest.digest[:19]
    missing = list(_absent(contents, manifest))
    if missing:
        raise DamagedImage(_lacking(what, called, missing), hint=_INCOMPLETE)
    config = manifest.parsed["config"]["digest"]
    data = contents.documents[_blob(config)]
    _named(data, config, what, called)
    names = [_blob(one["digest"]) for one in manifest.parsed["layers"]]
    return _image(contents, data, names, (manifest.tags, manifest), what)


def _absent(contents: Contents, manifest: _Manifest) -> Iterator[str]:
    """What a manifest names and the archive does not have."""
    parsed = manifest.parsed
    if _blob(parsed["config"]["digest"]) not in contents.documents:
        yield parsed["config"]["digest"]
    for one in parsed["layers"]:
        if _blob(one["digest"]) not in contents.files:
            yield one["digest"]


def _image(
    contents: Contents,
    config: bytes,
    names: Sequence[str],
    known_as: tuple[tuple[str, ...], _Manifest | None],
    what: str,
) -> SavedImage:
    """An image of these files, all of which must be there and be what they should be."""
    tags, manifest = known_as
    settings = json.loads(config)
    digest = _digest(config)
    called = tags[0] if tags else digest[:19]
    diff_ids = settings["rootfs"]["diff_ids"] or []
    if len(diff_ids) != len(names):
        raise DamagedImage(
            f"{what}: {called} should have {len(diff_ids)} layers, and {len(names)} are listed"
        )
    missing = [of for name, of in zip(names, diff_ids, strict=True) if name not in contents.files]
    if missing:
        raise DamagedImage(_lacking(what, called, missing), hint=_INCOMPLETE)
    described = manifest.parsed["layers"] if manifest else [{}] * len(names)
    layers = tuple(
        _layer(contents.files[name], diff_id, of, f"{what}: layer {number} of {called}")
        for number, (name, diff_id, of) in enumerate(
            zip(names, diff_ids, described, strict=True), 1
        )
    )
    return SavedImage(
        config=config,
        config_digest=digest,
        layers=layers,
        tags=tags,
        manifest=manifest.data if manifest else None,
        manifest_digest=manifest.digest if manifest else "",
        manifest_type=manifest.media_type if manifest else "",
        platform=_platform(settings),
        settings=settings,
    )


def _layer(file: Passed, diff_id: str, described: Mapping[str, Any], what: str) -> Layer:
    hexes = _HEX.fullmatch(file.name.rpartition("/")[2])
    named = f"sha256:{hexes[0]}" if hexes else ""
    wanted = str(described.get("digest") or named)
    if file.digest and wanted and file.digest != wanted:
        raise DamagedImage(f"{what} is damaged: it should be {wanted} and is {file.digest}")
    if file.diff_id and file.diff_id != diff_id:
        raise DamagedImage(f"{what} is damaged: it should be {diff_id} and is {file.diff_id}")
    return Layer(
        diff_id=diff_id,
        digest=file.digest or wanted or diff_id,
        size=file.size,
        tar_size=file.tar_size or file.size,
        name=file.name,
        form=file.form if file.digest else _form(described, file.form),
        media_type=str(described.get("mediaType") or ""),
    )


def _form(described: Mapping[str, Any], seen: Form) -> Form:
    """How a file that was not looked at is compressed."""
    kind = str(described.get("mediaType") or "")
    if kind.endswith("zstd"):
        return Form.ZSTD
    return Form.GZIP if kind.endswith("gzip") else seen


def _manifests(contents: Contents) -> Iterator[_Manifest]:
    """All manifests that index.json leads to and that are in the archive."""
    index = contents.document("index.json") or {}
    for top, descriptor in enumerate(index.get("manifests") or ()):
        notes = descriptor.get("annotations") or {}
        name = notes.get("io.containerd.image.name")
        tags = (_familiar(str(name)),) if name else ()
        yield from _below(contents, descriptor, top, tags, _DEEPEST)


def _familiar(name: str) -> str:
    """A name as the docker command shows it; other tools write there what they like."""
    try:
        return Reference.parse(name).familiar
    except UsageError:
        return name


def _below(
    contents: Contents, descriptor: Mapping[str, Any], top: int, tags: tuple[str, ...], depth: int
) -> Iterator[_Manifest]:
    digest, kind = str(descriptor["digest"]), str(descriptor.get("mediaType") or "")
    data = contents.documents.get(_blob(digest))
    notes = descriptor.get("annotations") or {}
    if data is None or not depth or notes.get("vnd.docker.reference.type"):
        return  # of another platform, or what a build attests
    if _digest(data) != digest:
        raise DamagedImage(f"the manifest {digest} is damaged: it is {_digest(data)}")
    if any(word in kind for word in _INDEXES):
        for inner in json.loads(data).get("manifests") or ():
            yield from _below(contents, inner, top, tags, depth - 1)
    elif "config" in json.loads(data):
        yield _Manifest(digest=digest, media_type=kind, data=data, top=top, tags=tags)


def _tag(name: object, what: str) -> str:
    """A name that an engine will take: one that it refuses leaves the image there without one."""
    try:
        Reference.parse(str(name))
    except UsageError as error:
        raise DamagedImage(f"{what}: {str(name)!r} is no name of an image") from error
    return str(name)


def _named(data: bytes, name: str, what: str, called: str) -> str:
    """The digest of a configuration, which must be the one that its name says."""
    digest = _digest(data)
    found = _HEX.search(name)
    if found and f"sha256:{found[0]}" != digest:
        raise DamagedImage(
            f"{what}: the configuration of {called} is damaged: it should be "
            f"sha256:{found[0]} and is {digest}"
        )
    return digest


def _platform(settings: Mapping[str, Any]) -> Platform:
    words = (str(settings.get(key) or "") for key in ("os", "architecture", "variant"))
    os, architecture, variant = words
    return Platform(os=os or "linux", architecture=architecture, variant=variant)


def _lacking(what: str, called: str, missing: Sequence[str], besides: str = "") -> str:
    noun = "layer" if len(missing) == 1 else "layers"
    layers = f"{len(missing)} {noun}: {', '.join(missing)}" if missing else ""
    return f"{what}: {called} lacks {' and '.join(filter(None, (besides, layers)))}"


def _hex(name: str) -> str:
    """The digest in a name, or the name where there is none."""
    found = _HEX.search(name)
    return found[0] if found else name


_INCOMPLETE: Final = (
    "the engine that wrote it does not have the whole image: pull or build it there again"
)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
