"""An image into the repository, layer by layer.

A snapshot of an image is an archive that voltar writes itself, of the layout in `writing`: each
layer is one file named by its digest, as the engine has it (compressed or not), the lowest first;
then configuration, manifest and what lists them. So layers are shared between images and versions
by their content, the same image gives the same manifest, and `docker load` takes what is exported.

The engine sends layers in an order of its own. They are stored as they come; which file is which
layer, and whether all are there and are what their digests say, is known at the end, and the
archive's entries are written then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from backup.blocks import Block
from backup.delta import Present
from backup.engine import Engine, ImageFacts, canonical, find_image, held, saved
from backup.engine.reference import Reference
from backup.errors import DamagedImage
from backup.image.plan import own_config, own_manifest
from backup.image.reading import Reading
from backup.image.saved import SavedImage
from backup.image.writing import blob, documents, member
from backup.recorder import Pieces, Recorder
from backup.report import Advanced, Finished, Noted, OnEvent, Started
from backup.repository import (
    Extent,
    ImageRecord,
    Note,
    Repository,
    Snapshot,
    Statistics,
    Writer,
)
from backup.tar.split import Entry, split


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One image, stored. `time` is the engine's clock before anything was read."""

    time: datetime
    image: ImageRecord
    manifest: list[Extent]
    statistics: Statistics


def keep(
    engine: Engine,
    reference: str,
    parent: Snapshot | None,
    *,
    into: tuple[Repository, Writer],
    on_event: OnEvent,
) -> Kept:
    """Store an image, unless the parent has it already: then its manifest is taken over.

    Nothing refers to it until a snapshot is committed, which is the caller's next statement.
    Raises NotOnEngine, DamagedImage for one that is not whole, EngineError, TransportError.
    """
    time = datetime.fromtimestamp(engine.now(), UTC)
    facts = find_image(engine, reference)
    if not facts.diff_ids:
        raise DamagedImage(
            f"the image {reference} is not complete on {engine.name}: its layers are missing",
            hint="pull or build it there again",
        )
    if parent is not None and _is_same(into[0], parent, facts):
        return _taken_over(parent, facts, time)
    _tell_of_others(engine, reference, facts, on_event)
    recorder = Recorder(*into)
    on_event(Started("backup", f"image:{reference}", facts.size))
    image = _recorded(engine, facts, reference, recorder, on_event)
    manifest = recorder.finish()
    on_event(Finished("backup", f"image:{reference}"))
    return Kept(
        time=time,
        image=_record(facts, reference, image.config_digest),
        manifest=manifest,
        statistics=recorder.statistics,
    )


def _tell_of_others(engine: Engine, reference: str, facts: ImageFacts, on_event: OnEvent) -> None:
    others = [
        each.platform
        for each in held(engine, reference)
        if each.available and each.platform != facts.platform
    ]
    if others:
        text = f"only {facts.platform} is saved; the engine has it for {', '.join(others)} as well"
        on_event(Noted(f"image:{reference}", b"", text))


def _is_same(repository: Repository, parent: Snapshot, facts: ImageFacts) -> bool:
    """Whether a snapshot holds this very image, and all its chunks may still be referred to."""
    known = parent.image
    if known is None or (known.id, known.platform) != (facts.id, facts.platform):
        return False
    if tuple(known.diff_ids) != facts.diff_ids:
        return False
    present = Present(repository)
    if not present(parent.manifest):
        return False
    lines = repository.manifest(parent)
    return all(present(line.extents) for line in lines if not isinstance(line, Note))


def _taken_over(parent: Snapshot, facts: ImageFacts, time: datetime) -> Kept:
    known, counts = parent.image, parent.statistics
    assert known is not None  # noqa: S101  what was compared
    return Kept(
        time=time,
        image=_record(facts, known.reference, known.config),
        manifest=parent.manifest,
        statistics=Statistics(
            entries=counts.entries,
            files=counts.files,
            size=counts.size,
            unchanged=counts.entries,
            unchanged_size=counts.size,
        ),
    )


def _recorded(
    engine: Engine, facts: ImageFacts, reference: str, recorder: Recorder, on_event: OnEvent
) -> SavedImage:
    """Store the layers as they come; then write the archive's entries."""
    what = f"the image {reference} as {engine.name} saves it"
    stored: dict[str, Pieces] = {}
    with saved(engine, [facts.id], facts.platform) as blocks:
        reading = Reading(blocks, what)
        for file in reading.files():
            stored[file.name] = recorder.store(_told(file.raw(), on_event))
        found = reading.images()
    image = next((one for one in found if _is_of(facts, one)), None)
    if image is None:
        raise DamagedImage(f"{what} is not what the engine says that it is")
    for layer in {one.digest: one for one in image.layers}.values():
        recorder.add(_entry(blob(layer.digest), layer.size), stored=stored[layer.name])
    digests = [layer.digest for layer in image.layers]
    name = Reference.parse(reference).tagged
    for entry in split(documents(own_config(image), own_manifest(image), digests, name)):
        recorder.add(entry)
    return image


def _is_of(facts: ImageFacts, image: SavedImage) -> bool:
    return facts.is_like(image.diff_ids, canonical(image.settings.get("config")))


def _entry(name: str, size: int) -> Entry:
    """The entry of a file, without its body."""
    return next(split(member(name, size, ())))


def _told(blocks: Iterator[Block], on_event: OnEvent) -> Iterator[Block]:
    for block in blocks:
        on_event(Advanced(len(block)))
        yield block


def _record(facts: ImageFacts, reference: str, config: str) -> ImageRecord:
    return ImageRecord(
        reference=str(Reference.parse(reference)),
        id=facts.id,
        config=config,
        diff_ids=list(facts.diff_ids),
        platform=facts.platform,
        digests=list(facts.digests),
    )
