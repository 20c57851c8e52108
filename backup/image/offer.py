"""What an image can come from on its way to an engine: another engine, or a repository."""

from collections.abc import Collection, Iterator
from typing import Protocol

from backup.engine import ImageFacts
from backup.image.reading import File
from backup.image.saved import Layer, SavedImage
from backup.report import OnEvent


class Offer(Protocol):
    """One image, for one platform. `image` is there once all of it is known and proven."""

    @property
    def reference(self) -> str:
        """What the operator calls it."""

    @property
    def facts(self) -> ImageFacts:
        """What its engine tells of it, or would."""

    @property
    def image(self) -> SavedImage | None:
        """Its documents and layers."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers, as far as they are known; 0 for others."""

    @property
    def carried(self) -> int | None:
        """The bytes that crossed a link on their way here; None where there is no link."""

    @property
    def in_order(self) -> bool:
        """Whether layers come from the lowest on, as often as they are asked for."""

    def layer(self, diff_id: str) -> Layer | None:
        """One of the layers; None as long as it is not known."""

    def look(self, on_event: OnEvent) -> SavedImage:
        """See to it that all is known."""

    def take(self, needed: Collection[str], on_event: OnEvent) -> Iterator[tuple[str, File]]:
        """Yield the layers that are needed, each with its digest; they are proven at the end."""
