"""Archives of our own, for an engine's `load`: some layers, and the documents that name all.

One layout serves both image stores: blobs/sha256/<digest>, and manifest.json for the classic store,
index.json and oci-layout for the other. Layers that the engine has are named and left out.
Documents come last: an archive that breaks off has none, so no engine makes an image of it.

An archive goes out compressed as the engine can read it. Its members are frames of their own, which
all engines read one after the other; so a member can wait, compressed, on a disk.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Final

from backup.blocks import Block, Blocks
from backup.compression import Form, compressed
from backup.engine.reference import Reference
from backup.image.plan import INDEX_TYPE, PARTIAL, Document, described
from backup.tar.split import padding_of

END: Final = bytes(1024)


def member(name: str, size: int, body: Blocks) -> Iterator[Block]:
    """One file of an archive: header, body, padding."""
    yield _header(name, size)
    yield from body
    yield bytes(padding_of(size))


def documents(
    config: Document, manifest: Document | None, layers: Sequence[str], name: str | None
) -> Iterator[Block]:
    """The documents of one image, which gets a name or none, and the end of the archive.

    `layers` are digests of blobs, which the archive may lack. With a manifest (for the containerd
    store) it gets the layout for that.
    """
    listed = [
        {
            "Config": blob(config.digest),
            "RepoTags": [name] if name else None,
            "Layers": [blob(one) for one in layers],
        }
    ]
    files = {blob(config.digest): config.data}
    if manifest is not None:
        files |= {
            blob(manifest.digest): manifest.data,
            "index.json": _index(manifest, name),
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        }
    files["manifest.json"] = json.dumps(listed).encode()
    for path, data in files.items():
        yield from member(path, len(data), (data,))
    yield END


def partial(document: Document) -> str:
    """The name, while it is on its way, of what a document describes."""
    return f"{PARTIAL}:{document.digest.removeprefix('sha256:')[:16]}"


def blob(digest: str) -> str:
    """The name of a blob in an archive."""
    return f"blobs/{digest.replace(':', '/', 1)}"


def packed(blocks: Blocks, form: Form, *, dense: bool = False) -> Iterator[Block]:
    """Compress for the way; what is compressed already (`dense`) with as little work as can be."""
    level = {Form.GZIP: 0, Form.ZSTD: 1}.get(form) if dense else None
    return compressed(blocks, form, level=level)


def _index(manifest: Document, name: str | None) -> bytes:
    entry = described(manifest)
    if name:
        entry["annotations"] = {"io.containerd.image.name": str(Reference.parse(name))}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    return json.dumps(index).encode()


def _header(name: str, size: int) -> bytes:
    made = tarfile.TarInfo(name)
    made.size, made.mode = size, 0o644
    return made.tobuf(tarfile.GNU_FORMAT)
