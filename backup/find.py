"""In which snapshots a file is, and which of them have the same version of it.

The snapshots of one source are searched from the oldest on. A *version* is what matched a pattern,
unchanged through some snapshots that follow each other: `ls` shows the same of it, and its inode
and ctime, or the pieces of its content, are the same (attributes and access lists do not count).
Small files are stored beside each other, and
so in other pieces when what is beside them has changed; of those the bytes are compared.

Memory grows with the number of versions that are found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from backup.pattern import Patterns
from backup.pieces import Pieces, equal, length
from backup.recorder import BUNDLED_BELOW
from backup.report import Advanced, OnEvent
from backup.repository import Extent, Line, Member, Repository, Snapshot
from backup.repository.manifest import to_bytes


@dataclass(frozen=True, slots=True)
class Version:
    """An entry, in the snapshots from number `first` to number `last`; its headers are left out."""

    member: Member
    first: int
    last: int


def versions(
    repository: Repository, history: Sequence[Snapshot], patterns: Patterns, on_event: OnEvent
) -> list[Version]:
    """Return what matches in the snapshots of one source, which are given from the oldest on.

    Versions with the newest `last` come first, those with the same one in the order of the
    manifest. Raises IntegrityError.
    """

    def look(lines: Iterable[Line]) -> list[Member]:
        return [
            _without_headers(line)
            for line in lines
            if isinstance(line, Member)
            and line.kind not in "gz"
            and patterns.match(to_bytes(line.path), line.kind)
        ]

    pieces = Pieces(repository, look)
    ended: list[list[Version]] = []
    going_on: dict[str, Version] = {}
    for number, snapshot in enumerate(history):
        # an archive may have a name twice: the last one counts
        now = {member.path: member for some in pieces.results(snapshot.manifest) for member in some}
        before = {path: version.member for path, version in going_on.items()}
        same = _unchanged(repository, before, now)
        ended.append([version for path, version in going_on.items() if path not in same])
        going_on = {
            path: Version(member, going_on[path].first if path in same else number, number)
            for path, member in now.items()
        }
        on_event(Advanced(length(snapshot.manifest), 1))
    ended.append(list(going_on.values()))
    return [version for versions in reversed(ended) for version in versions]


def _without_headers(member: Member) -> Member:
    return msgspec.structs.replace(member, head="", padding="")


def _unchanged(
    repository: Repository, before: Mapping[str, Member], now: Mapping[str, Member]
) -> set[str]:
    """Return the paths of what is the same version as before."""
    same: set[str] = set()
    unsure: dict[str, tuple[list[Extent], list[Extent]]] = {}
    for path, member in now.items():
        old = before.get(path)
        if old is None or not _alike(old, member):
            continue
        if _is_same_inode(old, member) or (
            # of a hard link nothing but the inode tells whether what it leads to has changed
            old.extents == member.extents and not (member.kind == "h" and member.ctime_ns)
        ):
            same.add(path)
        elif member.kind == "f" and old.size == old.body_size == member.body_size < BUNDLED_BELOW:
            unsure[path] = (old.extents, member.extents)
    return same | equal(repository, unsure)


def _alike(one: Member, other: Member) -> bool:
    """Tell whether `ls` shows the same.

    Of the names of one inode another one may now be the first; the others are stored as links to it
    and show no size.
    """
    linked = "h" in (one.kind, other.kind) and _is_same_inode(one, other)
    return _status(one) == _status(other) and (linked or _shown(one) == _shown(other))


def _status(member: Member) -> tuple[int, int, int, int]:
    return member.mode, member.uid, member.gid, member.mtime_ns


def _shown(member: Member) -> tuple[str, int, str]:
    return member.kind, member.size, member.link if member.kind in "lh" else ""


def _is_same_inode(one: Member, other: Member) -> bool:
    return one.inode == other.inode and 0 != one.ctime_ns == other.ctime_ns
