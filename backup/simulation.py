"""What a policy will keep: a history is continued by imagined snapshots, and the policy applied
once a day, as a nightly job would."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from backup.errors import UsageError
from backup.retention import Decision, Duration, Moment, Policy, decide

IMAGINED: Final = ""
"""The key of snapshots that were never made."""

_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How the future is imagined: a snapshot `every` so often, from `start` on, `span` long."""

    start: datetime
    every: Duration
    span: Duration

    def times(self) -> list[datetime]:
        """Return when snapshots are made, the first one `every` after the start.

        Raises UsageError where that is never, or too often to be worked out.
        """
        if not self.every:
            raise UsageError("--every: a backup cannot follow at once", hint="write 1d or 6h")
        end = self.span.after(self.start)
        return list(self._times(end))

    def _times(self, end: datetime) -> Iterator[datetime]:
        for number in count(1):
            time = (self.every * number).after(self.start)
            if time > end:
                return
            if number > _LIMIT:
                raise UsageError(f"more than {_LIMIT} backups are too many to be imagined")
            yield time


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of a history: counts of snapshots, and what is left at the end.

    There are `before` snapshots, of which the policy keeps `today`; `added` were imagined. `most`
    is how many there were at once from then on. `left` has the newest first.
    """

    before: int
    today: int
    added: int
    most: int
    end: datetime
    left: list[Decision]


def simulate(
    moments: Sequence[Moment], policy: Policy, course: Course, *, of: str = ""
) -> Simulated:
    """Apply a policy to a history of one group, and day by day while it goes on as imagined.

    Where there is no history, the first imagined snapshot is made at the start. Imagined snapshots
    have the tags of the newest real one. Raises UsageError, and Protected as `decide` does.
    """
    policy.demand_rules()
    history = list(moments) or [Moment(IMAGINED, course.start)]
    tags = max(history, key=lambda each: each.time).tags
    decisions = decide(history, policy, now=course.start, of=of)
    today = sum(each.kept for each in decisions)
    most = today
    added = 0 if moments else 1
    for times in _days(course.times(), course.start):
        there = [each.moment for each in decisions if each.kept]
        there += [Moment(IMAGINED, time, tags) for time in times]
        decisions = decide(there, policy, now=times[-1], of=of)
        most, added = max(most, len(there)), added + len(times)
    return Simulated(
        before=len(moments),
        today=today if moments else 0,
        added=added,
        most=most,
        end=course.span.after(course.start),
        left=[each for each in decisions if each.kept],
    )


def _days(times: Sequence[datetime], start: datetime) -> Iterator[list[datetime]]:
    """Yield the times of each day that has some, days being counted from the start."""
    day: list[datetime] = []
    for time in times:
        if day and (time - start) // timedelta(days=1) != (day[-1] - start) // timedelta(days=1):
            yield day
            day = []
        day.append(time)
    if day:
        yield day
