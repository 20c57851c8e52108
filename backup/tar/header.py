r"""Decode the 512-byte headers of a tar stream, as GNU tar decodes them.

GNU tar extracts what is restored, so where archives are ambiguous its reading is the right one:
base-256 numbers, C strings that end at the first NUL, a checksum that may be summed over signed
bytes. What GNU tar would complain about is refused here.
"""

import re
import struct
from functools import lru_cache
from zlib import adler32

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
POSIX_MAGIC = b"ustar\0"
GNU_MAGIC = b"ustar  \0"
MAX_SIZE = 2**63 - 1
MAX_ID = 2**32 - 1
MAX_RECORDS = 200_000
"""Records of an extended header: a small one may hold millions, and each takes 200 bytes."""

fields = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x").unpack
"""name, mode, uid, gid, size, mtime, sum, type, link, magic, user, group, major, minor, prefix"""

_NANO = 1_000_000_000
# maybe a NUL, blanks, then octal digits up to a blank, a NUL or the end; but NULs alone are 0
_NUMBER = re.compile(rb"\0?+\s*+(?:([0-7]++)(?:[\s\0]|\Z)|\0)").match
_TIME = re.compile(rb"(-?)(\d{1,18})(?:\.(\d*))?").fullmatch


class HeaderError(ValueError):
    """A header says what cannot be, or what readers of tar would understand differently."""


def verify(block: bytes) -> None:
    """Raise HeaderError unless the block's checksum is right, by unsigned or by signed bytes."""
    # adler32's low half is the sum of the bytes plus 1, modulo 65521: exact for up to 256 bytes
    total = (
        (adler32(block[:148]) & 0xFFFF)
        + (adler32(block[156:412]) & 0xFFFF)
        + (adler32(block[412:]) & 0xFFFF)
        + 8 * 0x20
        - 3
    )
    if block[148:156] == b"%06o\0 " % total:
        return
    recorded = number(block[148:156])
    if recorded == total:
        return
    negative = sum(1 for byte in block[:148] + block[156:] if byte > 127)
    if recorded != total - 256 * negative:
        raise HeaderError("the header's checksum is wrong")


def number(field: bytes) -> int:
    """Decode a numeric field: octal, or base-256 where the first byte is 0x80 or 0xff."""
    digits = field[:-1]
    if digits.isdigit() and field[-1] in b"\0 ":
        try:
            return int(digits, 8)
        except ValueError:
            raise HeaderError(f"{digits!r} is not an octal number") from None
    return _unusual_number(field)


def _unusual_number(field: bytes) -> int:
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    elif field[0] == 0xFF:
        value = int.from_bytes(field, "big", signed=True)
    else:
        match = _NUMBER(field)
        if not match:
            raise HeaderError(f"{field!r} is not a number")
        value = int(match[1] or b"0", 8)
    if not -MAX_SIZE <= value <= MAX_SIZE:
        raise HeaderError(f"the number {value} is out of range")
    return value


@lru_cache(4096)
def mode(field: bytes) -> int:
    """Decode permission bits; what else older tars put there is dropped."""
    return number(field) & 0o7777


@lru_cache(4096)
def identity(field: bytes) -> int:
    """Decode a user or group id."""
    value = number(field)
    if not 0 <= value <= MAX_ID:
        raise HeaderError(f"{value} is not a user or group id")
    return value


def text(field: bytes) -> bytes:
    """Decode a string field: up to the first NUL."""
    return field.partition(b"\0")[0]


def is_star(block: bytes) -> bool:
    """Tell whether a header with POSIX magic is one of star's, whose prefix is shorter."""
    return (
        block[475] == 0
        and block[476] in b"01234567"
        and block[487] == 0x20
        and block[488] in b"01234567"
        and block[499] == 0x20
    )


def records(payload: bytes) -> list[tuple[str, bytes]]:
    """Decode the records of an extended header, in their order; each is "LENGTH KEY=VALUE\\n"."""
    result = []
    at = 0
    while at < len(payload):
        blank = payload.find(b" ", at, at + 21)
        length = payload[at : max(blank, at)]
        if not length.isdigit():
            if payload.count(0, at) == len(payload) - at:
                break
            raise HeaderError("a record of the extended header has no length")
        end = at + int(length)
        if end > len(payload) or end <= blank or payload[end - 1] != 0x0A:
            raise HeaderError("a record of the extended header has a wrong length")
        key, equals, value = payload[blank + 1 : end - 1].partition(b"=")
        if not (equals and key) or key[0] in b" \t" or 0 in key:
            raise HeaderError("a record of the extended header has no proper key")
        result.append((key.decode("utf-8", "surrogateescape"), value))
        if len(result) > MAX_RECORDS:
            raise HeaderError(f"an extended header has too many records ({len(payload)} bytes)")
        at = end
    return result


def decimal(key: str, value: bytes, limit: int) -> int:
    """Decode a whole number of an extended header."""
    if not value.isdigit() or len(value) > 20 or int(value) > limit:
        raise HeaderError(f"{key} in the extended header is {value[:40]!r}")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """Decode a time of an extended header; parts of a nanosecond go down, as in GNU tar."""
    seconds, _, fraction = value.partition(b".")
    if len(fraction) == 9 and fraction.isdigit() and seconds.isdigit() and len(seconds) < 19:
        return int(seconds) * _NANO + int(fraction)
    match = _TIME(value)
    if not match:
        raise HeaderError(f"a time in the extended header is {value[:40]!r}")
    sign, seconds, fraction = match.groups(b"")
    magnitude = int(seconds) * _NANO + int(fraction[:9].ljust(9, b"0"))
    if not sign:
        return magnitude
    finer = bool(fraction[9:].strip(b"0"))
    return -magnitude - finer


def string(key: str, value: bytes) -> bytes:
    """Decode a path of an extended header: without NULs, where GNU tar would cut it off."""
    if 0 in value:
        raise HeaderError(f"{key} in the extended header has a NUL in it")
    return value
