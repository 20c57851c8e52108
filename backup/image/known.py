"""An image of which all is known from the beginning, and any layer can be read at any time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from backup.compression import CorruptStream, Form, Unpacker
from backup.engine import ImageFacts
from backup.engine.imagefiles import Kept
from backup.errors import BackupError
from backup.image.layout import Passed
from backup.image.reading import File
from backup.image.saved import Layer, SavedImage
from backup.report import OnEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One image. That its layers are right is seen when they are read: else `wrong` is raised.

    `layers` go by their names in the archive; `what` is the image in a sentence.
    """

    reference: str
    facts: ImageFacts
    image: SavedImage
    layers: Mapping[str, Kept]
    what: str
    wrong: type[BackupError]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers, as they are kept."""
        return tuple(layer.size for layer in self.image.layers)

    @property
    def carried(self) -> int | None:
        """There is no link, or what a store takes over one is not counted."""
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
        """Yield layers, the lowest first; one that is wrong raises behind it, at the latest."""
        for layer in {one.diff_id: one for one in self.image.layers}.values():
            if layer.diff_id not in needed:
                continue
            kept = self.layers[layer.name]
            file = File(layer.name, kept.size, iter(kept.read()), self.what)
            yield layer.diff_id, file
            passed = file.passed()
            if (passed.digest, passed.diff_id) != (layer.digest, layer.diff_id):
                raise self.wrong(f"{self.what} is damaged: {layer.digest} has other bytes")


def unseen(name: str, kept: Kept, wrong: type[BackupError]) -> Passed:
    """What is known of a layer that nobody has read. Only of one in zstd the size of the tar is
    looked for: there are engines that do not read that, and whoever writes a tar says sizes first.

    Raises `wrong`.
    """
    tar_size = kept.size
    if kept.form is Form.ZSTD:
        unpacker = Unpacker(kept.form)
        try:
            tar_size = sum(len(plain) for block in kept.read() for plain in unpacker.feed(block))
        except CorruptStream as error:
            raise wrong(f"{name} is damaged: {error}") from error
    return Passed(name=name, size=kept.size, tar_size=tar_size, form=kept.form)
