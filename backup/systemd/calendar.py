"""A schedule as systemd understands it: OnCalendar=.

systemd leaves out a time that a clock put forward never shows, and the second hour of two that look
alike; a sentence loses neither (`backup.timing.sentence`). So hours and minutes are counted in
UTC, and where clocks are put forward the moment is named beside the rule, for ten years.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NoReturn

from backup.errors import ConfigError
from backup.timing.sentence import Sentence, Unit, next_time

_YEARS: Final = 10
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def on_calendar(
    sentence: Sentence, clock: tzinfo, *, zone: str | None, since: datetime
) -> list[str]:
    """Return what OnCalendar= says, a line each. `zone` is the name of the clock's, None for that
    of the machine. Raises ConfigError for what cannot be said.
    """
    if sentence.unit is Unit.MINUTE:
        return [f"*-*-* *:*:{_numbers(sentence.marks)} UTC"]
    if sentence.unit is Unit.HOUR:
        shift = _shift(clock, since)
        return [f"*-*-* *:{_numbers((mark - shift) % 60 for mark in sentence.marks)}:00 UTC"]
    days = _days(sentence)
    named = [f"{days} {at:%H:%M}:00{f' {zone}' if zone else ''}" for at in sentence.times]
    swallowed = _swallowed(sentence, clock, since)
    return named + [f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in swallowed]


def _days(sentence: Sentence) -> str:
    if sentence.unit is Unit.MONTH and 12 % sentence.interval == 0:
        months = "*" if sentence.interval == 1 else _numbers(range(1, 13, sentence.interval))
        return f"*-{months}-{_numbers(sentence.month_days)}"
    if sentence.interval != 1:
        _refuse(f"every {sentence.interval} {sentence.unit.value}s")
    if sentence.unit is Unit.WEEK:
        return f"{','.join(_WEEKDAYS[day] for day in sentence.weekdays)} *-*-*"
    return "*-*-*"


def _shift(clock: tzinfo, since: datetime) -> int:
    """The minute of a clock in the zone at the full hour of UTC."""
    found = {
        (since + timedelta(days=day)).astimezone(clock).utcoffset() for day in range(0, 731, 7)
    }
    shifts = {int(offset.total_seconds()) // 60 % 60 for offset in found if offset is not None}
    if len(shifts) != 1:
        _refuse("minutes of the hour in a zone that shifts its clocks by less than an hour")
    return shifts.pop()


def _swallowed(sentence: Sentence, clock: tzinfo, since: datetime) -> Iterator[datetime]:
    moment = datetime(since.year, 1, 1, tzinfo=UTC)
    end = moment.replace(year=since.year + _YEARS)
    while (moment := next_time(sentence, moment, clock)) < end:
        if moment.astimezone(clock).time() not in sentence.times:
            yield moment


def _numbers(numbers: Iterator[int] | range | tuple[int, ...]) -> str:
    return ",".join(f"{number:02}" for number in sorted(numbers))


def _refuse(what: str) -> NoReturn:
    raise ConfigError(
        f"timers of systemd cannot say {what!r}",
        hint="`voltar systemd install --daemon` has voltar's own scheduler run all jobs instead",
    )
