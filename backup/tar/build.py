"""Headers of our own making: the end of an archive, and members under other names.

A selection of a snapshot may hold a hard link and not the member that it links to. The link then
becomes the file: the member's headers are kept as they are, but for the name. And tar stores FIFOs
and devices with several names as so many of them; the second becomes a hard link here.
"""

import re
from typing import Final

from backup.tar import header
from backup.tar.entry import Entry
from backup.tar.header import BLOCK

END_SIZE: Final = 2 * BLOCK
_MADE_UP: Final = b"GNUSparseFile."
_PROCESS: Final = re.compile(rb"GNUSparseFile\.\d+")
_EXTENDED: Final = b"xXLK"
_NAMES: Final = ("path", "GNU.sparse.name")


def end_of_archive() -> Entry:
    """Return the shortest end that an archive may have: two blocks of zeros."""
    blocks = iter((bytes(END_SIZE),))
    return Entry(b"", "z", b"", b"", 0, 0, 0, 0, 0, 0, 0, {}, None, blocks)


def renamed(head: bytes, *, path: bytes | None = None, link: bytes | None = None) -> bytes:
    """Return a member's raw headers with another name, or another link target, or both."""
    records, at = extended(head)
    if path is not None:
        sparse = any(key == "GNU.sparse.name" for key, _ in records)
        records = [(key, value) for key, value in records if key not in _NAMES]
        records.append(("GNU.sparse.name" if sparse else "path", path))
    if link is not None:
        records = [(key, value) for key, value in records if key != "linkpath"]
        records.append(("linkpath", link))
    block = bytearray(head[at : at + BLOCK])
    if path is not None:
        block[0:100] = path[:100].ljust(100, b"\0")
        if block[257:263] == header.POSIX_MAGIC:
            block[345:500] = bytes(155)  # others have times and sparse maps there
    if link is not None:
        block[157:257] = link[:100].ljust(100, b"\0")
    return _pax(records, bytes(block)) + _summed(block) + head[at + BLOCK :]


def linked(head: bytes, target: bytes) -> bytes:
    """Return a member's raw headers as those of a hard link to `target`."""
    records, at = extended(head)
    block = bytearray(head[at : at + BLOCK])
    block[156:157] = b"1"
    block[124:136] = b"%011o\0" % 0
    block[329:345] = bytes(16)
    return renamed(_pax(records, bytes(block)) + _summed(block), link=target)


def impersonal(head: bytes) -> bytes:
    """Return raw headers without tar's process id, which each run changes in sparse members.

    GNU tar writes a made-up name for programs that do not know sparse members, the id in it.
    """
    if _MADE_UP not in head:
        return head
    _, at = extended(head)
    block = bytearray(head[at : at + BLOCK])
    block[0:100] = _PROCESS.sub(b"GNUSparseFile.0", block[0:100]).ljust(100, b"\0")[:100]
    return head[:at] + _summed(block) + head[at + BLOCK :]


def extended(head: bytes) -> tuple[list[tuple[str, bytes]], int]:
    """Return what the extended headers say, as pax records, and where the header itself begins."""
    records: list[tuple[str, bytes]] = []
    at = 0
    while head[at + 156] in _EXTENDED:
        size = header.number(head[at + 124 : at + 136])
        payload = head[at + BLOCK : at + BLOCK + size]
        code = head[at + 156 : at + 157]
        if code == b"L":
            records.append(("path", header.text(payload)))
        elif code == b"K":
            records.append(("linkpath", header.text(payload)))
        else:
            records += header.records(payload)
        at += BLOCK + size + -size % BLOCK
    return records, at


def _pax(records: list[tuple[str, bytes]], block: bytes) -> bytes:
    """Return an extended header with these records; owner and time are those of `block`."""
    payload = b"".join(_record(key, value) for key, value in records)
    ahead = bytearray(block)
    ahead[0:100] = b"PaxHeaders/renamed".ljust(100, b"\0")
    ahead[124:136] = b"%011o\0" % len(payload)
    ahead[156:157] = b"x"
    ahead[157:257] = bytes(100)
    ahead[257:265] = b"ustar\00000"
    ahead[345:512] = bytes(167)
    return _summed(ahead) + payload + bytes(-len(payload) % BLOCK)


def _record(key: str, value: bytes) -> bytes:
    """Return "LENGTH KEY=VALUE\\n", whose length counts its own digits (POSIX pax)."""
    rest = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def _summed(block: bytearray) -> bytes:
    """Return a header block with its checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
