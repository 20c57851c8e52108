"""What differs between two snapshots: their inventories side by side, in one walk.

What counts is what a restore would make: a file whose bytes are the same has not changed, however
it was cut into chunks, with holes or without, under whichever of its names it was stored. So where
two files of one size have other extents, their contents are read and compared; nothing else is
read. Not compared: which names are hard links of each other, and what only the source's file system
knew (inode numbers, ctime).
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from backup.content import content_digest
from backup.inventory import Node
from backup.listing import paired
from backup.pieces import equal
from backup.recorder import BUNDLED_BELOW
from backup.repository import Extent, Repository
from backup.repository.manifest import head_to_bytes
from backup.tar.build import END_SIZE
from backup.tar.split import Entry, padding_of, split
from backup.verify import ATTRIBUTES

_END: Final = bytes(END_SIZE)
_DEVICES: Final = "cb"
_LINKS: Final = "lh"
_AT_ONCE: Final = 2000
"""Pairs that are looked at together."""


class Difference(NamedTuple):
    """A path, with what is there on either side; None where nothing is.

    `what` are the changed properties: type, content, size, link, device, mode, owner, mtime,
    attributes. `attributes` are the names of the extended attributes and access lists among them.
    """

    path: bytes
    before: Node | None
    after: Node | None
    what: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(slots=True)
class Sum:
    """Counts entries, and the bytes of the files among them; each name of a file counts."""

    entries: int = 0
    size: int = 0

    def add(self, node: Node) -> None:
        self.entries += 1
        self.size += node.size if node.kind == "f" else 0


class Diff:
    """Compares two inventories of one repository; counts while `differences` is read.

    `changed` has the sizes that files now have whose content changed, and no other bytes. Without
    `times` another mtime is no difference.
    """

    def __init__(self, repository: Repository, *, times: bool = True) -> None:
        self._repository = repository
        self._times = times
        self.added = Sum()
        self.removed = Sum()
        self.changed = Sum()
        self.unchanged = 0

    def differences(self, before: Iterable[Node], after: Iterable[Node]) -> Iterator[Difference]:
        """Yield what differs, in the order of paths. Raises IntegrityError."""
        pairs = paired(before, after)
        while some := list(islice(pairs, _AT_ONCE)):
            same = self._same_small(some)
            for old, new in some:
                if old is not None and new is not None:
                    yield from self._changes(old, new, same)
                elif new is not None:
                    self.added.add(new)
                    yield Difference(new.path, None, new)
                elif old is not None:
                    self.removed.add(old)
                    yield Difference(old.path, old, None)

    def _same_small(self, pairs: Iterable[tuple[Node | None, Node | None]]) -> set[bytes]:
        """Return the paths of small files that have the same bytes in other places.

        They are many where everything was read anew: small files run together when they are cut.
        """
        unsure = {
            old.path: (_extents(old), _extents(new))
            for old, new in pairs
            if old and new and old.extents != new.extents and _are_small(old, new)
        }
        return equal(self._repository, unsure)

    def _changes(self, old: Node, new: Node, same: Container[bytes]) -> Iterator[Difference]:
        attributes: tuple[str, ...] = ()
        what: list[str] = []
        if old != new:
            attributes = _changed_attributes(old, new)
            what = [*self._substance(old, new, same), *self._properties(old, new)]
            what += ["attributes"] if attributes else []
        if not what:
            self.unchanged += 1
            return
        self.changed.entries += 1
        self.changed.size += new.size if "content" in what else 0
        yield Difference(new.path, old, new, tuple(what), attributes)

    def _substance(self, old: Node, new: Node, same: Container[bytes]) -> Iterator[str]:
        if old.kind != new.kind:
            yield "type"
        elif old.kind == "f":
            if old.size != new.size:
                yield "content"
                yield "size"
            elif new.path not in same and not self._same_content(old, new):
                yield "content"
        elif old.kind in _DEVICES and _device(old) != _device(new):
            yield "device"
        elif old.kind in _LINKS and old.link != new.link:
            yield "link"

    def _properties(self, old: Node, new: Node) -> Iterator[str]:
        links = old.kind == new.kind == "l"  # the mode of a symbolic link means nothing
        if old.mode != new.mode and not links:
            yield "mode"
        if (old.uid, old.gid) != (new.uid, new.gid):
            yield "owner"
        if self._times and old.mtime_ns != new.mtime_ns:
            yield "mtime"

    def _same_content(self, old: Node, new: Node) -> bool:
        if not (_has_holes(old) or _has_holes(new)):
            if old.extents == new.extents:
                return True
            if old.size < BUNDLED_BELOW:
                return False  # they have been compared already
        if (old.extents, old.head) == (new.extents, new.head):
            return True
        return self._digest(old) == self._digest(new)

    def _digest(self, node: Node) -> bytes:
        head, padding = head_to_bytes(node.head), bytes(padding_of(_body_size(node)))
        items: list[bytes | Extent] = [head, *_extents(node), padding, _END]
        return content_digest(next(split(self._repository.read(items))))


def _extents(node: Node) -> list[Extent]:
    return list(map(Extent._make, node.extents))


def _are_small(old: Node, new: Node) -> bool:
    """Tell whether two are files of one size that were stored together with others."""
    return (
        old.kind == new.kind == "f"
        and old.size == new.size < BUNDLED_BELOW
        and not (_has_holes(old) or _has_holes(new))
    )


def _has_holes(node: Node) -> bool:
    """Tell whether a body is not the file as it is."""
    return "GNU.sparse." in node.head or _body_size(node) != node.size


def _body_size(node: Node) -> int:
    return sum(length for _, _, length in node.extents)


def _decoded(node: Node) -> Entry:
    return next(split((head_to_bytes(node.head),)))


def _device(node: Node) -> tuple[int, int]:
    entry = _decoded(node)
    return entry.major, entry.minor


def _changed_attributes(old: Node, new: Node) -> tuple[str, ...]:
    if old.head == new.head:
        return ()
    before, after = _decoded(old).pax, _decoded(new).pax
    return tuple(
        key.removeprefix("SCHILY.")
        for key in sorted({*before, *after})
        if key.startswith(ATTRIBUTES) and before.get(key) != after.get(key)
    )
