"""An image in the repository, as something that can be sent to an engine.

The documents of its archive are read first; of the layers, only those that are asked for. Each is
hashed on its way out, and the documents that make an image of them go out after all of them, so
that damage leaves nothing on the engine.
"""

import json
from collections.abc import Collection, Iterator
from typing import Final

from backup.compression import Form, Unpacker, form_of_bytes
from backup.engine import Engine, ImageFacts, canonical, find_image
from backup.engine.reference import Reference
from backup.errors import IntegrityError, InUse, NotOnEngine
from backup.image.layout import Contents, Passed, images
from backup.image.reading import File
from backup.image.saved import Layer, SavedImage
from backup.report import OnEvent
from backup.repository import Extent, Member, More, Repository, Snapshot
from backup.repository.manifest import to_bytes

_DOCUMENT_AT_MOST: Final = 8 << 20
_MAGIC: Final = 4


class Stored:
    """One image of a snapshot, under the name that it is to have on an engine."""

    def __init__(self, repository: Repository, snapshot: Snapshot, name: Reference) -> None:
        self.reference = name.familiar
        self._repository = repository
        self._what = f"the image in the snapshot of {snapshot.source}"
        self._bodies = dict(_bodies(repository, snapshot))
        self.image: SavedImage | None = self._understood()
        self.facts = self._facts(snapshot)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers, as they are stored."""
        return tuple(layer.size for layer in self._known.layers)

    @property
    def carried(self) -> int | None:
        """What its store takes over a link is not counted."""
        return None

    @property
    def in_order(self) -> bool:
        """Any layer can be read at any time."""
        return True

    def layer(self, diff_id: str) -> Layer | None:
        """One of the layers."""
        return next((one for one in self._known.layers if one.diff_id == diff_id), None)

    def look(self, _on_event: OnEvent) -> SavedImage:
        """All is known from the beginning."""
        return self._known

    def take(self, needed: Collection[str], _on_event: OnEvent) -> Iterator[tuple[str, File]]:
        """Yield layers, the lowest first. Raises IntegrityError, at the latest behind the last."""
        for layer in {one.diff_id: one for one in self._known.layers}.values():
            if layer.diff_id not in needed:
                continue
            size, extents = self._bodies[layer.name]
            file = File(layer.name, size, iter(self._repository.read(extents)), self._what)
            yield layer.diff_id, file
            if file.passed().digest != layer.digest:
                raise IntegrityError(f"{self._what} is damaged: {layer.digest} has other bytes")

    @property
    def _known(self) -> SavedImage:
        assert self.image is not None  # noqa: S101  it was understood at once
        return self.image

    def _understood(self) -> SavedImage:
        files, read = {}, {}
        for name, (size, extents) in self._bodies.items():
            if name.startswith("blobs/") and not self._is_document(size, extents):
                files[name] = self._passed(name, size, extents)
            else:
                read[name] = b"".join(self._repository.read(extents))
                files[name] = Passed(name=name, size=size)
        found = images(Contents(files=files, documents=read, links={}), self._what)
        return found[0]

    def _is_document(self, size: int, extents: list[Extent]) -> bool:
        """As `Reading` tells them apart: by what is in them."""
        if size > _DOCUMENT_AT_MOST or self._begins(extents)[:1] not in (b"{", b"["):
            return False
        try:
            json.loads(b"".join(self._repository.read(extents)))
        except ValueError:
            return False
        return True

    def _passed(self, name: str, size: int, extents: list[Extent]) -> Passed:
        """What is known of a layer. Only of one in zstd the size of the tar is looked for.

        There are engines that do not read that, and whoever writes a tar says sizes first.
        """
        form = form_of_bytes(self._begins(extents))
        tar_size = size
        if form is Form.ZSTD:
            unpacker = Unpacker(form)
            tar_size = sum(
                len(plain)
                for block in self._repository.read(extents)
                for plain in unpacker.feed(block)
            )
        return Passed(name=name, size=size, tar_size=tar_size, form=form)

    def _begins(self, extents: list[Extent]) -> bytes:
        first = [Extent(one.chunk, one.offset, min(one.length, _MAGIC)) for one in extents[:1]]
        return b"".join(self._repository.read(first))

    def _facts(self, snapshot: Snapshot) -> ImageFacts:
        image = self._known
        return ImageFacts(
            id=image.config_digest,
            tags=(self.reference,),
            digests=tuple(snapshot.image.digests) if snapshot.image else (),
            diff_ids=image.diff_ids,
            platform=str(image.platform),
            settings=canonical(image.settings.get("config")),
            size=sum(layer.size for layer in image.layers),
        )


def demand_name(engine: Engine, image: Stored) -> None:
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
