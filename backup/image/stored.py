"""An image in the repository, as something that can be sent to an engine.

The documents of its archive are read first; of the layers, only those that are asked for. Each is
hashed on its way out, and the documents that make an image of them go out after all of them, so
that damage leaves nothing on the engine.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from backup.compression import form_of_bytes
from backup.engine import Engine, ImageFacts, canonical, find_image
from backup.engine.imagefiles import Kept
from backup.engine.reference import Reference
from backup.errors import IntegrityError, InUse, NotOnEngine
from backup.image.known import Known, unseen
from backup.image.layout import Contents, Passed, images
from backup.image.reading import DOCUMENT_AT_MOST
from backup.image.saved import SavedImage
from backup.repository import Extent, Member, More, Repository, Snapshot
from backup.repository.manifest import to_bytes

_MAGIC: Final = 4


def stored(repository: Repository, snapshot: Snapshot, name: Reference) -> Known:
    """The image of a snapshot, under the name that it is to have. Raises IntegrityError."""
    what = f"the image in the snapshot of {snapshot.source}"
    documents: dict[str, bytes] = {}
    layers: dict[str, Kept] = {}
    for path, (size, extents) in _bodies(repository, snapshot):
        document = _document(repository, size, extents)
        if document is None and path.startswith("blobs/"):
            layers[path] = _layer(repository, size, extents)
        else:
            documents[path] = _read(repository, extents) if document is None else document
    files = {path: Passed(name=path, size=len(data)) for path, data in documents.items()}
    files |= {path: unseen(path, kept, IntegrityError) for path, kept in layers.items()}
    image = images(Contents(files=files, documents=documents, links={}), what)[0]
    return Known(
        reference=name.familiar,
        facts=_facts(snapshot, image, name),
        image=image,
        layers=layers,
        what=what,
        wrong=IntegrityError,
    )


def _facts(snapshot: Snapshot, image: SavedImage, name: Reference) -> ImageFacts:
    return ImageFacts(
        id=image.config_digest,
        tags=(name.familiar,),
        digests=tuple(snapshot.image.digests) if snapshot.image else (),
        diff_ids=image.diff_ids,
        platform=str(image.platform),
        settings=canonical(image.settings.get("config")),
        size=sum(layer.size for layer in image.layers),
    )


def _document(repository: Repository, size: int, extents: list[Extent]) -> bytes | None:
    """A document, told from a layer as `Reading` does: by what is in it."""
    if size > DOCUMENT_AT_MOST or _begins(repository, extents)[:1] not in (b"{", b"["):
        return None
    data = _read(repository, extents)
    try:
        json.loads(data)
    except ValueError:
        return None
    return data


def _layer(repository: Repository, size: int, extents: list[Extent]) -> Kept:
    form = form_of_bytes(_begins(repository, extents))
    return Kept(size=size, read=partial(repository.read, extents), form=form)


def _begins(repository: Repository, extents: list[Extent]) -> bytes:
    first = [Extent(one.chunk, one.offset, min(one.length, _MAGIC)) for one in extents[:1]]
    return _read(repository, first)


def _read(repository: Repository, extents: list[Extent]) -> bytes:
    return b"".join(repository.read(extents))


def demand_name(engine: Engine, image: Known) -> None:
    """Raise InUse where another image has the name that one is to have."""
    try:
        there = find_image(engine, image.reference)
    except NotOnEngine:
        return
    if not there.is_like(image.facts.diff_ids, image.facts.settings):
        raise InUse(
            f"{image.reference} is another image on {engine.name}",
            hint="--to NAME:TAG gives this one another name, --force-tag takes that from it",
        )


def _bodies(
    repository: Repository, snapshot: Snapshot
) -> Iterator[tuple[str, tuple[int, list[Extent]]]]:
    """The files of the archive: name, size, extents."""
    current: tuple[str, tuple[int, list[Extent]]] | None = None
    for line in repository.manifest(snapshot):
        if isinstance(line, Member):
            if current:
                yield current
            name = to_bytes(line.path).decode(errors="surrogateescape")
            held = name, (line.body_size, list(line.extents))
            current = held if line.kind == "f" else None
        elif isinstance(line, More) and current:
            current[1][1].extend(line.extents)
    if current:
        yield current
