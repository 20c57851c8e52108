"""Times as people see them: the zone of this machine, and how long ago something was."""

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from backup.errors import ConfigError


def machine_zone() -> tzinfo:
    """Return the time zone of TZ, or else that of this machine. Raises ConfigError."""
    named = os.environ.get("TZ", "").removeprefix(":")
    return _zone(named) if named else machine_clock()


def machine_clock() -> tzinfo:
    """Return the time zone of this machine, which is not that of whoever has set TZ.

    Raises ConfigError.
    """
    return _zone("")


def _zone(named: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415  few commands ask for it

    try:
        if named:
            return ZoneInfo(named)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:  # as the C library has it
        return UTC
    except (OSError, ValueError, KeyError) as error:  # a zone that nobody knows is a KeyError
        raise ConfigError(
            f"the time zone {named or '/etc/localtime'!r} is not known",
            hint="TZ=Europe/Berlin names one, or time-zone in the configuration",
        ) from error


def ago_text(time: datetime | None, now: datetime) -> str:
    """Return how long ago something was, roughly; "never" for what was not."""
    return "never" if time is None else f"{_span_text((now - time).total_seconds())} ago"


def ahead_text(time: datetime | None, now: datetime) -> str:
    """Return in how long something will be, roughly; "" for what will not."""
    return "" if time is None else f"in {_span_text((time - now).total_seconds())}"


def _span_text(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
