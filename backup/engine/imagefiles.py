"""An image's files where an engine of this machine keeps them, for those who may read them there.

`docker save` gathers and streams every layer, also where one of ten is wanted. Here any can be read
alone. Nothing is changed, and nothing believed: documents are named by their digests, and whoever
reads a layer compares its digest too. What is missing or not as expected is a reason to ask the
engine, which knows its stores better.

    classic      image/overlay2/imagedb/content/sha256/<configuration>
                 image/overlay2/layerdb/sha256/<chain>/cache-id
                 image/overlay2/layerdb/sha256/<chain>/tar-split.json.gz    (layerfile.py)
                 overlay2/<cache id>/diff/…
    containerd   …/io.containerd.content.v1.content/blobs/sha256/<digest>
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backup.blocks import Block, Blocks
from backup.compression import Form, form_of_bytes
from backup.engine.connect import Engine
from backup.engine.images import ImageFacts, ImageStore, image_store
from backup.engine.layerfile import LayerFile
from backup.errors import DamagedImage

log = logging.getLogger(__name__)

_DRIVER: Final = "overlay2"
_CONTENT: Final = "io.containerd.content.v1.content/blobs"
_PLACES: Final = ("containerd/daemon", "/var/lib/containerd")
"""Below the engine's own directory, or where a containerd of its own keeps blobs."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DOCUMENT_AT_MOST: Final = 8 << 20
_DEEPEST: Final = 4
_PIECE: Final = 1 << 20
_MAGIC: Final = 4
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A layer that can be read, as often as one likes. Reading raises DamagedImage."""

    size: int
    read: Callable[[], Blocks]
    form: Form = Form.TAR


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """What there is of an image, under the names that it has in an archive of `docker save`."""

    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, Kept] = field(default_factory=dict)


def image_files(engine: Engine, facts: ImageFacts) -> ImageFiles | None:
    """Look for the files of an image; None where they are not here, or not for us to read."""
    if not engine.shares_paths or not engine.data_root:
        return None
    root = Path(engine.data_root)
    classic = image_store(engine) is ImageStore.CLASSIC
    try:
        if classic and engine.info.get("Driver") != _DRIVER:
            return None
        return _classic(root, facts) if classic else _containerd(root, facts)
    except (*_UNREADABLE, DamagedImage) as error:
        log.debug("the files of %s are not read below %s: %s", facts.id, root, error)
        return None


def _classic(root: Path, facts: ImageFacts) -> ImageFiles:
    found = ImageFiles()
    kept = root / "image" / _DRIVER
    config = _document(kept / "imagedb/content", facts.id)
    found.documents[_name(facts.id)] = config
    names = [_name(one) for one in facts.diff_ids]
    listed = [{"Config": _name(facts.id), "RepoTags": [], "Layers": names}]
    found.documents["manifest.json"] = json.dumps(listed).encode()
    chain = ""
    for name, diff_id in zip(names, facts.diff_ids, strict=True):
        chain = _chained(chain, diff_id)
        place = kept / "layerdb" / _path(chain)
        files = root / _DRIVER / _word(place / "cache-id") / "diff"
        layer = LayerFile(place / "tar-split.json.gz", files)
        found.layers[name] = Kept(size=layer.size, read=layer.read)
    return found


def _containerd(root: Path, facts: ImageFacts) -> ImageFiles:
    places = [root / place / _CONTENT for place in _PLACES]
    blobs = next((one for one in places if (one / _path(facts.id)).exists()), None)
    if blobs is None:
        raise FileNotFoundError(f"no blobs of {facts.id}")
    found = ImageFiles()
    top = _described(blobs, facts.id)
    found.documents["index.json"] = json.dumps({"manifests": [top]}).encode()
    _gather(blobs, facts.id, found, _DEEPEST)
    return found


def _described(blobs: Path, digest: str) -> dict[str, str]:
    """A descriptor; a document that does not say what it is is of the OCI's kind."""
    document = json.loads(_document(blobs, digest))
    kind = "index" if "manifests" in document else "manifest"
    said = document.get("mediaType") or f"application/vnd.oci.image.{kind}.v1+json"
    return {"digest": digest, "mediaType": str(said)}


def _gather(blobs: Path, digest: str, found: ImageFiles, depth: int) -> None:
    """Take in a manifest and what it names; an index, and what of its images is there."""
    data = _document(blobs, digest)
    found.documents[_name(digest)] = data
    document: dict[str, Any] = json.loads(data)
    for one in document.get("manifests") or ():
        if depth and (blobs / _path(one["digest"])).exists():
            _gather(blobs, one["digest"], found, depth - 1)
    if "config" not in document:
        return
    config = document["config"]["digest"]
    found.documents[_name(config)] = _document(blobs, config)
    for one in document["layers"]:
        file = blobs / _path(one["digest"])
        if file.is_file():
            found.layers[_name(one["digest"])] = _blob(file)


def _blob(file: Path) -> Kept:
    with file.open("rb") as opened:
        form = form_of_bytes(opened.read(_MAGIC))
    return Kept(size=file.stat().st_size, read=_Blob(file), form=form)


@dataclass(frozen=True, slots=True)
class _Blob:
    file: Path

    def __call__(self) -> Iterator[Block]:
        buffer = memoryview(bytearray(_PIECE))
        try:
            with self.file.open("rb", buffering=0) as file:
                while size := file.readinto(buffer):
                    yield buffer[:size]
        except OSError as error:
            raise DamagedImage(f"cannot read {self.file}: {error.strerror}") from error


def _document(place: Path, digest: str) -> bytes:
    """A document, which must be what its name says. Raises DamagedImage, OSError."""
    with (place / _path(digest)).open("rb") as file:
        data = file.read(_DOCUMENT_AT_MOST)
    if _digest(data) != digest:
        raise DamagedImage(f"{digest} below {place} has other bytes")
    return data


def _word(file: Path) -> str:
    """The one word in a file, which is to be the name of a directory."""
    word = file.read_text().strip()
    if not re.fullmatch(r"[0-9a-z]+", word):
        raise ValueError(f"{file} holds {word!r}")
    return word


def _chained(chain: str, diff_id: str) -> str:
    """The identity of a layer on top of others."""
    return _digest(f"{chain} {diff_id}".encode()) if chain else diff_id


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _path(digest: str) -> str:
    """A digest as a path; it comes from documents, and could be anything."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    return digest.replace(":", "/")


def _name(digest: str) -> str:
    return f"blobs/{_path(digest)}"
