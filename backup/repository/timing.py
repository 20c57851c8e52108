"""How long is waited before anything is deleted (docs/format.md, section 12).

Prune, backup and forget run beside one another without locks: each keeps to these spans instead,
and they are part of the format, for whoever writes to a repository must use the same ones. The
argument why that is safe needs MARGIN ≥ 2 (LONGEST_WRITE + SKEW), and less than both GRACE and
UNDELETE.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

Clock = Callable[[], datetime]
"""Returns the time, in UTC."""

GRACE: Final = timedelta(hours=24)
"""How long a pack that is condemned stays: a backup may refer to what it saw for nearly so long."""

UNDELETE: Final = timedelta(hours=24)
"""How long a forgotten snapshot stays."""

MARGIN: Final = timedelta(hours=1)
"""How much sooner than that a backup must be committed, and a snapshot brought back."""

SKEW: Final = timedelta(minutes=15)
"""By how much the clocks of two hosts may differ."""

LONGEST_WRITE: Final = timedelta(minutes=10)
"""From a look at the clock to the effect of the put or delete that it allowed, at most."""


def is_future(time: datetime, now: datetime) -> bool:
    """Tell whether a time was told by a clock that was wrong: no skew explains it."""
    return time > now + SKEW
