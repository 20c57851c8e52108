"""How long a request of a store may take.

Small objects must be written within a time that a repository relies on (docs/format.md, section
12); data may take as long as a slow line needs.
"""

from typing import Final

SMALL: Final = 1 << 20
"""Bytes; what a repository's writes depend on in time is smaller."""

SMALL_WITHIN_S: Final = 60.0

_SLOWEST: Final = 64 << 10
"""Bytes a second; a transfer that is slower on average is taken for a broken one."""


def within_s(size: int) -> float:
    """Return how long a transfer of so many bytes may take."""
    return SMALL_WITHIN_S + (size / _SLOWEST if size > SMALL else 0.0)
