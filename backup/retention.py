"""Which snapshots a policy keeps, and why: a pure function of their times and tags.

The rules are those of `restic forget`, the best known ones:

- Snapshots are looked at from the newest to the oldest, and one is kept if any rule keeps it.
- A counted rule (hourly, daily, ...) keeps the newest snapshot of each of the last n periods in
  which there is one; the oldest snapshot of all fills a rule that is not used up. Rules are
  independent: one snapshot may use up its place in several.
- `within` keeps everything younger than a duration, `within` of a period the newest of each period.
  Durations are measured back from the newest snapshot that is not in the future.
- Periods are those of the time that the snapshot itself records, with the offset it records; weeks
  are those of ISO 8601.
- A snapshot that has all tags of one of the tag lists is kept; an empty list means: has no tags.

Two things differ from restic: a pinned snapshot is always kept, and counts like any other; weeks
(`w`) are a unit of durations.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from itertools import count
from typing import Final

from backup.errors import Protected, UsageError

UNLIMITED: Final = -1
"""The count of a rule that is never used up."""

_DURATION: Final = re.compile("".join(f"(?:([0-9]{{1,6}}){unit})?" for unit in "ymwdh"))
_COUNT: Final = re.compile(r"[0-9]{1,9}")


class Period(Enum):
    """What a rule keeps one snapshot of."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"

    def of(self, time: datetime) -> tuple[int, ...]:
        """Return what is the same for all times in one period, and for no others."""
        if self is Period.WEEKLY:
            return tuple(time.isocalendar()[:2])
        parts = (time.year, time.month, time.day, time.hour)
        return parts[: _PARTS[self]]


_PARTS: Final = {Period.YEARLY: 1, Period.MONTHLY: 2, Period.DAILY: 3, Period.HOURLY: 4}


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of the calendar: months have the length that they have there."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def before(self, time: datetime) -> datetime:
        """Return the time so long before another one.

        A day that a month does not have is one of the next: a month before March 31 is March 2 or
        3. What lies before the calendar begins is its beginning.
        """
        try:
            return self._moved(time, -1)
        except (ValueError, OverflowError):
            return datetime.min.replace(tzinfo=time.tzinfo)

    def after(self, time: datetime) -> datetime:
        """Return the time so long after another one. Raises UsageError beyond the calendar."""
        try:
            return self._moved(time, 1)
        except (ValueError, OverflowError) as error:
            raise UsageError("a duration leads beyond the end of the calendar") from error

    def __mul__(self, times: int) -> "Duration":
        return Duration(
            self.years * times, self.months * times, self.days * times, self.hours * times
        )

    def _moved(self, time: datetime, sign: int) -> datetime:
        months = (time.year + sign * self.years) * 12 + time.month - 1 + sign * self.months
        year, month = divmod(months, 12)
        first = time.replace(year=year, month=month + 1, day=1)
        return first + timedelta(days=time.day - 1 + sign * self.days, hours=sign * self.hours)

    def __str__(self) -> str:
        parts = zip((self.years, self.months, self.days, self.hours), "ymdh", strict=True)
        return "".join(f"{number}{unit}" for number, unit in parts if number)

    def __bool__(self) -> bool:
        return any((self.years, self.months, self.days, self.hours))


def parse_duration(text: str, option: str) -> Duration:
    """Return what "1y6m2w10d3h" says; a part that is not there is 0. Raises UsageError."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise UsageError(
            f"{option}: expected a duration, got {text!r}",
            hint="write 30d, or 1y6m for a year and six months",
        )
    years, months, weeks, days, hours = (int(part or 0) for part in found.groups())
    return Duration(years, months, 7 * weeks + days, hours)


def parse_count(text: str, option: str) -> int:
    """Return what "7" or "unlimited" says. Raises UsageError."""
    if text == "unlimited":
        return UNLIMITED
    if not _COUNT.fullmatch(text):
        raise UsageError(f"{option}: expected a number or 'unlimited', got {text!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is to be kept. Counts are 0 (no such rule), a number, or UNLIMITED.

    Raises UsageError for other negative numbers.
    """

    last: int = 0
    counts: Mapping[Period, int] = field(default_factory=dict)
    within: Duration | None = None
    within_periods: Mapping[Period, Duration] = field(default_factory=dict)
    tags: Sequence[frozenset[str]] = ()

    def __post_init__(self) -> None:
        for number in (self.last, *self.counts.values()):
            if number < UNLIMITED:
                raise UsageError(f"a policy cannot keep {number} snapshots")

    def __bool__(self) -> bool:
        counted = self.last or any(self.counts.values())
        timed = self.within or any(self.within_periods.values())
        return bool(counted or timed or self.tags)

    def demand_rules(self) -> None:
        """Raise UsageError where nothing says what to keep."""
        if not self:
            raise UsageError(
                "the policy is empty: nothing says what to keep",
                hint="say what: --keep-daily 7 --keep-weekly 4 --keep-monthly 12",
            )


@dataclass(frozen=True, slots=True)
class Moment:
    """What a policy sees of a snapshot: `key` is the caller's, `time` has a zone.

    What counts of the zone is its offset at that time: the two hours that are one by the clock, at
    the end of summer, are in their order.
    """

    key: str
    time: datetime
    tags: frozenset[str] = frozenset()
    pinned: bool = False

    def __post_init__(self) -> None:
        # times of one zone would be compared by what the clock showed
        offset = self.time.utcoffset()
        if offset is None:
            raise ValueError(f"{self.time} has no zone")
        object.__setattr__(self, "time", self.time.astimezone(timezone(offset)))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a snapshot is kept: it is if there is a reason."""

    moment: Moment
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return bool(self.reasons)


def decide(
    moments: Iterable[Moment], policy: Policy, *, now: datetime, of: str = ""
) -> list[Decision]:
    """Return a decision for each snapshot of one group, the newest first.

    Raises UsageError for a policy without rules, and Protected for one that keeps none of the
    snapshots: nobody means to keep nothing. `of` says there what the group is.
    """
    policy.demand_rules()
    ordered = sorted(moments, key=lambda moment: moment.time.astimezone(UTC), reverse=True)
    if not ordered:
        return []
    # where all are in the future there is nothing to measure from but the newest of them
    newest = next((each.time for each in ordered if each.time <= now), ordered[0].time)
    rules = list(_rules(policy, newest))
    oldest = ordered[-1]
    decisions = [
        Decision(each, tuple(reason for rule in rules for reason in rule(each, each is oldest)))
        for each in ordered
    ]
    if not any(each.kept for each in decisions):
        raise Protected(
            f"the policy keeps none of {len(ordered)} snapshots{f' of {of}' if of else ''}",
            hint="to forget them all, name them: `voltar forget ID …`",
        )
    return decisions


_Rule = Callable[[Moment, bool], Iterator[str]]


def _rules(policy: Policy, newest: datetime) -> Iterator[_Rule]:
    yield _pinned
    if policy.last:
        numbers = count()
        yield _counted("last", policy.last, lambda _: (next(numbers),))
    for period in Period:
        if policy.counts.get(period):
            yield _counted(period.value, policy.counts[period], period.of)
    if policy.within:
        yield _within(f"within {policy.within}", policy.within.before(newest))
    for period in Period:
        duration = policy.within_periods.get(period)
        if duration:
            yield _counted(
                f"{period.value} within {duration}",
                UNLIMITED,
                period.of,
                since=duration.before(newest),
            )
    for wanted in policy.tags:
        yield _tagged(wanted)


def _counted(
    name: str,
    left: int,
    bucket: Callable[[datetime], tuple[int, ...]],
    *,
    since: datetime | None = None,
) -> _Rule:
    before: tuple[int, ...] | None = None

    def rule(moment: Moment, oldest: bool) -> Iterator[str]:
        nonlocal before, left
        if since is not None and moment.time <= since:
            return
        this = bucket(moment.time)
        if left and (this != before or oldest):
            yield name if this != before else f"oldest {name}"
            before = this
            left -= left > 0

    return rule


def _within(name: str, since: datetime) -> _Rule:
    def rule(moment: Moment, _oldest: bool) -> Iterator[str]:
        if moment.time > since:
            yield name

    return rule


def _pinned(moment: Moment, _oldest: bool) -> Iterator[str]:
    if moment.pinned:
        yield "pinned"


def _tagged(wanted: frozenset[str]) -> _Rule:
    def rule(moment: Moment, _oldest: bool) -> Iterator[str]:
        if wanted <= moment.tags if wanted else not moment.tags:
            yield f"tagged {','.join(sorted(wanted))}" if wanted else "not tagged"

    return rule
