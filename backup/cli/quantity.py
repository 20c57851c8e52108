"""Quantities as people write them on a command line."""

import re
from typing import Final

from backup.errors import UsageError

_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str, option: str) -> int:
    """Return a size in bytes: 500, 500K, 1.5G, 2GiB, in powers of 1024. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option}: expected a size, got {text!r}", hint="write 500M or 2G")
    return int(float(found["number"]) * 1024 ** _POWERS[found["unit"].upper()])
