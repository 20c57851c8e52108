"""What changed since the parent: a listing beside the parent's manifest, in one walk.

Both are ordered by `paths.sort_key`, so memory does not grow with the volume. An entry whose type,
inode, size, mtime, ctime, mode, owner and group are those of the parent is taken over as it is
stored; every other one is read again. Three rules keep that honest:

- A ctime at or after the moment when the parent began to look (less a margin) proves nothing: the
  entry may have changed again within the same tick of the clock. `Parent.trusted_ns` is the bound.
- What the parent has a note about was not captured as it should be, and is read again; a note about
  the root may stand for anything.
- Names of one inode stand or fall together: a hard link is stored as a pointer to the first name,
  so if one of them is new, changed or gone, all are read again.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from backup.listing import Listed, paired
from backup.repository import Extent, Note, Repository, Snapshot, Stored
from backup.repository.manifest import chunk_of, to_bytes


class Decided(NamedTuple):
    """An entry, and the parent's lines for it, or b"" where it must be read.

    `linked`: these lines point to another name, which has the contents.
    """

    record: Listed
    lines: bytes = b""
    linked: bool = False


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kept(NamedTuple):
    """Successive entries that are taken over from the parent, with its lines for them.

    `files` of the `entries` are files, and have `size` bytes. Of a file's names the first counts.
    """

    entries: int
    files: int
    size: int
    lines: bytes


def alone(record: Listed) -> bool:
    """Tell whether an entry has no other name, which might be decided otherwise."""
    return record.nlink == 1 or record.kind == "d"


@dataclass(frozen=True, slots=True)
class Parent:
    """What a capture is compared with.

    `members` are in order; `trusted_ns` is the first ctime (nanoseconds since 1970 UTC) that proves
    nothing; `noted` are paths that were not captured well; `there` tells whether the chunks of
    extents can still be referred to.
    """

    members: Iterable[Stored]
    trusted_ns: int
    noted: Container[bytes]
    there: Callable[[Iterable[Extent]], bool]


def compared(repository: Repository, snapshot: Snapshot, margin: timedelta) -> Parent:
    """Return a snapshot as something to compare with; time stamps may be late by `margin`.

    Raises IntegrityError, now or while the members are read.
    """
    noted: set[bytes] = set()
    if snapshot.notes:
        lines = repository.manifest(snapshot)
        noted = {to_bytes(line.path) for line in lines if isinstance(line, Note)}
    bound_ns = (snapshot.time - margin - _EPOCH) // timedelta(microseconds=1) * 1000
    return Parent(repository.stored(snapshot), bound_ns, noted, Present(repository))


class Present:
    """Whether chunks may be referred to; most extents lie in the chunk of the one before."""

    def __init__(self, repository: Repository) -> None:
        self._reading = repository.readings.current()
        self._last = ""

    def __call__(self, extents: Iterable[Extent]) -> bool:
        for extent in extents:
            if extent.chunk != self._last:
                if chunk_of(extent) not in self._reading:
                    return False
                self._last = extent.chunk
        return True


@dataclass(slots=True)
class Delta:
    """Decides for each record of a listing whether the parent has it, unchanged.

    `deleted` counts the parent's entries that are gone; those that are left out now do not count.
    `_broken` are the inodes whose names must all be read again, whatever was decided for some of
    them; a listing is of one file system, so their numbers are enough.
    """

    parent: Parent
    deleted: int = 0
    _broken: set[int] = field(default_factory=set)

    def decide(
        self, listed: Iterable[Listed], left_out: Callable[[Listed], bool] | None = None
    ) -> Iterator[Decided]:
        """Decide about each record of a listing, in order, that is not left out."""
        trusted = b"" not in self.parent.noted
        members = (stored for stored in self.parent.members if stored.member.kind not in "gz")
        for known, record in paired(members, listed):
            if record and left_out and left_out(record):
                self._break(known, None)
                continue
            same = trusted and known and record and self._same(record, known)
            lines = known.lines if known and same else b""
            if not lines:
                self._break(known, record)
            if record:
                yield Decided(record, lines, bool(known and known.member.kind == "h"))
            else:
                self.deleted += 1

    def stands(self, record: Listed) -> bool:
        """Tell whether an entry that is unchanged itself need not be read for another name of it.

        To be asked when `decide` is exhausted.
        """
        return alone(record) or record.inode not in self._broken

    def _break(self, known: Stored | None, record: Listed | None) -> None:
        """Remember that of the inodes of an entry, then and now, no other name can be kept."""
        if known and known.member.links > 1 and known.member.kind != "d":
            self._broken.add(known.member.inode)
        if record and not alone(record):
            self._broken.add(record.inode)

    def _same(self, record: Listed, known: Stored) -> bool:
        member = known.member
        # a hard link's own header tells no type and no size; its inode's ctime does for both
        linked = member.kind == "h"
        return (
            0 != member.ctime_ns == record.ctime_ns < self.parent.trusted_ns
            and member.inode == record.inode
            and member.mtime_ns == record.mtime_ns
            and (linked or member.kind == record.kind)
            and (linked or record.kind != "f" or member.size == record.size)
            and member.mode == record.mode
            and member.uid == record.uid
            and member.gid == record.gid
            and member.links == record.nlink
            and record.path not in self.parent.noted
            and self.parent.there(known.extents)
        )
