"""Tar archives of plain files, and headers made by hand, for what no tar program would write."""

import hashlib
import io
import tarfile
from collections.abc import Mapping

END = bytes(1024)
GNU = b"ustar  \0"
POSIX = b"ustar\x0000"
V7 = bytes(8)

_NAME, _MODE, _UID, _GID, _SIZE, _MTIME, _SUM, _TYPE, _LINK, _MAGIC, _MAJOR, _MINOR, _PREFIX = (
    (0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100),
    (257, 8), (329, 8), (337, 8), (345, 155),
)  # fmt: skip


def noise(size: int, name: bytes = b"") -> bytes:
    """Bytes that no compression makes smaller, the same for a name."""
    return hashlib.shake_128(name).digest(size)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A whole archive, as Python writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def header(
    name: bytes,
    kind: bytes = b"0",
    size: int = 0,
    *,
    link: bytes = b"",
    magic: bytes = POSIX,
    at: dict[int, bytes] | None = None,
) -> bytes:
    """Make one header block; `at` writes over it, offset by offset, before the sum is taken."""
    block = bytearray(512)
    texts = [
        (_NAME, name), (_MODE, b"0000644\0"), (_UID, b"0000000\0"), (_GID, b"0000000\0"),
        (_SIZE, octal(size)), (_MTIME, b"14000000000\0"), (_TYPE, kind), (_LINK, link),
        (_MAGIC, magic),
    ]  # fmt: skip
    for (offset, _), text in texts:
        block[offset : offset + len(text)] = text
    for offset, text in (at or {}).items():
        block[offset : offset + len(text)] = text
    return signed(block)


def signed(block: bytes | bytearray) -> bytes:
    """Put the right checksum into a header."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(value: int) -> bytes:
    """Write a number as the 12 bytes of a size."""
    return b"%011o\0" % value


def padded(body: bytes) -> bytes:
    """Fill a body up to whole blocks."""
    return body + bytes(-len(body) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """Write one record of an extended header."""
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def extended(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Make an extended header with these records."""
    return extended_raw(b"".join(record(key, value) for key, value in records), kind=kind)


def extended_raw(payload: bytes, *, kind: bytes = b"x") -> bytes:
    """Make an extended header that says just this."""
    return header(b"pax", kind, len(payload)) + padded(payload)


def long_name(text: bytes, *, kind: bytes = b"L") -> bytes:
    """Make GNU's long name (L) or long link (K)."""
    return header(b"././@LongLink", kind, len(text), magic=GNU) + padded(text)


def old_sparse(name: bytes, size: int, realsize: int, regions: list[tuple[int, int]]) -> bytes:
    """Make an old GNU sparse header, with as many extension blocks as the regions need."""
    pairs = [octal(offset) + octal(length) for offset, length in regions]
    first = {386: b"".join(pairs[:4]), 482: bytes([len(pairs) > 4]), 483: octal(realsize)}
    blocks = [header(name, b"S", size, magic=GNU, at=first)]
    rest = pairs[4:]
    while rest:
        text = b"".join(rest[:21]).ljust(504, b"\0")
        rest = rest[21:]
        blocks.append((text + bytes([bool(rest)])).ljust(512, b"\0"))
    return b"".join(blocks)
