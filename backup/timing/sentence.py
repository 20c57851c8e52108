"""When something is due, said in a sentence: "every day at 03:00".

    every 15 minutes                     every monday and friday at 13:15
    every hour at :15                    every weekday at 02:00
    every 6 hours                        every 2 weeks on sunday at 04:00
    every day at 03:00 and 15:00         every month on the 1st and 15th at 05:00

Nothing is counted from the moment at which somebody started something, so a restart shifts
nothing. Hours count from midnight, minutes from the full hour, seconds from the full minute, and
only what divides a day, an hour or a minute into equal parts is understood. Days, weeks and months
count from 1 January 1970 (weeks from Monday the 5th). Without a time it is midnight, without a day
Monday, or the 1st.

**When clocks are put forward or back**, what is due every hour or more often is due whenever the
clock on the wall shows it, and misses nothing. All else is due once for each time that is named: at
the first moment after a gap that has swallowed it, and at the first only of two that look alike.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from enum import Enum
from typing import Final, NoReturn

from backup.errors import ConfigError

_MONDAY: Final = date(1970, 1, 5)
_EPOCH: Final = date(1970, 1, 1)
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEK: Final = {
    **{name: (number,) for number, name in enumerate(_WEEKDAYS)},
    **{name[:3]: (number,) for number, name in enumerate(_WEEKDAYS)},
    "weekday": (0, 1, 2, 3, 4),
    "weekend": (5, 6),
}
_PARTS: Final = {"second": 60, "minute": 60, "hour": 24}
"""How many there are of a unit before its count begins again."""
_WHOLE: Final = {"second": "a minute", "minute": "an hour", "hour": "a day"}
_MOST: Final = {"day": 366, "week": 52, "month": 12}
_WORDS: Final = (*_PARTS, *_MOST, *(name for name in _WEEK if len(name) > 3))
_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_MINUTE: Final = re.compile(r":([0-5]\d)", re.ASCII)
_DAY: Final = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,4}", re.ASCII)
_HINT: Final = (
    'write "every day at 03:00", "every 6 hours", "every hour at :15", "every monday at 13:15",'
    ' "every 2 weeks on sunday at 04:00" or "every month on the 1st at 05:00"'
)


class Unit(Enum):
    """What comes again and again."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A schedule, with what is said in several ways made one.

    MINUTE and HOUR have `marks`, the seconds or minutes in each of them ("every 15 minutes" is an
    HOUR with 0, 15, 30, 45). DAY, WEEK and MONTH have `times`, in order ("every 6 hours" is a DAY
    with four); they alone have an `interval` above 1. `weekdays` (Monday is 0) are of a WEEK,
    `month_days` of a MONTH.
    """

    unit: Unit
    interval: int = 1
    marks: tuple[int, ...] = ()
    times: tuple[time, ...] = ()
    weekdays: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()


def parse_sentence(text: str) -> Sentence:
    """Understand a schedule. Raises ConfigError, which says what was not understood."""
    words = [each for each in text.lower().replace(",", " and ").split() if each != "the"]
    if words[:1] != ["every"]:
        _refuse(text, 'it does not begin with "every"')
    head, at = _divided(words[1:], "at")
    head, on = _divided(head, "on")
    interval = 1
    if head and _NUMBER.fullmatch(head[0]):
        interval = int(head.pop(0))
    subject = _listed(text, head, "every")
    unit = subject[0].removesuffix("s") if len(subject) == 1 else ""
    if unit in _PARTS:
        if on is not None:
            _refuse(text, f'"on" goes with weeks and months, not with {unit}s')
        return _often(text, unit, interval, at)
    unit, days = _subject(text, subject, interval, on)
    if not 1 <= interval <= _MOST[unit]:
        _refuse(text, f"expected 1 to {_MOST[unit]} {unit}s, got {interval}")
    return Sentence(
        unit=Unit(unit),
        interval=interval,
        times=_times(text, at),
        weekdays=_weekdays(text, days or ["monday"]) if unit == "week" else (),
        month_days=_month_days(text, days or ["1st"]) if unit == "month" else (),
    )


def next_time(sentence: Sentence, after: datetime, zone: tzinfo) -> datetime:
    """Return when it is due next, strictly after a moment, as clocks in the zone show it: UTC."""
    after = after.astimezone(UTC)
    if sentence.unit is Unit.MINUTE:
        return _next_mark(sentence.marks, after.replace(microsecond=0), timedelta(seconds=1), zone)
    if sentence.unit is Unit.HOUR:
        minute = after.replace(second=0, microsecond=0)
        return _next_mark(sentence.marks, minute, timedelta(minutes=1), zone)
    moments = (
        _moment(datetime.combine(day, at), zone)
        for day in _days(sentence, after.astimezone(zone).date())
        for at in sentence.times
    )
    return next(moment for moment in moments if moment > after)


def _subject(
    text: str, subject: list[str], interval: int, on: list[str] | None
) -> tuple[str, list[str] | None]:
    """The unit, and the days of it; "every monday" is a week on Monday."""
    unit = subject[0].removesuffix("s") if len(subject) == 1 else ""
    if unit not in _MOST:
        _weekdays(text, subject)
        if on is not None or interval != 1:
            _refuse(text, f"only days, weeks and months are counted or divided, not {subject[0]!r}")
        return "week", subject
    if on is not None and unit == "day":
        _refuse(text, '"on" goes with weeks and months, not with days')
    return unit, None if on is None else _listed(text, on, "on")


def _next_mark(marks: Sequence[int], moment: datetime, step: timedelta, zone: tzinfo) -> datetime:
    while True:
        moment += step
        local = moment.astimezone(zone)
        if (local.second if step.seconds == 1 else local.minute) in marks:
            return moment


def _days(sentence: Sentence, day: date) -> Iterator[date]:
    """Those from a day on that are meant."""
    while True:
        if _meant(sentence, day):
            yield day
        day += timedelta(days=1)


def _meant(sentence: Sentence, day: date) -> bool:
    match sentence.unit:
        case Unit.WEEK:
            number = (day - _MONDAY).days // 7
            return day.weekday() in sentence.weekdays and number % sentence.interval == 0
        case Unit.MONTH:
            number = day.year * 12 + day.month - 1 - _EPOCH.year * 12
            return day.day in sentence.month_days and number % sentence.interval == 0
    return (day - _EPOCH).days % sentence.interval == 0


def _moment(local: datetime, zone: tzinfo) -> datetime:
    """Return when a clock in the zone first shows a time, or is already past it."""
    as_before = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    as_after = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if as_after >= as_before:  # once, or twice and this is the first
        return as_before
    # no clock shows it: the gap lies between the two
    offset = as_after.astimezone(zone).utcoffset()
    while as_before - as_after > timedelta(seconds=1):
        middle = as_after + timedelta(seconds=(as_before - as_after) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            as_after = middle
        else:
            as_before = middle
    return as_before


def _often(text: str, unit: str, interval: int, at: list[str] | None) -> Sentence:
    """What comes every few seconds, minutes or hours."""
    parts = _PARTS[unit]
    if not 1 <= interval < parts or parts % interval:
        good = [str(each) for each in range(1, parts) if parts % each == 0]
        _refuse(
            text,
            f"{interval} {unit}s do not divide {_WHOLE[unit]} into equal parts",
            f"{unit}s: {', '.join(good[:-1])} or {good[-1]}",
        )
    counts = tuple(range(0, parts, interval))
    if unit != "hour":
        if at is not None:
            _refuse(text, f'"at" goes with hours and days, not with {unit}s')
        return Sentence(unit=Unit.MINUTE if unit == "second" else Unit.HOUR, marks=counts)
    marks = _minutes(text, at)
    if interval == 1:
        return Sentence(unit=Unit.HOUR, marks=marks)
    return Sentence(unit=Unit.DAY, times=tuple(time(h, m) for h in counts for m in marks))


def _divided(words: list[str], at: str) -> tuple[list[str], list[str] | None]:
    """What stands before a word, and what behind it, None where it is not there."""
    if at not in words:
        return words, None
    place = words.index(at)
    return words[:place], words[place + 1 :]


def _listed(text: str, words: list[str], behind: str) -> list[str]:
    """What is listed as "a, b and c" behind a word."""
    if len(words) % 2 == 0 or any(word != "and" for word in words[1::2]) or "and" in words[::2]:
        _refuse(text, f'expected one thing, or "a, b and c", after {behind!r}, got {_said(words)}')
    return words[::2]


def _said(words: list[str]) -> str:
    return repr(" ".join(words)) if words else "nothing"


def _times(text: str, at: list[str] | None) -> tuple[time, ...]:
    if at is None:
        return (time(0),)
    found = set()
    for word in _listed(text, at, "at"):
        match = _TIME.fullmatch(word)
        if match is None:
            _refuse(text, f"expected a time from 00:00 to 23:59, got {word!r}")
        found.add(time(int(match[1]), int(match[2])))
    return tuple(sorted(found))


def _minutes(text: str, at: list[str] | None) -> tuple[int, ...]:
    if at is None:
        return (0,)
    found = set()
    for word in _listed(text, at, "at"):
        match = _MINUTE.fullmatch(word)
        if match is None:
            _refuse(text, f"expected a minute of the hour from :00 to :59, got {word!r}")
        found.add(int(match[1]))
    return tuple(sorted(found))


def _weekdays(text: str, words: list[str]) -> tuple[int, ...]:
    found: set[int] = set()
    for word in words:
        name = word if word in _WEEK else word.removesuffix("s")
        if name not in _WEEK:
            near = get_close_matches(name, _WORDS, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            _refuse(text, f"{word!r} is no unit and no day of the week{meant}")
        found.update(_WEEK[name])
    return tuple(sorted(found))


def _month_days(text: str, words: list[str]) -> tuple[int, ...]:
    found = set()
    for word in words:
        match = _DAY.fullmatch(word)
        if match is None or not 1 <= int(match[1]) <= 28:
            _refuse(text, f"expected a day that each month has, 1st to 28th, got {word!r}")
        found.add(int(match[1]))
    return tuple(sorted(found))


def _refuse(text: str, why: str, hint: str = _HINT) -> NoReturn:
    raise ConfigError(f"the schedule {text!r} is not understood: {why}", hint=hint)
