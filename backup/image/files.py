"""Archives of images as files: from an engine, and to one.

A file is whole and every digest in it proven, or it is not there under its name. What is loaded is
proven as well before the engine gets the end of it: an archive that breaks off makes no image.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from backup.blocks import Block, Blocks
from backup.compression import decompressed
from backup.engine import (
    Engine,
    ImageFacts,
    canonical,
    find_image,
    load,
    remove_image,
    saved,
    tag_image,
)
from backup.engine.reference import Reference
from backup.errors import EngineError, EngineUnavailable, NotOnEngine, VerificationFailed
from backup.image.destination import Destination, id_of, lost_name
from backup.image.reading import Reading
from backup.image.saved import SavedImage
from backup.image.writing import packed
from backup.report import Advanced, Finished, OnEvent, Started

_HELD_BACK = 1 << 20
"""Bytes at an archive's end that nobody gets before all is proven."""


class Checked:
    """An archive that passes through, its end held back until every image in it is proven.

    `images` are there after the last block. Raises DamagedImage.
    """

    def __init__(self, blocks: Blocks, what: str, on_event: OnEvent) -> None:
        self._blocks = blocks
        self._what = what
        self._on_event = on_event
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self.images: tuple[SavedImage, ...] = ()

    def __iter__(self) -> Iterator[Block]:
        reading = Reading(self._kept(), self._what)
        for file in reading.files():
            for _ in file.raw():
                yield from self._ready()
            yield from self._ready()
        self.images = reading.images()
        yield from self._waiting

    def _kept(self) -> Iterator[Block]:
        for block in self._blocks:
            self._on_event(Advanced(len(block)))
            self._waiting.append(bytes(block))
            self._size += len(block)
            yield self._waiting[-1]

    def _ready(self) -> Iterator[Block]:
        while self._waiting and self._size - len(self._waiting[0]) >= _HELD_BACK:
            self._size -= len(self._waiting[0])
            yield self._waiting.popleft()


class Saving:
    """Images of an engine as one archive; iterated once, by whoever writes it."""

    def __init__(
        self, engine: Engine, references: Sequence[str], platform: str, on_event: OnEvent
    ) -> None:
        self._engine = engine
        self._references = list(references)
        self._platform = platform
        self._on_event = on_event
        self._facts = [find_image(engine, one, platform) for one in references]
        self.images: tuple[SavedImage, ...] = ()

    def __iter__(self) -> Iterator[Block]:
        """Yield the archive; its last blocks only when all of it is proven."""
        called = ", ".join(self._references)
        what = f"the image {called} as {self._engine.name} saves it"
        self._on_event(
            Started("save", called, sum({one.id: one.size for one in self._facts}.values()))
        )
        with saved(self._engine, self._references, self._platform) as blocks:
            checked = Checked(blocks, what, self._on_event)
            yield from checked
        self.images = checked.images
        self._demand_all(what)
        self._on_event(Finished("save", called))

    def _demand_all(self, what: str) -> None:
        for facts in self._facts:
            if not any(_is(facts, image) for image in self.images):
                raise VerificationFailed(f"{what} lacks {(facts.tags or (facts.id,))[0]}")


def load_archive(
    engine: Engine, blocks: Blocks, name: str, on_event: OnEvent
) -> tuple[SavedImage, ...]:
    """Load an archive, compressed in any way, and look at what became of it.

    Raises DamagedImage, ArchiveError: the engine has nothing of it. VerificationFailed and
    EngineError: what it made is removed, and tags are where they were.
    """
    on_event(Started("load", name))
    checked = Checked(decompressed(blocks, name), name, on_event)
    before: dict[str, str] = {}

    def passing() -> Iterator[Block]:
        pending: Block = b""
        for block in checked:
            if checked.images and not before:
                before.update(_tagged(engine, checked.images))
            yield pending
            pending = block
        yield pending

    try:
        loaded = load(engine, packed(passing(), Destination(engine).wire))
        _demand(engine, loaded, checked.images)
    except EngineUnavailable:
        raise
    except (EngineError, VerificationFailed) as error:
        _put_back(engine, checked.images, before)
        if isinstance(error, EngineError) and not isinstance(error, NotOnEngine):
            raise EngineError(f"{name} was not loaded: {error}", hint=error.hint) from error
        raise
    _tell_lost(engine, before, on_event)
    on_event(Finished("load", name))
    return checked.images


def _tagged(engine: Engine, images: Sequence[SavedImage]) -> dict[str, str]:
    """Which images have the tags of others so far; "" for none."""
    return {tag: id_of(engine, tag) for image in images for tag in image.tags}


def _tell_lost(engine: Engine, before: Mapping[str, str], on_event: OnEvent) -> None:
    for tag, identity in before.items():
        if identity and id_of(engine, tag) != identity:
            on_event(lost_name(tag, identity))


def _demand(engine: Engine, loaded: Sequence[str], images: Sequence[SavedImage]) -> None:
    """Demand that all names are there, and are images of the archive."""
    names = {*loaded, *(tag for image in images for tag in image.tags)}
    destination = Destination(engine)
    for name in sorted(names):
        facts = find_image(engine, name)
        if not any(_is(facts, image) for image in images):
            raise VerificationFailed(f"the engine has something else as {name} than the archive")
        if not destination.complete(facts):
            raise VerificationFailed(f"the engine lacks bytes of the image {name} that it loaded")


def _put_back(engine: Engine, images: Sequence[SavedImage], before: Mapping[str, str]) -> None:
    """Take away what was loaded; tags go back to what they named before."""
    for tag in (tag for image in images for tag in image.tags):
        with suppress(EngineError):
            if id_of(engine, tag) != before.get(tag, ""):
                remove_image(engine, tag)
                if before.get(tag):
                    name = Reference.parse(tag)
                    tag_image(engine, before[tag], name.name, name.tag or "latest")


def _is(facts: ImageFacts, image: SavedImage) -> bool:
    return facts.is_like(image.diff_ids, canonical(image.settings.get("config")))
