"""The way of one image's layers: as they come, or in portions.

Where all that is missing is one portion, the target loads an archive while the source saves one,
and nothing is stored here. Portions have to arrive from the lowest layer on: an engine saves layers
in an order that says nothing, so each is kept in a file, compressed as it will be sent; from where
they can be had one by one, they go as they are asked for.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backup.blocks import Block
from backup.compression import ArchiveError, Form
from backup.engine import ImageFacts, ImageStore
from backup.errors import EngineError, EngineUnavailable, VerificationFailed
from backup.image.destination import Destination
from backup.image.offer import Offer
from backup.image.plan import Document, beginning, manifest_of, own_config, portions
from backup.image.reading import File
from backup.image.saved import Layer, SavedImage
from backup.image.writing import blob, documents, member, packed, partial
from backup.report import Advanced, Finished, OnEvent, Started

_PIECE: Final = 1 << 20


class Passage:
    """One image on its way to a destination. `sent` counts the bytes of what went out."""

    def __init__(
        self, origin: Offer, to: Destination, form: Form, named: bool, on_event: OnEvent
    ) -> None:
        self._origin = origin
        self._to = to
        self._form = form
        self._named = named
        self._on_event = on_event
        self._diff_ids = origin.facts.diff_ids
        self.sent = 0

    def streamed(self, there: int) -> ImageFacts:
        """Send what is above the lowest `there` layers in one archive, as it comes."""
        count = len(self._diff_ids)
        return self._arrive(self._passing(range(there, count)), count)

    def in_portions(self, there: int, limit: int) -> ImageFacts:
        """Send what is above the lowest `there` layers in portions, kept on disk where need be."""
        if self._origin.in_order:
            parts = portions(self._origin.sizes, there, limit)
            return [self._arrive(self._passing(one), one.stop) for one in parts][-1]
        with tempfile.TemporaryDirectory(prefix="voltar-image-") as name:
            place = Path(name)
            self._keep(there, place)
            sizes = [layer.size for layer in self._image.layers]
            arrived = [self._portion(one, place) for one in portions(sizes, there, limit)]
        return arrived[-1]

    @property
    def _image(self) -> SavedImage:
        if self._origin.image is None:
            raise AssertionError("an archive that passed has its image")
        return self._origin.image

    def _passing(self, portion: range) -> Iterator[Block]:
        needed = self._diff_ids[portion.start : portion.stop]
        for diff_id, file in self._origin.take(needed, self._on_event):
            with self._telling(diff_id, file.size):
                yield from self._member(diff_id, file)
        yield from self._documents(portion.stop)
        self._on_event(Started("unpack", self._origin.reference))

    def _member(self, diff_id: str, file: File) -> Iterator[Block]:
        """A layer as a file of our archive, compressed for the way."""
        layer = self._origin.layer(diff_id)
        as_it_is = layer is None or self._to.reads(file.form)
        body = self._counting(file.raw() if as_it_is else file.plain())
        size = file.size if layer is None or as_it_is else layer.tar_size
        name = blob(diff_id if layer is None else self._digest(layer))
        dense = as_it_is and file.form is not Form.TAR
        yield from packed(member(name, size, body), self._form, dense=dense)

    def _documents(self, count: int) -> Iterator[Block]:
        """What names the lowest `count` layers."""
        config, manifest = self._describing(count)
        digests = [self._digest(layer) for layer in self._image.layers[:count]]
        name = partial(manifest or config) if self._is_named(count) else None
        yield from packed(documents(config, manifest, digests, name), self._form)

    def _describing(self, count: int) -> tuple[Document, Document | None]:
        """Configuration and manifest of the image, or of one that is its beginning."""
        image = self._image
        if count == len(image.layers):
            return own_config(image), self._to.manifest(image)
        config = beginning(image, count)
        classic = self._to.store is ImageStore.CLASSIC
        return config, None if classic else manifest_of(config, image.layers[:count])

    def _digest(self, layer: Layer) -> str:
        """The name under which a layer is sent."""
        return layer.digest if self._to.reads(layer.form) else layer.diff_id

    @contextmanager
    def _telling(self, diff_id: str, size: int) -> Iterator[None]:
        number = self._diff_ids.index(diff_id) + 1
        subject = f"layer {number} of {len(self._diff_ids)} of {self._origin.reference}"
        self._on_event(Started("send", subject, size))
        yield
        self._on_event(Finished("send", subject))

    def _counting(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            self._on_event(Advanced(len(block)))
            yield block

    def _keep(self, there: int, place: Path) -> None:
        """Write the layers to files, each a member of an archive, compressed."""
        for diff_id, layer in self._origin.take(self._diff_ids[there:], self._on_event):
            with (
                _writable(place, self._origin.reference),
                (place / _name(diff_id)).open("wb") as kept,
            ):
                for block in self._member(diff_id, layer):
                    kept.write(block)

    def _portion(self, portion: range, place: Path) -> ImageFacts:
        """Let the target have a portion, as an image of the layers so far."""
        return self._arrive(self._portioned(portion, place), portion.stop)

    def _portioned(self, portion: range, place: Path) -> Iterator[Block]:
        for diff_id in dict.fromkeys(self._diff_ids[portion.start : portion.stop]):
            path = place / _name(diff_id)
            with self._telling(diff_id, path.stat().st_size):
                yield from self._counting(_read(path))
        yield from self._documents(portion.stop)
        self._on_event(Started("unpack", self._origin.reference))

    def _arrive(self, blocks: Iterator[Block], count: int) -> ImageFacts:
        """Have the lowest `count` layers loaded, and look at them; what is wrong is removed."""
        try:
            self._to.load(self._measured(blocks))
            layers = self._image.layers[:count]
            return self._to.verify(self._loaded(count), self._diff_ids[:count], layers)
        except (EngineError, VerificationFailed) as error:
            if self._origin.image is not None and not isinstance(error, EngineUnavailable):
                self._to.drop(self._loaded(count))
            raise

    def _loaded(self, count: int) -> str:
        """What an engine knows an image of the lowest `count` layers by, before it has its tags."""
        config, manifest = self._describing(count)
        described = manifest or config
        return partial(described) if self._is_named(count) else described.digest

    def _is_named(self, count: int) -> bool:
        """Tell whether it gets a name for now: the last one of an image cannot be taken from it."""
        return self._named or count < len(self._diff_ids)

    def _measured(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            self.sent += len(block)
            yield block


@contextmanager
def _writable(place: Path, reference: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"cannot keep the layers of {reference} in {place.parent}: {error.strerror}",
            hint="TMPDIR names another directory; with a --portion larger than the image it needs "
            "none",
        ) from error


def _read(path: Path) -> Iterator[Block]:
    with path.open("rb") as file:
        while block := file.read(_PIECE):
            yield block


def _name(diff_id: str) -> str:
    return diff_id.replace(":", "-")
