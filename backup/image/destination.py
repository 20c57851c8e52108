"""The engine that images go to: what it has of them, and whether what it made is right.

Whatever is loaded gets a name in the repository `voltar-partial` and no other: a tag of the
operator's moves only when the image that it will name is proven. What a killed run left under
such a name is used by the next one, and then removed.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from backup.blocks import Blocks
from backup.compression import Form
from backup.engine import (
    Access,
    Engine,
    Held,
    ImageFacts,
    ImageStore,
    find_image,
    held,
    helper,
    image_store,
    images,
    load,
    remove_image,
    tag_image,
)
from backup.engine.images import api_of
from backup.engine.reference import Reference
from backup.errors import EngineError, NotOnEngine, VerificationFailed
from backup.image.offer import Offer
from backup.image.plan import (
    PARTIAL,
    Document,
    available_prefix,
    digest,
    own_config,
    own_manifest,
    probing,
    shared_prefix,
)
from backup.image.saved import Layer, SavedImage
from backup.image.writing import documents
from backup.report import Noted, OnEvent

_ZSTD_SINCE: Final = (1, 42)
_PROBED_SINCE: Final = (1, 48)
_FORGOTTEN_AFTER: Final = timedelta(days=1)
"""What is under way for longer is left over from a run that nobody repeated."""


class Destination:
    """An engine that gets images. What it has is asked once, and again after each load."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = image_store(engine)
        self._images: tuple[ImageFacts, ...] | None = None

    @property
    def images(self) -> tuple[ImageFacts, ...]:
        """All images that it has."""
        if self._images is None:
            self._images = images(self.engine)
        return self._images

    @property
    def wire(self) -> Form:
        """How what goes there is compressed: as it can read it, not at all within a machine."""
        if self.engine.address.scheme == "unix":
            return Form.TAR
        return Form.ZSTD if api_of(self.engine) >= _ZSTD_SINCE else Form.GZIP

    def reads(self, layer: Form) -> bool:
        """Tell whether a layer that is compressed so can stay so."""
        if self.store is ImageStore.CONTAINERD or layer is not Form.ZSTD:
            return True
        return api_of(self.engine) >= _ZSTD_SINCE

    def same(self, origin: Offer, tags: Sequence[str]) -> ImageFacts | None:
        """The image, if it is there and complete; of several that one which has the tags."""
        wanted = origin.facts
        for one in sorted(self.images, key=lambda one: not {*tags} & {*one.tags}):
            like = one.is_like(wanted.diff_ids, wanted.settings)
            if like and one.platform == wanted.platform and self.complete(one):
                return one
        return None

    def prefix(self, origin: Offer, on_event: OnEvent) -> int:
        """How many of the lowest layers are there and need not be sent."""
        wanted = origin.facts.diff_ids
        shared = shared_prefix(wanted, (one.diff_ids for one in self.images))
        if self.store is ImageStore.CLASSIC or not shared:
            return shared
        if api_of(self.engine) < _PROBED_SINCE:
            return 0  # it does not tell which blobs it has
        return self._probed(origin.look(on_event))

    def manifest(self, image: SavedImage) -> Document | None:
        """The manifest that an image gets there, None where none is needed."""
        return own_manifest(image) if self.store is ImageStore.CONTAINERD else None

    def load(self, blocks: Blocks) -> None:
        """Let it load an archive. Raises EngineError, EngineUnavailable."""
        self._images = None
        load(self.engine, blocks)

    def verify(self, loaded: str, diff_ids: Sequence[str], layers: Sequence[Layer]) -> ImageFacts:
        """Look at what was loaded, by name or id. Raises VerificationFailed."""
        try:
            found = find_image(self.engine, loaded)
        except NotOnEngine as err:
            raise VerificationFailed("the engine loaded an image, and does not have it") from err
        if found.diff_ids != tuple(diff_ids):
            raise VerificationFailed("the engine has other layers than were sent")
        if not self.complete(found, layers):
            raise VerificationFailed("the engine lacks bytes of the image that it loaded")
        return found

    def name(self, image: ImageFacts, tags: Sequence[str], on_event: OnEvent) -> None:
        """Give an image its tags; of which image they were, is told."""
        for tag in tags:
            name = Reference.parse(tag)
            before = id_of(self.engine, tag)
            tag_image(self.engine, image.id, name.name, name.tag or "latest")
            if before not in ("", image.id):
                on_event(lost_name(tag, before))
        self._images = None

    def forget(self, diff_ids: Sequence[str]) -> None:
        """Remove the names of what was under way of these layers, and of what nobody goes on with.

        The layers stay as long as an image has them.
        """
        self.forget_probe(diff_ids)
        now = datetime.fromtimestamp(self.engine.now(), UTC)
        for one in images(self.engine, reference=PARTIAL):
            ours = bool(one.diff_ids) and tuple(diff_ids[: len(one.diff_ids)]) == one.diff_ids
            old = one.tagged_at is not None and now - one.tagged_at > _FORGOTTEN_AFTER
            for tag in one.tags:
                if tag.startswith(f"{PARTIAL}:") and (ours or old):
                    remove_image(self.engine, tag)
        self._images = None

    def drop(self, loaded: str) -> None:
        """Remove what was loaded, by name or id; what else has it keeps it."""
        with suppress(EngineError):
            remove_image(self.engine, loaded)
        self._images = None

    def forget_probe(self, diff_ids: Sequence[str]) -> None:
        """Remove what was loaded to find out which of these layers are there."""
        if self.store is ImageStore.CONTAINERD:
            self.drop(_probe(diff_ids))

    def free(self) -> int | None:
        """Bytes that are free where it keeps images; None where it cannot be found out."""
        try:
            with helper(self.engine, (), access=Access.READ, run="image") as h:
                available, unit = h.run(["stat", "-f", "-c", "%a %S", "/"]).split()
        except (EngineError, ValueError):
            return None
        return int(available) * int(unit)

    def complete(self, one: ImageFacts, layers: Sequence[Layer] = ()) -> bool:
        """Tell whether it has all bytes of an image, as far as it can be asked."""
        found = [each for each in held(self.engine, one.id) if self._is_for(each, one)]
        if not found:
            return bool(one.diff_ids) or self.store is ImageStore.CLASSIC
        least = sum({layer.digest: layer.size for layer in layers}.values())
        return all(each.available and each.content >= least for each in found)

    def _is_for(self, each: Held, one: ImageFacts) -> bool:
        return each.platform in ("", one.platform)

    def _probed(self, image: SavedImage) -> int:
        """Ask which layers it has, by an image without any: the size of what it then has tells."""
        manifest, config = probing(own_manifest(image)), own_config(image)
        digests = [layer.digest for layer in image.layers]
        name = _probe(image.diff_ids)
        try:
            with suppress(EngineError):  # it cannot unpack what is not there yet
                self.load(documents(config, manifest, digests, name))
            found = [
                one for one in held(self.engine, name) if one.manifest_digest == manifest.digest
            ]
        except NotOnEngine:
            return 0
        if not found:
            return 0
        size = len(manifest.data) + len(config.data)
        return available_prefix(size, image.layers, found[0].content) or 0


def id_of(engine: Engine, tag: str) -> str:
    """The id of the image that has a tag, "" where none has."""
    try:
        return find_image(engine, tag).id
    except NotOnEngine:
        return ""


def lost_name(tag: str, identity: str) -> Noted:
    """What is to be told of an image whose tag another one has now: nothing keeps it any more."""
    return Noted(tag, b"", f"was the image {identity} before, which has lost this name")


def _probe(diff_ids: Sequence[str]) -> str:
    """The name of what asks for these layers; known also to who has not seen the image."""
    return f"{PARTIAL}:asks-{digest(' '.join(diff_ids).encode())[7:23]}"
