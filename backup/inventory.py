"""Every name in a snapshot, in order, with what it leads to.

A manifest is nearly that. Two things are missing. Of the names of one inode, one is stored as the
file and the others as hard links to it, and which one that is may differ between snapshots of the
same files. And the entries of an imported archive have the order of that archive, maybe with
several of one name: the last one wins, as when the archive is extracted.

Memory grows neither with the number of entries nor with that of hard links: where order is lacking
it is made on disk. The one exception are imported archives: the names of their hard links are held,
for other programs may have made hard links to hard links.
"""

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from backup.external_sort import externally_sorted
from backup.paths import relative, sort_key
from backup.repository import Member, Repository, Snapshot, Stored
from backup.repository.manifest import to_bytes

_RUN: Final = 20_000
"""Records that are sorted in memory."""


class Node(NamedTuple):
    """What is at a path. `kind` is one of f d l c b p, `size` is in bytes, holes included.

    `head` are the raw tar headers as a manifest has them, `extents` the pieces of the body. A hard
    link that leads to nothing has the kind h; no extraction gets over one.
    """

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    head: str
    extents: tuple[tuple[str, int, int], ...]


class _Numbered(NamedTuple):
    """A node's fields, and its place in the manifest.

    A hard link leads to what `root` was at the `moment`; anything else is itself from then on.
    """

    root: bytes
    moment: int
    number: int
    fields: tuple[Any, ...]


def inventory(repository: Repository, snapshot: Snapshot) -> Iterator[Node]:
    """Yield what is at each path, ordered by `paths.sort_key`. Raises IntegrityError."""
    if snapshot.imported:
        return _of_archive(repository.stored(snapshot))
    return _of_capture(lambda: repository.stored(snapshot))


def _of_archive(members: Iterable[Stored]) -> Iterator[Node]:
    """Yield the last of each name."""
    last: Node | None = None
    for node in _resolved(_numbered(members, _Links())):
        if last is not None and last.path != node.path:
            yield last
        last = node
    if last is not None:
        yield last


def _of_capture(read: Callable[[], Iterable[Stored]]) -> Iterator[Node]:
    """Yield the nodes of an ordered manifest, in which only hard links have to be looked up."""
    stray: dict[bytes, bytes] = {}
    linked = _resolved(_numbered(stored for stored in read() if _is_linked(stored.member)), stray)
    first = next(linked, None)  # now all of them have been looked at, and `stray` is complete
    if first is not None:
        linked = chain((first,), linked)
    return heapq.merge(linked, _unlinked(read(), stray), key=_place)


def _is_linked(member: Member) -> bool:
    return member.kind == "h" or (member.links > 1 and member.kind != "d")


def _unlinked(members: Iterable[Stored], stray: dict[bytes, bytes]) -> Iterator[Node]:
    """Yield what has one name, and hard links to such: `stray` says which, and to what.

    Those have come about while the volume was listed: the first name had no second one yet.
    """
    first: dict[bytes, Node] = {}
    roots = set(stray.values())
    for stored in _files(members):
        if stored.path in stray:
            node = first.get(stray[stored.path]) or _node(stored)
            yield node._replace(path=stored.path)
        elif not _is_linked(stored.member):
            node = _node(stored)
            if node.path in roots:
                first[node.path] = node
            yield node


class _Links:
    """What the hard links of an archive lead to, those to other hard links too."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, int]] = {}

    def root(self, stored: Stored, number: int) -> tuple[bytes, int]:
        """Take in the next member; return its root and moment."""
        if stored.member.kind != "h":
            self._known.pop(stored.path, None)
            return stored.path, number
        target = _target(stored)
        self._known[stored.path] = found = self._known.get(target, (target, number))
        return found


def _numbered(members: Iterable[Stored], links: _Links | None = None) -> Iterator[_Numbered]:
    for number, stored in enumerate(_files(members)):
        if links is not None:
            root, moment = links.root(stored, number)
        else:
            root = _target(stored) if stored.member.kind == "h" else stored.path
            moment = number
        yield _Numbered(root, moment, number, tuple(_node(stored)))


def _resolved(
    records: Iterable[_Numbered], stray: dict[bytes, bytes] | None = None
) -> Iterator[Node]:
    """Yield nodes by path, those of one path as they stand in the manifest.

    Hard links become what they lead to; those for which that is not among the records go to
    `stray`, name and target, or where there is no such dictionary stay what they are.
    """
    by_root = _sorted(records, lambda one: b"%b\0%b" % (one.root, one.moment.to_bytes(8, "big")))
    by_path = _sorted(_followed(by_root, stray), _by_path)
    return (Node._make(record.fields) for record in by_path)


def _by_path(record: _Numbered) -> bytes:
    # no two zeros follow each other in a sort key, and so directories stay before what is in them
    return b"%b\0\0%b" % (sort_key(record.fields[0]), record.number.to_bytes(8, "big"))


def _followed(
    records: Iterable[_Numbered], stray: dict[bytes, bytes] | None
) -> Iterator[_Numbered]:
    last: _Numbered | None = None
    for record in records:
        path, kind = record.fields[:2]
        if kind != "h":
            last = record
            yield record
        elif last is not None and last.root == record.root:
            yield record._replace(fields=(path, *last.fields[1:]))
        elif stray is None:
            yield record
        else:
            stray[path] = record.root


def _sorted(records: Iterable[_Numbered], key: Callable[[_Numbered], bytes]) -> Iterator[_Numbered]:
    directory = Path(tempfile.gettempdir())
    return externally_sorted(records, key=key, make=_Numbered._make, directory=directory, run=_RUN)


def _files(members: Iterable[Stored]) -> Iterator[Stored]:
    return (stored for stored in members if stored.member.kind not in "gz")


def _target(stored: Stored) -> bytes:
    return relative(to_bytes(stored.member.link))


def _place(node: Node) -> bytes:
    return sort_key(node.path)


def _node(stored: Stored) -> Node:
    member = stored.member
    return Node(
        stored.path,
        member.kind,
        member.mode,
        member.uid,
        member.gid,
        member.size,
        member.mtime_ns,
        to_bytes(member.link),
        member.head,
        tuple((one.chunk, one.offset, one.length) for one in stored.extents),
    )
