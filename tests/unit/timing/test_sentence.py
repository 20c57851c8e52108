from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.errors import ConfigError
from backup.timing.sentence import Sentence, Unit, next_time, parse_sentence

_MINUTE = timedelta(minutes=1)
_QUARTERS = (0, 15, 30, 45)
ZONES = sorted(available_timezones() - {"localtime"})


def day(*times: time, interval: int = 1) -> Sentence:
    return Sentence(unit=Unit.DAY, interval=interval, times=times)


def week(*weekdays: int, at: time, interval: int = 1) -> Sentence:
    return Sentence(unit=Unit.WEEK, interval=interval, times=(at,), weekdays=weekdays)


def month(*days: int, at: time, interval: int = 1) -> Sentence:
    return Sentence(unit=Unit.MONTH, interval=interval, times=(at,), month_days=days)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("every day at 03:00", day(time(3))),
        ("  EVERY\tDay   at 3:00 ", day(time(3))),
        ("every day", day(time(0))),
        ("every day at 15:00 and 03:00", day(time(3), time(15))),
        ("every day at 03:00, 09:30 and 15:00", day(time(3), time(9, 30), time(15))),
        ("every 3 days at 04:00", day(time(4), interval=3)),
        ("every 6 hours", day(time(0), time(6), time(12), time(18))),
        ("every 12 hours at :15", day(time(0, 15), time(12, 15))),
        ("every hour", Sentence(unit=Unit.HOUR, marks=(0,))),
        ("every 1 hour at :15 and :45", Sentence(unit=Unit.HOUR, marks=(15, 45))),
        ("every 15 minutes", Sentence(unit=Unit.HOUR, marks=_QUARTERS)),
        ("every 20 seconds", Sentence(unit=Unit.MINUTE, marks=(0, 20, 40))),
        ("every monday at 13:15", week(0, at=time(13, 15))),
        ("every mon, wed and fri at 1:00", week(0, 2, 4, at=time(1))),
        ("every weekday at 02:00", week(0, 1, 2, 3, 4, at=time(2))),
        ("every weekend at 02:00", week(5, 6, at=time(2))),
        ("every 2 weeks on sunday at 04:00", week(6, at=time(4), interval=2)),
        ("every week", week(0, at=time(0))),
        ("every month on the 1st at 05:00", month(1, at=time(5))),
        ("every 3 months on the 2nd, the 15th", month(2, 15, at=time(0), interval=3)),
    ],
)
def test_a_sentence_is_understood(text, meant):
    assert meant == parse_sentence(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", 'does not begin with "every"'),
        ("daily", 'does not begin with "every"'),
        ("every", "after 'every', got nothing"),
        ("every 3", "after 'every', got nothing"),
        ("every day at", "after 'at', got nothing"),
        ("every day 03:00", "after 'every', got 'day 03:00'"),
        ("every day at 03:00 at 04:00", "after 'at', got '03:00 at 04:00'"),
        ("every and day", "after 'every', got 'and day'"),
        ("every day at 24:00", "from 00:00 to 23:59, got '24:00'"),
        ("every day at 3pm", "from 00:00 to 23:59, got '3pm'"),
        ("every day on monday", '"on" goes with weeks and months'),
        ("every hour on monday", '"on" goes with weeks and months'),
        ("every dya at 03:00", "did you mean 'day'?"),
        ("every 2 dyas", "did you mean 'day'?"),
        ("every tusday", "did you mean 'tuesday'?"),
        ("every 2 weeks on the 3rd", "'3rd' is no unit and no day of the week"),
        ("every 2 mondays", "not 'mondays'"),
        ("every monday on friday", "not 'monday'"),
        ("every day and week", "'day' is no unit and no day of the week"),
        ("every 5 hours", "5 hours do not divide a day"),
        ("every 90 minutes", "90 minutes do not divide an hour"),
        ("every 0 seconds", "0 seconds do not divide a minute"),
        ("every 0 days", "expected 1 to 366 days"),
        ("every 53 weeks", "expected 1 to 52 weeks"),
        ("every hour at 3:15", "from :00 to :59, got '3:15'"),
        ("every 5 minutes at :30", '"at" goes with hours and days'),
        ("every month on the 31st", "1st to 28th, got '31st'"),
        ("every day at \u0660\u0663:00", "expected a time"),
    ],
)
def test_what_is_not_understood_is_told(text, why):
    with pytest.raises(ConfigError) as refused:
        parse_sentence(text)

    assert why in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "zone", "after", "due"),
    [
        ("every day at 03:00", "UTC", "2026-01-01T03:00", "2026-01-02T03:00"),
        ("every day at 03:00", "UTC", "2026-01-01T02:59:59.9", "2026-01-01T03:00"),
        # 02:30 does not exist, and then comes twice
        ("every day at 02:30", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("every day at 02:30", "Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:30"),
        ("every day at 02:30", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),
        ("every day at 02:30", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("every day at 02:15 and 02:45", "Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:15"),
        # an hour that comes twice has two full hours
        ("every hour", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("every hour at :15", "Europe/Berlin", "2026-03-29T00:15", "2026-03-29T01:15"),
        # half an hour only is missing, and midnight where clocks change at midnight
        ("every day at 02:10", "Australia/Lord_Howe", "2026-10-03T00:00", "2026-10-03T15:30"),
        ("every day", "Africa/Cairo", "2026-04-23T12:00", "2026-04-23T22:00"),
        # a day that was left out
        ("every day at 12:00", "Pacific/Apia", "2011-12-29T23:00", "2011-12-30T10:00"),
        ("every 2 weeks on monday", "UTC", "1970-01-04T00:00", "1970-01-05T00:00"),
        ("every 2 weeks on monday", "UTC", "1970-01-05T00:00", "1970-01-19T00:00"),
        ("every 2 days", "UTC", "1970-01-01T00:00", "1970-01-03T00:00"),
        ("every 5 months on the 2nd", "UTC", "1970-01-02T00:00", "1970-06-02T00:00"),
    ],
)
def test_the_next_time_is_told_in_utc(text, zone, after, due):
    found = next_time(
        parse_sentence(text), datetime.fromisoformat(after).replace(tzinfo=UTC), ZoneInfo(zone)
    )

    assert datetime.fromisoformat(due).replace(tzinfo=UTC) == found


@cache
def changes(name: str) -> list[datetime]:
    """The days on which clocks of a zone change; the start of 2020 where they never do."""
    zone = ZoneInfo(name)
    noons = [datetime(2020, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(16 * 365)]
    offsets = [(noon, noon.astimezone(zone).utcoffset()) for noon in noons]
    return [a for (a, one), (_, other) in pairwise(offsets) if one != other] or noons[:1]


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@st.composite
def cases(draw):
    """A zone, and a moment: any, or one near to where its clocks change."""
    zone = draw(st.sampled_from(ZONES))
    near = draw(st.sampled_from(changes(zone))) + timedelta(minutes=draw(st.integers(-1500, 3000)))
    return ZoneInfo(zone), draw(st.one_of(st.just(near), moments))


def minutes_from(start, count, zone):
    """What the clock on the wall shows, minute by minute."""
    start = start.replace(second=0, microsecond=0)
    for number in range(count):
        moment = start + number * _MINUTE
        yield moment, moment.astimezone(zone).replace(tzinfo=None)


@settings(max_examples=150, deadline=None)
@given(cases(), st.sets(times, min_size=1, max_size=4))
def test_each_time_is_due_once_when_the_clock_first_reaches_it(case, at):
    zone, after = case
    start = after - timedelta(days=1)
    today = start.astimezone(zone).date()
    days = [today + timedelta(days=number) for number in range(1, 5)]
    named = [datetime.combine(each, named) for each in days for named in sorted(at)]
    due = []
    for moment, shown in minutes_from(start, 3 * 1440 + 120, zone):
        while named and shown >= named[0]:
            due.append(moment)
            named.pop(0)

    assert next(moment for moment in due if moment > after) == next_time(
        day(*sorted(at)), after, zone
    )


@settings(max_examples=200, deadline=None)
@given(cases(), st.sets(st.integers(0, 59), min_size=1, max_size=4))
def test_each_hour_counts_even_where_it_comes_twice(case, marks):
    zone, after = case
    walked = minutes_from(after, 240, zone)

    assert next(m for m, shown in walked if m > after and shown.minute in marks) == next_time(
        Sentence(unit=Unit.HOUR, marks=tuple(marks)), after, zone
    )


sentences = st.one_of(
    st.builds(day, times, interval=st.integers(1, 10)),
    st.builds(week, st.integers(0, 6), at=times, interval=st.integers(1, 5)),
    st.builds(month, st.integers(1, 28), at=times, interval=st.integers(1, 12)),
)
_FEWEST_DAYS = {Unit.DAY: 1, Unit.WEEK: 7, Unit.MONTH: 28}


@settings(max_examples=300, deadline=None)
@given(cases(), sentences)
def test_what_comes_every_so_often_comes_evenly_wherever_one_begins(case, sentence):
    zone, after = case
    one = next_time(sentence, after, zone)
    two = next_time(sentence, one, zone)
    fewest = _FEWEST_DAYS[sentence.unit] * sentence.interval
    between = two.astimezone(zone).date() - one.astimezone(zone).date()

    assert after < one < two
    assert one == next_time(sentence, one - timedelta(microseconds=1), zone)
    assert two == next_time(sentence, one + (two - one) / 2, zone)
    assert fewest <= between.days <= fewest + (3 * sentence.interval)
    assert sentence.unit is Unit.MONTH or fewest == between.days
