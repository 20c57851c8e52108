"""Small trees of files, and snapshots of them as a capture or an import would have made them.

    tree = {b"": Thing("d"), b"a": Thing(content=b"1"), b"b": Name(b"a")}

`Name(path)` is another name of what is at `path`: a hard link, whichever of them is stored as one.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from backup.listing import Listed
from backup.paths import relative, sort_key
from backup.recorder import Recorder
from backup.repository import Repository, Snapshot
from backup.tar.split import split
from tests.saved import NOW, save

_TYPES: Final = {
    "f": tarfile.REGTYPE,
    "d": tarfile.DIRTYPE,
    "l": tarfile.SYMTYPE,
    "p": tarfile.FIFOTYPE,
    "c": tarfile.CHRTYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What may be at a path; `link` of symbolic links, `minor` of devices, `content` of files."""

    kind: str = "f"
    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_700_000_000
    link: str = ""
    minor: int = 0
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """Another name of what is at a path."""

    of: bytes


Tree = Mapping[bytes, Thing | Name]


def meant(tree: Tree, path: bytes) -> Thing:
    """Return what a path leads to."""
    found = tree[root(tree, path)]
    assert isinstance(found, Thing)
    return found


def tar(members: Iterable[tuple[bytes, Thing | Name]]) -> bytes:
    """Return an archive with these members, in this order."""
    stream = io.BytesIO()
    things: dict[bytes, Thing] = {}
    with tarfile.open(
        fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for path, found in members:
            is_name = isinstance(found, Name)
            thing = things.get(found.of, Thing()) if isinstance(found, Name) else found
            things[path] = thing
            info = tarfile.TarInfo(_text(path))
            info.type = tarfile.LNKTYPE if is_name else _TYPES[thing.kind]
            info.linkname = _text(found.of) if isinstance(found, Name) else thing.link
            info.mode, info.uid, info.gid = thing.mode, thing.uid, thing.gid
            info.mtime, info.devminor = thing.mtime, thing.minor
            if thing.attribute:
                info.pax_headers = {"SCHILY.xattr.user.x": thing.attribute}
            body = thing.content if thing.kind == "f" and not is_name else b""
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def _text(path: bytes) -> str:
    return (b"./" + path).decode("utf-8", "surrogateescape")


def imported(repository: Repository, members: Iterable[tuple[bytes, Thing | Name]]) -> Snapshot:
    """Store an archive with these members, in this order."""
    return repository.snapshot(save(repository, [tar(members)]))


def captured(
    repository: Repository, tree: Tree, *, links: Mapping[bytes, int] | None = None, **facts: Any
) -> Snapshot:
    """Store a tree as a capture does: in order, the first name of an inode as the file.

    `links` says of how many names of a path the listing knew, where that was wrong. An inode has
    its number from the name in the tree that is no `Name`, and its ctime from all that it is.
    """
    names: dict[bytes, list[bytes]] = {}
    for path in sorted(tree, key=sort_key):
        names.setdefault(root(tree, path), []).append(path)
    first = {path: group[0] for group in names.values() for path in group}
    count = {path: len(group) for group in names.values() for path in group} | dict(links or {})
    members = [
        (path, meant(tree, path) if first[path] == path else Name(first[path]))
        for path in sorted(tree, key=sort_key)
    ]
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split([tar(members)]):
            path = relative(entry.path)
            listed = None if entry.kind in "gz" else _listed(tree, path, count[path])
            recorder.add(entry, listed)
        manifest = recorder.finish()
        writer.finish()
    said: dict[str, Any] = {"time": NOW, "host": "here", "source": "volume:data", "run": "00"}
    made = repository.commit(Snapshot(**(said | facts), manifest=manifest))
    return repository.snapshot(made)


def root(tree: Tree, path: bytes) -> bytes:
    """Return the name that is no second one."""
    found = tree[path]
    return found.of if isinstance(found, Name) else path


def _listed(tree: Tree, path: bytes, nlink: int) -> Listed:
    thing, inode = meant(tree, path), crc32(root(tree, path))
    ctime_ns = 1 + crc32(repr(thing).encode())
    return Listed(path, thing.kind, 0, 0, 0, 0, 0, ctime_ns, inode, nlink, 1, b"")
