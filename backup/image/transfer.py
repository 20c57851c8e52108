"""Send images from one engine to another, without the layers that the other has.

    for sent in send(source, target, ["app:1", "app:2"], Options(), on_event): …

What is small goes out as it comes in. What is more than a portion arrives as images that grow by a
portion each: a link that is cut costs one portion, and the next run goes on from there. What comes
in no order is kept compressed in TMPDIR before that. An image gets its tags when the target has
it and it was compared. In any doubt everything is sent; then what is still wrong is removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from backup.compression import Form
from backup.engine import Engine, ImageFacts, ImageStore
from backup.engine.reference import Reference
from backup.errors import (
    DamagedImage,
    EngineError,
    EngineUnavailable,
    UsageError,
    VerificationFailed,
)
from backup.image.destination import Destination
from backup.image.loose import loose
from backup.image.offer import Offer
from backup.image.origin import Origin
from backup.image.passage import Passage
from backup.image.plan import portions
from backup.report import Noted, OnEvent, ignore

PORTION: Final = 256 << 20
_WORTH_ASKING: Final = 64 << 20
"""Bytes from which on it pays to start a helper that looks for free space."""
_RESUMES: Final = "what arrived is kept: the same command goes on from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to send. `wire` None chooses by the way there; `portion` is in bytes of layers.

    `untagged`: the image gets no name; the caller sees to it.
    """

    platform: str = ""
    all_tags: bool = False
    untagged: bool = False
    wire: Form | None = None
    portion: int = PORTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one image, or would: `sent` counts bytes on the way, compressed ones.

    `size` and `missing` are sizes of layers; `again` says why everything was sent after all; `lost`
    has the registry digests that the target does not know it by.
    """

    reference: str
    tags: tuple[str, ...]
    platform: str
    layers: int
    there: int
    size: int
    missing: int
    sent: int = 0
    image_id: str = ""
    again: str = ""
    lost: tuple[str, ...] = ()


def send(
    source: Engine,
    target: Engine,
    references: Sequence[str],
    options: Options,
    on_event: OnEvent = ignore,
) -> Iterator[Sent]:
    """Send images one after the other; what one brought, the next need not.

    Raises NotOnEngine, DamagedImage for an image that is not whole where it comes from,
    EngineUnavailable for a cut link (what arrived is kept), VerificationFailed.
    """
    destination = Destination(target)
    for origin in _origins(source, references, options):
        yield _sent(origin, destination, options, on_event)


def deliver(offer: Offer, target: Engine, options: Options, on_event: OnEvent = ignore) -> Sent:
    """Bring one image to an engine, wherever it comes from; see `send`."""
    return _Transfer(offer, Destination(target), options, on_event).run()


def plan(
    source: Engine,
    target: Engine,
    references: Sequence[str],
    options: Options,
    on_event: OnEvent = ignore,
) -> Iterator[Sent]:
    """Tell what `send` would do. Each image is looked at as if it were the only one."""
    destination = Destination(target)
    for origin in _origins(source, references, options):
        offer = loose(origin) or origin
        yield _Transfer(offer, destination, options, on_event).planned()


def _origins(source: Engine, references: Sequence[str], options: Options) -> list[Origin]:
    """All of them are looked for before the first is sent."""
    return [Origin(source, one, options.platform) for one in dict.fromkeys(references)]


def _sent(origin: Origin, destination: Destination, options: Options, on_event: OnEvent) -> Sent:
    """Send an image by its files where they can be read; the engine saves it if they are wrong."""
    files = loose(origin)
    if files is not None:
        try:
            return _Transfer(files, destination, options, on_event).run()
        except DamagedImage as error:
            on_event(Noted(origin.reference, b"", f"{error}; the engine is asked to save it"))
    return _Transfer(origin, destination, options, on_event).run()


class _Transfer:
    """One image on its way."""

    def __init__(self, origin: Offer, to: Destination, options: Options, on_event: OnEvent) -> None:
        self._origin = origin
        self._to = to
        self._portion = options.portion
        self._on_event = on_event
        self._tags = _tags(origin, options)
        form = options.wire or to.wire
        self._passage = Passage(origin, to, form, bool(self._tags), on_event)

    def run(self) -> Sent:
        """Have the image on the target, by the cheapest way that works."""
        known = self._to.same(self._origin, self._tags)
        if known is not None:
            return self._named(known, len(self._origin.facts.diff_ids))
        there = self._to.prefix(self._origin, self._on_event)
        try:
            return self._named(self._passed(there), there)
        except EngineUnavailable as error:
            error.add_note(_RESUMES)
            raise
        except (EngineError, VerificationFailed) as error:
            # what was counted on may have gone meanwhile, as what nobody names does
            counted_on = there or len(portions(self._origin.sizes, 0, self._portion)) > 1
            if not counted_on or "no space left" in str(error):
                raise
            why = str(error)
        self._on_event(Noted(self._origin.reference, b"", f"{why}; everything is sent now"))
        return self._named(self._passed(0), 0, why)

    def planned(self) -> Sent:
        """Find out what `run` would do, and leave nothing behind."""
        count = len(self._origin.facts.diff_ids)
        if self._to.same(self._origin, self._tags) is not None:
            return self._told(count)
        there = self._to.prefix(self._origin, self._on_event)
        self._to.forget_probe(self._origin.facts.diff_ids)
        return self._told(there)

    def _passed(self, there: int) -> ImageFacts:
        sizes = self._origin.sizes
        parts = portions(sizes, there, self._portion)
        self._require_space([sum(sizes[part.start : part.stop]) for part in parts])
        if len(parts) == 1:
            return self._passage.streamed(there)
        return self._passage.in_portions(there, self._portion)

    def _require_space(self, parts: Sequence[int]) -> None:
        """Demand room for what will be there at the same time. Raises EngineError."""
        classic = self._to.store is ImageStore.CLASSIC
        # the classic store unpacks an archive before it makes layers of it; the other keeps both
        needed = sum(parts) + (max(parts) if classic else sum(parts))
        if sum(parts) < _WORTH_ASKING:
            return
        free = self._to.free()
        if free is not None and free < needed:
            raise EngineError(
                f"{self._to.engine.name} has {free >> 20} MiB free, and the image "
                f"{self._origin.reference} needs about {needed >> 20} MiB",
                hint="docker image prune frees what no container uses",
            )

    def _named(self, made: ImageFacts, there: int, again: str = "") -> Sent:
        """Give the image its tags, and clear away what was under way."""
        self._to.name(made, self._tags, self._on_event)
        self._to.forget(self._origin.facts.diff_ids)
        known = {one.partition("@")[2] for one in made.digests}
        digests = self._origin.facts.digests
        lost = tuple(one for one in digests if one.partition("@")[2] not in known)
        return replace(self._told(there), image_id=made.id, again=again, lost=lost)

    @property
    def _carried(self) -> int:
        """The bytes that crossed the longer way: to the target, unless that is on this machine."""
        here = self._to.engine.address.scheme == "unix"
        carried = self._origin.carried
        return carried if here and carried is not None else self._passage.sent

    def _told(self, there: int) -> Sent:
        facts, sizes = self._origin.facts, self._origin.sizes
        return Sent(
            reference=self._origin.reference,
            tags=self._tags,
            platform=facts.platform,
            layers=len(sizes),
            there=there,
            size=sum(sizes),
            missing=sum(sizes[there:]),
            sent=self._carried,
        )


def _tags(origin: Offer, options: Options) -> tuple[str, ...]:
    """The tags that an image gets: the one it was asked for by, or all where it was by its id."""
    if options.untagged:
        return ()
    tags = tuple(tag for tag in origin.facts.tags if tag != "<none>:<none>")
    try:
        wanted = str(Reference.parse(origin.reference))
    except UsageError:  # an id
        return tags
    named = tuple(tag for tag in tags if str(Reference.parse(tag)) == wanted)
    return tags if options.all_tags or not named else named
