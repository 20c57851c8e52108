"""An image on an engine of this machine, whose files are read where the engine keeps them.

What is not needed is not even looked at, so one layer of ten costs the time of one. The engine is
asked for the image (origin.py) where its files are not here, and when they turn out to be wrong.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from backup.compression import CorruptStream, Form, Unpacker
from backup.engine import ImageFacts, canonical
from backup.engine.imagefiles import ImageFiles, Kept, image_files
from backup.errors import DamagedImage
from backup.image.layout import Contents, Passed, images
from backup.image.origin import Origin
from backup.image.reading import File
from backup.image.saved import Layer, SavedImage
from backup.report import OnEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """One image of loose files. All is known of it from the beginning but that layers are right."""

    reference: str
    facts: ImageFacts
    image: SavedImage
    files: ImageFiles
    what: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers."""
        return tuple(layer.size for layer in self.image.layers)

    @property
    def carried(self) -> int | None:
        """There is no link."""
        return None

    @property
    def in_order(self) -> bool:
        """Any layer can be read at any time."""
        return True

    def layer(self, diff_id: str) -> Layer | None:
        """One of the layers."""
        return next((one for one in self.image.layers if one.diff_id == diff_id), None)

    def look(self, _on_event: OnEvent) -> SavedImage:
        """All is known."""
        return self.image

    def take(self, needed: Collection[str], _on_event: OnEvent) -> Iterator[tuple[str, File]]:
        """Yield layers, the lowest first. Raises DamagedImage, at the latest behind the last."""
        for layer in {one.diff_id: one for one in self.image.layers}.values():
            if layer.diff_id not in needed:
                continue
            kept = self.files.layers[layer.name]
            file = File(layer.name, kept.size, iter(kept.read()), self.what)
            yield layer.diff_id, file
            passed = file.passed()
            if (passed.digest, passed.diff_id) != (layer.digest, layer.diff_id):
                raise DamagedImage(f"{self.what} is damaged: {layer.digest} has other bytes")


def loose(origin: Origin) -> Loose | None:
    """The same image by its files; None where they cannot be had."""
    files = image_files(origin.engine, origin.facts)
    if files is None:
        return None
    what = f"the image {origin.reference} as {origin.engine.name} keeps it"
    try:
        layers = {name: _unseen(name, kept) for name, kept in files.layers.items()}
        contents = Contents(files=layers, documents=files.documents, links={})
        found = images(contents, what)
    except DamagedImage:
        return None
    for image in found:
        settings = canonical(image.settings.get("config"))
        if origin.facts.is_like(image.diff_ids, settings):
            return Loose(
                reference=origin.reference, facts=origin.facts, image=image, files=files, what=what
            )
    return None


def _unseen(name: str, kept: Kept) -> Passed:
    """A layer that nobody has read, but for the size of a tar in zstd: not all targets read that.

    Raises DamagedImage.
    """
    tar_size = kept.size
    if kept.form is Form.ZSTD:
        unpacker = Unpacker(kept.form)
        try:
            tar_size = sum(len(plain) for block in kept.read() for plain in unpacker.feed(block))
        except CorruptStream as error:
            raise DamagedImage(f"{name} is damaged: {error}") from error
    return Passed(name=name, size=kept.size, tar_size=tar_size, form=kept.form)
