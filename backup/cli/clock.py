"""Times as people see them: the zone of this machine, and how long ago something was."""

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo


def machine_zone() -> tzinfo:
    """Return the time zone of this machine, or of TZ."""
    try:
        if os.environ.get("TZ"):
            return ZoneInfo(os.environ["TZ"].removeprefix(":"))
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):  # that nobody knows is a KeyError
        return UTC


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
