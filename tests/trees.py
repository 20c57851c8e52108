"""Small trees of files, and snapshots of them as a capture or an import would have made them.

    tree = {b"": Thing("d"), b"a": Thing(content=b"1"), b"b": Name(b"a")}

`Name(path)` is another name of what is at `path`: a hard link, whichever of them is stored as one.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from backup.listing import Listed
from backup.paths import relative, sort_key
from backup.recorder import Recorder
from backup.repository import Repository, Snapshot, SnapshotId
from backup.tarsplit import split
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
    found = tree[path]
    return tree_thing(tree, found.of) if isinstance(found, Name) else found


def tree_thing(tree: Tree, path: bytes) -> Thing:
    """Return what is at a path that is no second name."""
    found = tree[path]
    assert isinstance(found, Thing)
    return found


def tar(members: Iterable[tuple[bytes, Thing | Name]]) -> bytes:
    """Return an archive with these members, in this order."""
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for path, thing in members:
            info = tarfile.TarInfo((b"./" + path).decode("utf-8", "surrogateescape"))
            if isinstance(thing, Name):
                info.type = tarfile.LNKTYPE
                info.linkname = (b"./" + thing.of).decode("utf-8", "surrogateescape")
                archive.addfile(info)
                continue
            info.type, info.linkname = _TYPES[thing.kind], thing.link
            info.mode, info.uid, info.gid = thing.mode, thing.uid, thing.gid
            info.mtime, info.devminor = thing.mtime, thing.minor
            if thing.attribute:
                info.pax_headers = {"SCHILY.xattr.user.x": thing.attribute}
            body = thing.content if thing.kind == "f" else b""
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def imported(repository: Repository, members: Iterable[tuple[bytes, Thing | Name]]) -> Snapshot:
    """Store an archive with these members, in this order."""
    return repository.snapshot(save(repository, [tar(members)]))


def captured(
    repository: Repository, tree: Tree, *, links: Mapping[bytes, int] | None = None, **facts: Any
) -> Snapshot:
    """Store a tree as a capture does: in order, the first name of an inode as the file.

    `links` says of how many names of a path the listing knew, where that was wrong.
    """
    return repository.snapshot(capture(repository, tree, links=links, **facts))


def capture(
    repository: Repository, tree: Tree, *, links: Mapping[bytes, int] | None = None, **facts: Any
) -> SnapshotId:
    """The same; return the snapshot's id."""
    names: dict[bytes, list[bytes]] = {}
    for path in sorted(tree, key=sort_key):
        found = tree[path]
        names.setdefault(found.of if isinstance(found, Name) else path, []).append(path)
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
            listed = None
            if entry.kind not in "gz":
                inode = hash(first[path]) & 0xFFFF
                listed = Listed(
                    path, entry.kind, 0, 0, 0, 0, 0, entry.mtime_ns, inode, count[path], 1, b""
                )
            recorder.add(entry, listed)
        manifest = recorder.finish()
        writer.finish()
    said: dict[str, Any] = {"time": NOW, "host": "here", "source": "volume:data", "run": "00"}
    return repository.commit(Snapshot(**(said | facts), manifest=manifest))
