"""What a policy keeps."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import Protected, UsageError
from backup.retention import (
    UNLIMITED,
    Duration,
    Moment,
    Period,
    Policy,
    decide,
    parse_count,
    parse_duration,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def moments(*times: datetime | str) -> list[Moment]:
    parsed = [datetime.fromisoformat(each) if isinstance(each, str) else each for each in times]
    aware = [each if each.tzinfo else each.replace(tzinfo=UTC) for each in parsed]
    return [Moment(str(number), each) for number, each in enumerate(aware)]


def kept(policy: Policy, *times: datetime | str, now: datetime = NOW) -> list[str]:
    """Return the times that are kept, as they were given, in the order in which they were."""
    found = {each.moment.key for each in decide(moments(*times), policy, now=now) if each.kept}
    return [str(each) for number, each in enumerate(times) if str(number) in found]


def daily(days: int) -> list[str]:
    return [(NOW - timedelta(days=n)).isoformat() for n in range(days)]


def test_last_keeps_the_newest():
    assert kept(Policy(last=2), *daily(4)) == daily(2)


@pytest.mark.parametrize(
    ("period", "times", "expected"),
    [
        (
            Period.HOURLY,
            ["2026-11-25T10:59", "2026-11-25T10:01", "2026-11-25T09:59", "2026-11-24T09:59"],
            ["2026-11-25T10:59", "2026-11-25T09:59"],
        ),
        (
            Period.DAILY,
            ["2026-11-25T10:00", "2026-11-25T00:00", "2026-11-23T23:59", "2026-11-20T00:00"],
            ["2026-11-25T10:00", "2026-11-23T23:59"],
        ),
        (
            Period.WEEKLY,  # 2021-01-03 is a Sunday of the week 53 of 2020
            ["2021-01-04", "2021-01-03", "2020-12-28", "2020-12-27"],
            ["2021-01-04", "2021-01-03"],
        ),
        (
            Period.MONTHLY,
            ["2026-11-01", "2025-11-30", "2025-11-01", "2025-10-01"],
            ["2026-11-01", "2025-11-30"],
        ),
        (Period.YEARLY, ["2026-01-01", "2025-12-31", "2025-01-01", "2024-12-31"],
         ["2026-01-01", "2025-12-31"]),
    ],
    ids=lambda value: value.value if isinstance(value, Period) else "",
)  # fmt: skip
def test_a_count_keeps_the_newest_of_each_period(period, times, expected):
    assert kept(Policy(counts={period: 2}), *times) == expected


def test_rules_use_up_their_counts_independently():
    policy = Policy(last=1, counts={Period.DAILY: 2, Period.YEARLY: 1})
    times = ["2026-11-25T10:00", "2026-11-24T10:00", "2026-11-23T10:00"]

    first, second, third = decide(moments(*times), policy, now=NOW)

    assert first.reasons == ("last", "daily", "yearly")
    assert second.reasons == ("daily",)
    assert not third.kept


def test_the_oldest_fills_a_rule_that_is_not_used_up():
    times = ["2026-11-25", "2026-11-10", "2026-11-03"]

    last = decide(moments(*times), Policy(counts={Period.MONTHLY: 2}), now=NOW)[-1]

    assert last.reasons == ("oldest monthly",)
    assert kept(Policy(counts={Period.MONTHLY: 1}), *times) == ["2026-11-25"]


def test_an_unlimited_rule_is_never_used_up():
    assert kept(Policy(counts={Period.DAILY: UNLIMITED}), *daily(400)) == daily(400)


def test_within_is_measured_from_the_newest_snapshot():
    times = ["2025-03-10T12:00", "2025-03-08T12:01", "2025-03-08T12:00", "2025-01-01"]

    assert kept(Policy(within=Duration(days=2)), *times) == times[:2]


def test_within_is_not_measured_from_the_future():
    times = ["2027-01-01", "2026-11-25T11:00", "2026-11-24T11:01", "2026-11-24T11:00"]

    assert kept(Policy(within=Duration(days=1)), *times) == times[:3]


def test_within_a_period_keeps_its_newest_in_that_time():
    times = ["2026-11-25T10:00", "2026-11-25T09:00", "2026-11-24T12:00", "2026-11-20"]

    policy = Policy(within_periods={Period.DAILY: Duration(days=2)})

    assert kept(policy, *times) == [times[0], times[2]]


def test_tags_of_one_list_must_all_be_there():
    found = decide(
        [
            Moment("both", NOW, frozenset({"a", "b"})),
            Moment("one", NOW - timedelta(1), frozenset({"a"})),
            Moment("none", NOW - timedelta(2)),
        ],
        Policy(tags=[frozenset({"a", "b"}), frozenset()]),
        now=NOW,
    )

    assert [each.reasons for each in found] == [("tagged a,b",), (), ("not tagged",)]


def test_periods_are_those_of_the_recorded_zone():
    east = timezone(timedelta(hours=9))
    times = [
        datetime(2026, 11, 25, 0, 30, tzinfo=east),
        datetime(2026, 11, 24, 23, 30, tzinfo=east),
    ]

    assert len({each.astimezone(UTC).date() for each in times}) == 1
    assert len(kept(Policy(counts={Period.DAILY: 2}), *times)) == 2


def test_the_hour_that_comes_twice_is_one_hour_of_the_wall_clock():
    berlin = ZoneInfo("Europe/Berlin")
    twice = [datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (1, 0)]
    before = datetime(2026, 10, 25, 1, 30, tzinfo=berlin)

    assert twice[0].astimezone(UTC) - twice[1].astimezone(UTC) == timedelta(hours=1)
    found = decide(moments(*twice, before), Policy(counts={Period.HOURLY: 2}), now=NOW)
    assert [each.kept for each in found] == [True, False, True]


def test_the_day_with_23_hours_is_one_day():
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    hours = [(start + timedelta(hours=n)).astimezone(berlin) for n in range(24)]

    days = {each.date() for each in hours}
    assert (
        len(kept(Policy(counts={Period.DAILY: UNLIMITED}), *hours)) == len(days) + 1
    )  # the oldest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3h", Duration(hours=3)),
        ("30d", Duration(days=30)),
        ("2w1d", Duration(days=15)),
        ("1y6m10d3h", Duration(1, 6, 10, 3)),
    ],
)
def test_durations_are_read(text, expected):
    assert parse_duration(text, "--keep-within") == expected


@pytest.mark.parametrize(
    "text", ["", "3", "d", "3h2d", "-1d", "1.5d", "1 d", "forever", "٣d", "9" * 5000 + "d"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="--keep-within"):
        parse_duration(text, "--keep-within")


@pytest.mark.parametrize(
    ("duration", "time", "expected"),
    [
        (Duration(months=1), "2026-03-31", "2026-03-03"),
        (Duration(months=1), "2024-03-31", "2024-03-02"),
        (Duration(years=1), "2024-02-29", "2023-03-01"),
        (Duration(months=14), "2026-01-15", "2024-11-15"),
        (Duration(hours=25), "2026-01-01", "2025-12-30T23:00"),
    ],
)
def test_months_are_those_of_the_calendar(duration, time, expected):
    start, end = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (time, expected))

    assert duration.before(start) == end


def test_a_duration_longer_than_the_calendar_reaches_to_its_beginning():
    assert kept(Policy(within=Duration(years=9999)), *daily(3)) == daily(3)


@pytest.mark.parametrize("policy", [Policy(), Policy(counts={Period.DAILY: 0}),
                                    Policy(within=Duration())])  # fmt: skip
def test_an_empty_policy_is_refused(policy):
    with pytest.raises(UsageError, match="empty"):
        decide(moments(*daily(2)), policy, now=NOW)


counts = st.one_of(st.just(UNLIMITED), st.integers(0, 5))
durations = st.builds(
    Duration, st.integers(0, 2), st.integers(0, 20), st.integers(0, 60), st.integers(0, 50)
)
policies = st.builds(
    Policy,
    last=counts,
    counts=st.dictionaries(st.sampled_from(Period), counts),
    within=st.none() | durations,
    within_periods=st.dictionaries(st.sampled_from(Period), durations),
).filter(bool)
times = st.lists(
    st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), max_size=40
)


@given(times, policies)
def test_every_snapshot_gets_one_decision_and_applying_twice_is_applying_once(times, policy):
    all_of_them = moments(*times)

    decisions = decide(all_of_them, policy, now=NOW)

    assert sorted(each.moment.key for each in decisions) == sorted(each.key for each in all_of_them)
    again = decide([each.moment for each in decisions if each.kept], policy, now=NOW)
    assert all(each.kept for each in again)


@given(times.filter(bool), policies)
def test_a_counted_rule_keeps_the_newest(times, policy):
    newest = decide(moments(*times), policy, now=NOW)[0]

    assert newest.kept or not (policy.last or any(policy.counts.values()))


def test_a_policy_that_keeps_nothing_is_refused():
    with pytest.raises(Protected, match="keeps none of 3 snapshots of volume:data") as refused:
        decide(moments(*daily(3)), Policy(tags=[frozenset({"a"})]), now=NOW, of="volume:data")

    assert "name them" in str(refused.value.hint)


def test_nothing_is_kept_of_nothing():
    assert decide([], Policy(last=1), now=NOW) == []


def test_a_pinned_snapshot_is_kept_and_takes_its_place_in_the_rules():
    first, second, third = moments(*daily(3))
    pinned = [Moment(each.key, each.time, pinned=True) for each in (first, third)]

    found = decide([pinned[0], second, pinned[1]], Policy(last=1), now=NOW)

    assert [each.reasons for each in found] == [("pinned", "last"), (), ("pinned",)]


def test_pins_alone_are_something_that_is_kept():
    pinned = Moment("a", NOW, pinned=True)

    found = decide([pinned, Moment("b", NOW)], Policy(tags=[frozenset({"x"})]), now=NOW)

    assert [each.kept for each in found] == [True, False]


def test_in_the_hour_that_comes_twice_the_newer_snapshot_is_the_later_one():
    berlin = ZoneInfo("Europe/Berlin")
    earlier = datetime(2026, 10, 25, 2, 45, tzinfo=berlin, fold=0)
    later = datetime(2026, 10, 25, 2, 15, tzinfo=berlin, fold=1)

    found = decide(moments(earlier, later), Policy(last=1), now=NOW)

    assert [each.moment.key for each in found] == ["1", "0"]
    assert found[0].kept


def test_within_counts_the_hour_that_comes_twice_as_two():
    berlin = ZoneInfo("Europe/Berlin")
    newest = datetime(2026, 10, 25, 3, 30, tzinfo=berlin)
    two_hours_before = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=0)

    assert len(kept(Policy(within=Duration(hours=2)), newest, two_hours_before)) == 1
    assert len(kept(Policy(within=Duration(hours=3)), newest, two_hours_before)) == 2


def test_days_are_those_of_the_offset_that_each_snapshot_records():
    """The same moment's date differs; a history may mix offsets, after a move or a change."""
    times = [
        datetime(2026, 11, 25, 23, 30, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2026, 11, 26, 1, 0, tzinfo=UTC),
        datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
    ]

    found = decide(moments(*times), Policy(counts={Period.DAILY: UNLIMITED}), now=NOW)

    assert [each.moment.key for each in found if each.kept] == ["0", "1", "2"]


@pytest.mark.parametrize("policy", [{"last": -2}, {"counts": {Period.DAILY: -7}}], ids=str)
def test_negative_counts_are_refused(policy):
    with pytest.raises(UsageError, match=r"cannot keep -\d snapshots"):
        Policy(**policy)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("7", 7), ("007", 7), ("unlimited", UNLIMITED)]
)
def test_counts_are_read(text, expected):
    assert parse_count(text, "--keep-last") == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5", "many", "٣", "1_000", "9" * 5000])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(UsageError, match="--keep-last"):
        parse_count(text, "--keep-last")


def test_a_duration_is_added_as_it_is_taken_away():
    start = datetime(2026, 1, 31, tzinfo=UTC)

    assert Duration(days=1, hours=1).after(start) == start + timedelta(days=1, hours=1)
    assert Duration(months=1).after(start) == datetime(2026, 3, 3, tzinfo=UTC)
    with pytest.raises(UsageError, match="calendar"):
        Duration(years=9999).after(start)


def test_a_time_without_a_zone_is_a_mistake():
    with pytest.raises(ValueError, match="no zone"):
        Moment("a", datetime(2026, 11, 25))
