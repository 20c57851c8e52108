"""An independent look at a directory, to compare what was restored with what was there.

    before = snapshot(b"/var/lib/…/_data")      {path: Facts}, the directory itself being b""
    assert diff(before, snapshot(other)) == []

Made of lstat, readlink, llistxattr, lgetxattr, read and SEEK_DATA alone. Nothing of it comes from
voltar. Only data segments are read, so that a hole of 1 TiB costs nothing, and everything is opened
relative to an open directory, because paths may be as long as the kernel takes them.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

BLOCK = 64 << 10
LONGEST = 4000
"""A relative path of more bytes is opened in steps: the kernel takes 4,095."""
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


class Segment(NamedTuple):
    """A stretch of a file that is not a hole, in bytes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true of one path; what its kind does not have is 0 or empty."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    device: tuple[int, int] = (0, 0)
    link: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    content: str = ""
    data: tuple[Segment, ...] = ()
    names: tuple[bytes, ...] = ()
    """All names of its hard-link group within the directory, if there are several."""


def snapshot(directory: bytes | str | os.PathLike[str]) -> dict[bytes, Facts]:
    """Look at everything in a directory, and at itself (b"")."""
    root = os.open(os.fsencode(directory), os.O_RDONLY | os.O_DIRECTORY)
    try:
        groups: dict[tuple[int, int], list[bytes]] = {}
        found = dict(walk(root, groups))
    finally:
        os.close(root)
    for names in groups.values():
        if len(names) > 1:
            for name in names:
                found[name] = with_names(found[name], tuple(sorted(names)))
    return found


def walk(root: int, groups: dict[tuple[int, int], list[bytes]]) -> Iterator[tuple[bytes, Facts]]:
    """Yield paths and their facts; `groups` gets the paths of each inode with several links."""
    yield b"", facts(root, b".")
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        directory = opened(root, path)
        try:
            listed = os.listdir(directory)
            for name in sorted(map(os.fsencode, listed)):
                below = path + b"/" + name if path else name
                seen = os.lstat(name, dir_fd=directory)
                if stat.S_ISDIR(seen.st_mode):
                    waiting.append(below)
                elif seen.st_nlink > 1:
                    groups.setdefault((seen.st_dev, seen.st_ino), []).append(below)
                yield below, facts(directory, name)
        finally:
            os.close(directory)


def opened(root: int, path: bytes) -> int:
    """Open a directory below another, however long the path between them is."""
    directory = os.dup(root)
    while path:
        cut = len(path) if len(path) <= LONGEST else path.rindex(b"/", 0, LONGEST)
        step, path = path[:cut], path[cut + 1 :]
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        below = os.open(step, flags, dir_fd=directory)
        os.close(directory)
        directory = below
    return directory


def facts(directory: int, name: bytes) -> Facts:
    """Look at one name in an open directory."""
    seen = os.lstat(name, dir_fd=directory)
    kind = KINDS[stat.S_IFMT(seen.st_mode)]
    content, data = contents(directory, name, seen.st_size) if kind == "file" else ("", ())
    is_device = kind.endswith("device")
    return Facts(
        kind=kind,
        mode=stat.S_IMODE(seen.st_mode),
        uid=seen.st_uid,
        gid=seen.st_gid,
        size=seen.st_size if kind == "file" else 0,
        mtime_ns=seen.st_mtime_ns,
        device=(os.major(seen.st_rdev), os.minor(seen.st_rdev)) if is_device else (0, 0),
        link=os.readlink(name, dir_fd=directory) if kind == "symlink" else b"",
        xattrs=attributes(directory, name),
        content=content,
        data=data,
    )


def attributes(directory: int, name: bytes) -> tuple[tuple[str, bytes], ...]:
    """Every extended attribute, ACLs and capabilities among them; those of a symlink itself."""
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return tuple((each, os.getxattr(path, each, follow_symlinks=False)) for each in names)


def contents(directory: int, name: bytes, size: int) -> tuple[str, tuple[Segment, ...]]:
    """A digest of what a file holds, the same whether zeros are stored or not; and its data map."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME
    file = os.open(name, flags, dir_fd=directory)
    try:
        data = tuple(segments(file, size))
        digest = hashlib.sha256(b"%d" % size)
        for start in blocks(data):
            block = os.pread(file, BLOCK, start)
            if block.count(0) != len(block):
                digest.update(b"%d:" % start)
                digest.update(block)
        return digest.hexdigest(), data
    finally:
        os.close(file)


def segments(file: int, size: int) -> Iterator[Segment]:
    """Where a file has data, as the file system tells it."""
    position = 0
    while position < size:
        try:
            start = os.lseek(file, position, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole from here on
            return
        position = os.lseek(file, start, os.SEEK_HOLE)
        yield Segment(start, position)


def blocks(data: Collection[Segment]) -> Iterator[int]:
    """The starts of the aligned blocks that have data in them, each once."""
    reached = 0
    for segment in data:
        first = max(reached, segment.start // BLOCK * BLOCK)
        yield from range(first, segment.end, BLOCK)
        reached = max(reached, -(-segment.end // BLOCK) * BLOCK)


def with_names(known: Facts, names: tuple[bytes, ...]) -> Facts:
    """The same facts with the names of the hard-link group."""
    values = {field.name: getattr(known, field.name) for field in fields(known)}
    return Facts(**(values | {"names": names}))


def diff(
    expected: Mapping[bytes, Facts], actual: Mapping[bytes, Facts], *, ignore: Collection[str] = ()
) -> list[str]:
    """Say what differs, a printable line each; `ignore` has names of fields of Facts."""
    lines = []
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            lines.append(f"{path!r}: missing ({expected[path].kind})")
        elif path not in expected:
            lines.append(f"{path!r}: should not be there ({actual[path].kind})")
        else:
            lines += differences(path, expected[path], actual[path], ignore)
    return lines


def differences(path: bytes, expected: Facts, actual: Facts, ignore: Collection[str]) -> list[str]:
    """Say what differs at one path."""
    return [
        f"{path!r}: {field.name}: expected {shown(field.name, want)}, got {shown(field.name, have)}"
        for field in fields(Facts)
        if field.name not in ignore
        and (want := getattr(expected, field.name)) != (have := getattr(actual, field.name))
    ]


def shown(field: str, value: object) -> str:
    """A value, printable and short."""
    if field == "mode" and isinstance(value, int):
        return f"{value:04o}"
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
