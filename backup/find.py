"""In which snapshots a file is, and which of them have the same version of it.

The snapshots of one source are searched from the oldest on. A *version* is what matched a pattern,
unchanged through some snapshots that follow each other: `ls` shows the same of it, and its inode
and ctime, or the pieces of its content, are the same (attributes and access lists do not count).
Small files are stored beside each other, and so in other pieces when what is beside them has
changed; of those the bytes are compared. A snapshot whose manifest cannot be read is passed over.

Memory grows with the number of versions that are found in one source.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import msgspec

from backup.errors import IntegrityError
from backup.pattern import Patterns
from backup.pieces import Pieces, equal, length
from backup.recorder import BUNDLED_BELOW
from backup.report import Advanced, Noted, OnEvent
from backup.repository import Extent, Line, Member, Repository, Snapshot
from backup.repository.manifest import to_bytes


@dataclass(frozen=True, slots=True)
class Version:
    """An entry, in the snapshots from number `first` to number `last`; its headers are left out.

    Numbers count only the snapshots that could be read.
    """

    member: Member
    first: int
    last: int


class Versions(NamedTuple):
    """What was found, and by their place in the history which snapshots could not be read."""

    found: list[Version]
    unread: dict[int, IntegrityError]


def versions(
    repository: Repository, history: Sequence[Snapshot], patterns: Patterns, on_event: OnEvent
) -> Versions:
    """Return what matches in the snapshots of one source, which are given from the oldest on.

    Versions with the newest `last` come first, those with the same one in the order of the
    manifest.
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
    unread: dict[int, IntegrityError] = {}
    results = pieces.of_each(snapshot.manifest for snapshot in history)
    for place, (snapshot, found) in enumerate(zip(history, results, strict=True)):
        try:
            matches = list(chain.from_iterable(found))
        except IntegrityError as error:
            unread[place] = error
            continue
        number = place - len(unread)
        now = {member.path: member for member in matches}  # of a name in an archive, the last one
        before = {path: version.member for path, version in going_on.items()}
        same = _unchanged(repository, before, now, on_event)
        ended.append([version for path, version in going_on.items() if path not in same])
        going_on = {
            path: Version(member, going_on[path].first if path in same else number, number)
            for path, member in now.items()
        }
        on_event(Advanced(length(snapshot.manifest), 1))
    ended.append(list(going_on.values()))
    return Versions(list(chain.from_iterable(reversed(ended))), unread)


def _without_headers(member: Member) -> Member:
    return msgspec.structs.replace(member, head="", padding="")


def _unchanged(
    repository: Repository,
    before: Mapping[str, Member],
    now: Mapping[str, Member],
    on_event: OnEvent,
) -> set[str]:
    """Return the paths of what is the same version as before, as far as contents can be read."""
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
    try:
        return same | equal(repository, unsure)
    except IntegrityError as error:
        on_event(Noted("find", b"", f"{error}: what may be one version is told as two"))
        return same


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
