"""Make an entry of the headers that describe one member of a tar archive.

Precedence is GNU tar's: a record of the member's own extended header, a record of the global header
in force, a GNU long name, the header's own field. Anything that tar -x and other readers understand
in different ways, so that they would look for the next header in different places, is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from backup.blocks import Block
from backup.tar import header
from backup.tar.header import MAX_ID, MAX_SIZE, HeaderError
from backup.tar.sparse import BodyMap, OldMap, pax_map

_NANO = 1_000_000_000
_NOTHING: Iterator[Block] = iter(())
_KINDS = {b"1": "h", b"2": "l", b"3": "c", b"4": "b", b"5": "d", b"6": "p", b"D": "d", b"V": "g"}
_REGULAR = (b"0", b"\0", b"7")
_ONE_VOLUME_ONLY = ("GNU.volume.filename", "GNU.volume.size", "GNU.volume.offset")

Map: TypeAlias = OldMap | BodyMap | None


@dataclass(slots=True)
class Entry:
    """One member of an archive. Its body can be read once, before the next entry is asked for.

    kind: f file, d directory, l symbolic link, h hard link, c and b devices, p fifo; g what is
    about the archive and no file (global extended header, volume label); z the end, from the first
    zero block on.
    """

    head: bytes
    """Extended headers, header and old GNU sparse maps as they came; b"" for z."""
    kind: str
    path: bytes
    """As archived; b"" for g and z."""
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of the file, holes included."""
    mtime_ns: int
    major: int
    minor: int
    pax: dict[str, bytes]
    """Records of extended headers that are in force, global ones included."""
    body_size: int | None
    """Bytes of the body in the stream, without padding; None for z, whose body is all the rest."""
    body: Iterator[Block]
    padding: bytes = b""
    """Once the body was read: what pads it, where that is not zeros as usual."""


@dataclass(slots=True)
class Ahead:
    """What extended headers say of the member that follows them."""

    head: list[bytes] = field(default_factory=list)
    records: list[tuple[str, bytes]] = field(default_factory=list)
    sparse: bool = False
    path: bytes | None = None
    link: bytes | None = None


NOTHING_AHEAD = Ahead()


def about_archive(head: bytes, records: list[tuple[str, bytes]]) -> Entry:
    """Make the entry of a global extended header."""
    pax = dict(records)
    if len(pax) != len(records):  # GNU tar goes by the first of two, others by the last
        raise HeaderError("a global header has two records of one key")
    for key in pax:
        if key.startswith("GNU.sparse."):
            raise HeaderError("a global header has records of a sparse file")
        if key in _ONE_VOLUME_ONLY:
            raise HeaderError("the archive is continued from another volume")
    return Entry(head, "g", b"", b"", 0, 0, 0, 0, 0, 0, 0, pax, 0, _NOTHING)


def end_of_archive(rest: Iterator[Block]) -> Entry:
    """Make the last entry."""
    return Entry(b"", "z", b"", b"", 0, 0, 0, 0, 0, 0, 0, {}, None, rest)


def member(block: bytes, ahead: Ahead, shared: dict[str, bytes]) -> tuple[Entry, Map]:
    """Make the entry of a member, its body still to be set; give its sparse map too, if it has one.

    An OldMap may want more blocks: they belong to the entry's head.
    """
    (name, mode, uid, gid, size, mtime, _, code, link, magic, _, _, major, minor, prefix) = (
        header.fields(block)
    )
    pax = {**shared, **dict(ahead.records)} if shared or ahead.records else {}
    posix = magic.startswith(header.POSIX_MAGIC)
    path = _path(name, prefix if posix else b"", ahead, pax)
    body_size = _body_size(size, code, pax)
    entry = Entry(
        block if ahead is NOTHING_AHEAD else b"".join([*ahead.head, block]),
        _kind(code, path, ahead.sparse, body_size),
        path,
        _link(link, ahead, pax),
        header.mode(mode),
        header.decimal("uid", pax["uid"], MAX_ID) if "uid" in pax else header.identity(uid),
        header.decimal("gid", pax["gid"], MAX_ID) if "gid" in pax else header.identity(gid),
        body_size,
        header.nanoseconds(pax["mtime"]) if "mtime" in pax else header.number(mtime) * _NANO,
        *((header.number(major), header.number(minor)) if code in (b"3", b"4") else (0, 0)),
        pax,
        body_size,
        _NOTHING,
    )
    if ahead.sparse or code == b"S":
        return entry, _sparse(entry, block, ahead, posix)
    if code == b"V":
        entry.path = entry.link = b""
    return entry, None


def _path(name: bytes, prefix: bytes, ahead: Ahead, pax: dict[str, bytes]) -> bytes:
    for key in ("GNU.sparse.name", "path"):
        if key in pax:
            return header.string(key, pax[key])
    if ahead.path is not None:
        return ahead.path
    if prefix and prefix[0]:
        return header.text(prefix) + b"/" + header.text(name)
    return header.text(name)


def _link(link: bytes, ahead: Ahead, pax: dict[str, bytes]) -> bytes:
    if "linkpath" in pax:
        return header.string("linkpath", pax["linkpath"])
    return header.text(link) if ahead.link is None else ahead.link


def _body_size(field: bytes, code: bytes, pax: dict[str, bytes]) -> int:
    # hard links and directories have no body, whatever their header says; all readers agree on that
    size = 0 if code in (b"1", b"5") else header.number(field)
    if "size" in pax:
        size = header.decimal("size", pax["size"], MAX_SIZE)
    if size < 0:
        raise HeaderError("the size of a body is negative")
    return size


def _kind(code: bytes, path: bytes, sparse: bool, body_size: int) -> str:
    if code == b"M":
        raise HeaderError(f"{path!r} is continued from another volume")
    kind = _KINDS.get(code, "f")
    if code in _REGULAR and path.endswith(b"/") and not sparse:
        kind = "d"
    # tar -x looks for the next header right behind these, tar -t and others behind a body
    if body_size and kind not in "fg" and code != b"D":
        raise HeaderError("a body belongs to an entry that cannot have one")
    return kind


def _sparse(entry: Entry, block: bytes, ahead: Ahead, posix: bool) -> Map:
    size = entry.body_size or 0
    star = posix and header.is_star(block)
    if ahead.sparse:
        if star or not posix or block[156:157] not in _REGULAR:
            raise HeaderError("the records of a sparse file belong to something else")
        entry.size, found = pax_map(ahead.records, size)
        return found
    if star:
        raise HeaderError("a sparse file is stored in the way of star, which is not supported")
    if block[257:265] != header.GNU_MAGIC:
        return None
    old = OldMap(block, size)
    entry.size = old.apparent
    return old
