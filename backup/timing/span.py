"""Spans of time as they are written: 30s, 5min, 2h, 7d, 1h30min."""

import re
from typing import Final

from backup.errors import ConfigError

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
_SPAN: Final = re.compile(
    r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,6})min)?(?:(\d{1,7})s)?", re.ASCII
)

_GRACE_LIMIT_S: Final = 3600.0


def parse_span(text: str, whose: str) -> float:
    """Return a span in seconds. Raises ConfigError.

    "m" is refused: a policy's spans mean months by it.
    """
    found = _SPAN.fullmatch(text)
    if not text or found is None:
        raise ConfigError(
            f"{whose}: expected a span of time, got {text!r}", hint="write 30s, 5min, 2h or 7d"
        )
    return sum(
        int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS.values(), strict=True)
    )


def parse_grace(text: str, whose: str) -> float:
    """Return how long a container may take to stop, in seconds. Raises ConfigError.

    An engine that is told to wait cannot be told to stop waiting: until then, the container
    neither runs nor starts again.
    """
    found = parse_span(text, whose)
    if found > _GRACE_LIMIT_S:
        raise ConfigError(f"{whose}: expected at most 1h, got {text!r}")
    return found


def parse_timeout(text: str, whose: str) -> float:
    """Return after how many seconds something is given up, which is more than none. Raises
    ConfigError."""
    found = parse_span(text, whose)
    if not found:
        raise ConfigError(f"{whose}: expected a span of some length, got {text!r}")
    return found
