"""Which packs prune condemns, and which used chunks it saves from them first: a pure choice.

Nothing here is needed for safety (docs/format.md, section 12): any choice would do. Three kinds of
packs go:

- those that nothing uses;
- the ones with most waste, until no more than `MaxUnused` of the repository is unused;
- small ones, left by many small backups, where enough of them come together.

Packs that were put lately stay: a running backup may be about to use them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from backup.repository.names import PackId
from backup.repository.pack import TARGET_SIZE

_SMALL: Final = TARGET_SIZE // 4
_WORTH: Final = 16
"""How many small packs are worth being put together; and at most this many stay small."""


class PackState(NamedTuple):
    """A live pack: in bytes its size, its blobs, and those of them that are used; `young` if it was
    put lately; `manifests` if it holds those rather than data."""

    id: PackId
    size: int
    blobs: int
    used: int
    young: bool
    manifests: bool = False

    @property
    def unused(self) -> int:
        return self.blobs - self.used


@dataclass(frozen=True, slots=True)
class MaxUnused:
    """How much may be unused: a share of what is used, or a number of bytes; None is no limit."""

    share: float | None = None
    size: int | None = None

    def limit(self, used: int) -> float:
        """Return the limit in bytes, given how many are used."""
        if self.share is not None:
            # so that unused / (used + unused) is the share
            return used * self.share / (1 - self.share) if self.share < 1 else float("inf")
        return float("inf") if self.size is None else self.size


class Chosen(NamedTuple):
    """Packs to condemn: those without any use, and those whose used chunks are copied before."""

    unused: list[PackId]
    repacked: list[PackId]


def chosen(packs: Iterable[PackState], max_unused: MaxUnused) -> Chosen:
    """Choose among all live packs."""
    packs = sorted(packs)
    unused = [pack.id for pack in packs if not pack.used and not pack.young]
    kept = [pack for pack in packs if pack.used]
    waste = sum(pack.unused for pack in kept)
    limit = max_unused.limit(sum(pack.used for pack in kept))
    repacked: list[PackState] = []
    for pack in sorted(kept, key=lambda pack: pack.unused / pack.blobs, reverse=True):
        if waste <= limit:
            break
        if not pack.young and pack.unused:
            repacked.append(pack)
            waste -= pack.unused
    for manifests in (False, True):
        repacked += _small(kept, repacked, manifests=manifests)
    return Chosen(unused, sorted(pack.id for pack in repacked))


def _small(kept: list[PackState], repacked: list[PackState], *, manifests: bool) -> list[PackState]:
    """Return the small packs of one kind, if there are many."""
    already = {pack.id for pack in repacked}
    small = [
        pack
        for pack in kept
        if pack.size < _SMALL
        and not pack.young
        and pack.manifests == manifests
        and pack.id not in already
    ]
    return small if len(small) >= _WORTH else []
