"""An image on the engine that it comes from.

`docker save` gives all of it in an order of its own. Which file is which layer is known beforehand
where names tell it: those of Docker 25 and newer with the classic store are the layers' digests,
those of older ones can be computed. In the containerd store names are those of compressed blobs:
there the archive is looked through once before anything is taken from it, which costs the engine a
reading, and us no disk.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager

from backup.blocks import Block, Blocks
from backup.compression import Form
from backup.engine import Engine, ImageStore, canonical, find_image, image_store, layer_sizes, saved
from backup.engine.farsave import has_shell, listed_there, saved_there
from backup.errors import DamagedImage, EngineError
from backup.image.plan import directories
from backup.image.reading import File, Reading
from backup.image.saved import Layer, SavedImage
from backup.report import Advanced, Finished, OnEvent, Started

_SMALL = 256 << 10
"""Bytes of the largest files that come along when an archive on a far host is looked at."""
_BY_DIGEST = 25
"""The release of Docker from which on files are named by digests."""


class Origin:
    """One image, for one platform. `image` is there once the archive passed, whole and proven.

    Over SSH the engine's host leaves out the layers that nobody needs, and compresses; those are
    proven by whoever has them.
    """

    def __init__(self, engine: Engine, reference: str, platform: str) -> None:
        self.engine = engine
        self.reference = reference
        self.platform = platform
        self.facts = find_image(engine, reference, platform)
        # what has several platforms is saved by its own id, not by that of one of them
        self._id = find_image(engine, reference).id if platform else self.facts.id
        self.image: SavedImage | None = None
        self.in_order = False
        self._carried = 0
        self._there = not platform and has_shell(engine)
        if not self.facts.diff_ids:
            raise self._bare()

    def _bare(self) -> EngineError | DamagedImage:
        """One of the classic store never had layers, one of the other store has lost them."""
        if image_store(self.engine) is ImageStore.CLASSIC:
            return EngineError(
                f"the image {self.reference} has no layers, and {self.engine.name} does not save "
                "what has none"
            )
        return DamagedImage(
            f"the image {self.reference} is not complete on {self.engine.name}: its layers are "
            "missing",
            hint="pull or build it there again",
        )

    @property
    def carried(self) -> int | None:
        """The bytes that came from its engine over a link; None where that is on this machine."""
        return None if self.engine.address.scheme == "unix" else self._carried

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers: of the blobs where they passed, else of their files, or 0."""
        if self.image is not None:
            return tuple(layer.size for layer in self.image.layers)
        known = layer_sizes(self.engine, self.facts)
        if known is not None:
            return known
        return (self.facts.size, *[0] * (len(self.facts.diff_ids) - 1))

    def layer(self, diff_id: str) -> Layer | None:
        """One of the layers as the archive has it; None as long as no archive passed."""
        return next((one for one in self._layers if one.diff_id == diff_id), None)

    @property
    def _layers(self) -> tuple[Layer, ...]:
        return self.image.layers if self.image is not None else ()

    def look(self, on_event: OnEvent) -> SavedImage:
        """Read the whole archive, once."""
        if self.image is None:
            on_event(Started("read", self.reference, self.facts.size))
            self._read(self._large(), on_event)
            if self._there and any(layer.form is Form.ZSTD for layer in self._layers):
                self.image = None  # an old target gets them uncompressed: how large is that?
                self._read({}, on_event)
            on_event(Finished("read", self.reference))
        if self.image is None:
            raise AssertionError("an archive that was read to its end has its image")
        return self.image

    def take(self, needed: Collection[str], on_event: OnEvent) -> Iterator[tuple[str, File]]:
        """Yield the layers that are needed, as they come: the digest of the layer, and its file.

        Raises DamagedImage when the archive has passed and is not what it should be.
        """
        if not self._names_tell():
            self.look(on_event)
        named = self._named()
        missing = set(needed)
        sizes = dict(zip(self.facts.diff_ids, self.sizes, strict=True))
        left_out = {name: sizes[one] for name, one in named.items() if one not in missing}
        for name, file in self._files(left_out):
            diff_id = named.get(name) or self._uppermost(name)
            if diff_id in missing:
                missing.discard(diff_id)
                yield diff_id, file
            else:
                file.skip()
        if missing:
            raise DamagedImage(f"{self._what}: no file has the layers {', '.join(sorted(missing))}")

    @property
    def _what(self) -> str:
        return f"the image {self.reference} as {self.engine.name} saves it"

    def _read(self, left_out: Mapping[str, int], on_event: OnEvent) -> None:
        for _, file in self._files(left_out):
            for piece in file.raw():
                on_event(Advanced(len(piece)))

    def _large(self) -> dict[str, int]:
        """What need not come along to be looked at; nothing where all comes without a link."""
        if not self._there:
            return {}
        sizes = listed_there(self.engine, self._id, self._count)
        return {name: size for name, size in sizes.items() if size > _SMALL}

    def _count(self, size: int) -> None:
        self._carried += size

    def _blocks(self, left_out: Collection[str]) -> AbstractContextManager[Blocks]:
        if self._there:
            return saved_there(self.engine, self._id, left_out, self._count)
        return saved(self.engine, [self._id], self.platform)

    def _files(self, left_out: Mapping[str, int]) -> Iterator[tuple[str, File]]:
        """Read the archive; a far host leaves out what is named, with what sizes are known."""
        absent = left_out if self._there else {}
        with self._blocks(left_out) as blocks:
            reading = Reading(self._counted(blocks), self._what, absent)
            for file in reading.files():
                yield file.name, file
            found = reading.images()
        for image in found:
            settings = canonical(image.settings.get("config"))
            if self.facts.is_like(image.diff_ids, settings):
                self.image = self.image or image
                return
        raise DamagedImage(f"{self._what} is not what the engine says that it is")

    def _counted(self, blocks: Blocks) -> Iterator[Block]:
        for block in blocks:
            if not self._there:
                self._carried += len(block)
            yield block

    def _names_tell(self) -> bool:
        return self.image is not None or image_store(self.engine) is ImageStore.CLASSIC

    def _named(self) -> dict[str, str]:
        """The names of files that are layers."""
        if self.image is not None:
            return {layer.name: layer.diff_id for layer in self.image.layers}
        if self._by_digest():
            return {f"blobs/{one.replace(':', '/')}": one for one in self.facts.diff_ids}
        return dict(directories(self.facts.diff_ids))

    def _uppermost(self, name: str) -> str:
        """The uppermost layer's directory, in the old layout, is the one that is not known."""
        if self.image is None and not self._by_digest() and name.endswith("/layer.tar"):
            return self.facts.diff_ids[-1]
        return ""

    def _by_digest(self) -> bool:
        major = self.engine.version.partition(".")[0]
        return major.isdigit() and int(major) >= _BY_DIGEST
