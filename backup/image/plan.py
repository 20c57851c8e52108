"""What has to be sent, and in which portions; decided without asking anybody.

Of a chain of layers an engine may have the beginning, never the middle: a layer's identity depends
on all below it. So what is missing is always the end of the chain, and what arrives in portions are
images that grow: each has one portion more than the one before.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backup.image.saved import Layer, SavedImage

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
PARTIAL: Final = "voltar-partial"
"""The repository of what is under way: as long as it has a name, the engine keeps its layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A small file with its digest."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest(self.data)


def digest(data: bytes) -> str:
    """The digest of some bytes, as Docker writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def shared_prefix(wanted: Sequence[str], others: Iterable[Sequence[str]]) -> int:
    """How many of the lowest layers one of the other images has as well."""
    return max((_common(wanted, other) for other in others), default=0)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def available_prefix(documents: int, layers: Sequence[Layer], content: int) -> int | None:
    """How many of the lowest layers make up `content` bytes together with manifest and config.

    `documents` is the size of these two. A layer that comes twice is counted twice, also where only
    its first place is in what is there. None where no number fits, which means that something else
    is there: then nothing is known.
    """
    for count in range(len(layers), -1, -1):
        there = {layer.digest for layer in layers[:count]}
        total = sum(layer.size for layer in layers if layer.digest in there)
        if documents + total == content:
            return count
    return None


def portions(sizes: Sequence[int], start: int, limit: int) -> tuple[range, ...]:
    """Cut the layers from `start` on into ranges of at most `limit` bytes, or of one layer."""
    found: list[range] = []
    first, total = start, 0
    for number in range(start, len(sizes)):
        if number > first and total + sizes[number] > limit:
            found.append(range(first, number))
            first, total = number, 0
        total += sizes[number]
    if first < len(sizes) or not found:
        found.append(range(first, len(sizes)))
    return tuple(found)


def beginning(image: SavedImage, count: int) -> Document:
    """The configuration of an image of the lowest `count` layers, while the rest is on its way."""
    settings = {
        "architecture": image.platform.architecture,
        "os": image.platform.os,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": list(image.diff_ids[:count])},
        "history": [{"created_by": "voltar: on its way"}] * count,
    }
    if image.platform.variant:
        settings["variant"] = image.platform.variant
    return Document(data=json.dumps(settings).encode(), media_type=CONFIG_TYPE)


def manifest_of(config: Document, layers: Sequence[Layer]) -> Document:
    """Make the manifest of an image whose archive has none; always the same for the same image."""
    made = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described(config),
        "layers": [
            {
                "mediaType": layer.media_type or LAYER_TYPE,
                "digest": layer.digest,
                "size": layer.size,
            }
            for layer in layers
        ],
    }
    data = json.dumps(made, separators=(",", ":")).encode()
    return Document(data=data, media_type=MANIFEST_TYPE)


def described(document: Document) -> dict[str, Any]:
    """A descriptor."""
    return {
        "mediaType": document.media_type,
        "digest": document.digest,
        "size": len(document.data),
    }


def own_manifest(image: SavedImage) -> Document:
    """The manifest of an image: the one it came with, or one made for it."""
    if image.manifest is not None:
        return Document(data=image.manifest, media_type=image.manifest_type or MANIFEST_TYPE)
    return manifest_of(own_config(image), image.layers)


def probing(manifest: Document) -> Document:
    """A manifest of the same layers that is not the image's: an engine is asked by it what it has.

    The containerd store takes an image without a name away together with another name of the same
    manifest, so what is asked must not be what will be sent.
    """
    made = json.loads(manifest.data) | {"annotations": {"voltar": "asks for layers"}}
    return Document(data=json.dumps(made).encode(), media_type=manifest.media_type)


def own_config(image: SavedImage) -> Document:
    """The configuration of an image."""
    return Document(data=image.config, media_type=CONFIG_TYPE)


def directories(diff_ids: Sequence[str]) -> Mapping[str, str]:
    """The names that Docker 24 and older give to the layers but for the uppermost: name → layer.

    They are digests of documents that name the layer and its parent, in the form of Docker 1.9.
    """
    found, chain, parent = {}, "", ""
    for diff_id in diff_ids[:-1]:
        chain = digest(f"{chain} {diff_id}".encode()) if chain else diff_id
        document = {"container_config": _NO_CONFIG, "created": _NO_TIME, "layer_id": chain}
        document |= {"parent": parent} if parent else {}
        parent = digest(json.dumps(document, separators=(",", ":")).encode())
        found[f"{parent.removeprefix('sha256:')}/layer.tar"] = diff_id
    return found


_NO_TIME: Final = "1970-01-01T00:00:00Z"
_NO_CONFIG: Final[dict[str, object]] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
