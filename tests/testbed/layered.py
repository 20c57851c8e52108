"""Images with as many layers as a test wants, as archives for `docker load`.

    layers = [layer("a", 300_000), layer("b", 300_000)]
    engine.docker("load", stdin=archive([Made(["app:1"], layers), Made(["app:2"], layers[:1])]))

A layer is a tar of one file, half of it noise and half zeros, and depends on nothing but its
arguments. `archive` has the layout of Docker 24 and older, which every engine loads; `oci` has that
of Docker 25 and newer, with layers compressed as asked and several platforms if there are several.
"""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CREATED = "2020-01-01T00:00:00Z"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Made:
    """An image to be made: tags, layers (tars), configuration; tools may write no history."""

    tags: Sequence[str]
    layers: Sequence[bytes]
    config: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"
    history: bool = True

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers."""
        return [f"sha256:{sha256(layer)}" for layer in self.layers]

    @property
    def document(self) -> bytes:
        """The configuration document."""
        history = [
            {"created": CREATED, "created_by": f"layer {n}"} for n in range(len(self.layers))
        ]
        document: dict[str, Any] = {
            "architecture": self.architecture,
            "os": "linux",
            "created": CREATED,
            "config": dict(self.config),
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        }
        if self.history:
            document["history"] = history
        return json.dumps(document).encode()


def sha256(data: bytes) -> str:
    """The digest, in hex."""
    return hashlib.sha256(data).hexdigest()


def layer(name: str, size: int, *, content: bytes | None = None) -> bytes:
    """A tar of one file; the name decides what is in it, unless that is given."""
    dice = random.Random(name)
    data = dice.randbytes(size // 2) + bytes(size - size // 2) if content is None else content
    return tar({name: data})


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar that depends on nothing but its files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_577_836_800
            made.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def archive(images: Sequence[Made]) -> bytes:
    """What `docker load` takes everywhere, manifest.json last."""
    files: dict[str, bytes] = {}
    listed = []
    for image in images:
        config = f"{sha256(image.document)}.json"
        names = [f"{sha256(each)}/layer.tar" for each in image.layers]
        files |= {config: image.document} | dict(zip(names, image.layers, strict=True))
        listed.append({"Config": config, "RepoTags": list(image.tags), "Layers": names})
    return tar(files | {"manifest.json": json.dumps(listed).encode()})


def plain(data: bytes) -> bytes:
    """Not compressed."""
    return data


def gzipped(data: bytes) -> bytes:
    """Compressed by gzip, without a time."""
    return gzip.compress(data, 1, mtime=0)


def oci(
    images: Sequence[Made],
    *,
    pack: Callable[[bytes], bytes] = plain,
    suffix: str = "",
    without: Sequence[str] = (),
    listed: bool = True,
) -> bytes:
    """What Docker 25 and newer write. Images of the same tags are platforms of one.

    `suffix` is that of the layers' media type; `without` has digests of blobs that are left out.
    """
    blobs: dict[str, bytes] = {}
    tops: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    entries = []
    for image in images:
        packed = [pack(each) for each in image.layers]
        blobs |= {sha256(each): each for each in (*packed, image.document)}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described(image.document, "application/vnd.oci.image.config.v1+json"),
                "layers": [described(each, LAYER + suffix) for each in packed],
            }
        ).encode()
        blobs[sha256(manifest)] = manifest
        descriptor = described(manifest, MANIFEST)
        descriptor["platform"] = {"os": "linux", "architecture": image.architecture}
        tops.setdefault(tuple(image.tags), []).append(descriptor)
        names = [f"blobs/sha256/{sha256(each)}" for each in packed]
        config = f"blobs/sha256/{sha256(image.document)}"
        entries.append({"Config": config, "RepoTags": list(image.tags), "Layers": names})
    manifests = [one for tags, group in tops.items() for one in topped(tags, group, blobs)]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    files = {f"blobs/sha256/{name}": blobs[name] for name in sorted(blobs) if name not in without}
    files |= {"index.json": json.dumps(index).encode()}
    files |= {"manifest.json": json.dumps(entries).encode()} if listed else {}
    return tar(files | {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'})


def topped(
    tags: Sequence[str], group: list[dict[str, Any]], blobs: dict[str, bytes]
) -> list[dict[str, Any]]:
    """The entries of index.json for an image: one a tag, through an index of its platforms."""
    top = group[0]
    if len(group) > 1:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": group}
        data = json.dumps(index).encode()
        blobs[sha256(data)] = data
        top = described(data, INDEX)
    names = [name if "/" in name else f"library/{name}" for name in tags]
    notes = [{"io.containerd.image.name": f"docker.io/{name}"} for name in names]
    return [top | {"annotations": note} for note in notes]


def described(data: bytes, kind: str) -> dict[str, Any]:
    """A descriptor."""
    return {"mediaType": kind, "digest": f"sha256:{sha256(data)}", "size": len(data)}
