"""Quantities as people write them: sizes, rates, shares."""

import re
from typing import Final

from backup.errors import UsageError

_SIZE: Final = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII
)
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%", re.ASCII)
_SLOWEST: Final = "1K"
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_percent(text: str, option: str) -> float | None:
    """Return the share that "5%" is, or None where the text is no percentage. Raises UsageError."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        return None
    if float(found[1]) > 100:
        raise UsageError(f"{option}: expected at most 100%, got {text!r}")
    return float(found[1]) / 100


def parse_size(text: str, option: str, *, least: str | None = None) -> int:
    """Return a size in bytes: 500, 500K, 1.5G, 2GiB, in powers of 1024. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option}: expected a size, got {text!r}", hint="write 500M or 2G")
    size = int(float(found["number"]) * 1024 ** _POWERS[found["unit"].upper()])
    if least is not None and size < parse_size(least, option):
        raise UsageError(f"{option}: expected at least {least}, got {text!r}")
    return size


def parse_rate(text: str | None, option: str) -> int | None:
    """Return how many bytes a second "2M" are; None for None. Raises UsageError."""
    if text is None:
        return None
    return parse_size(text, option, least=_SLOWEST)
