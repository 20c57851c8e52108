"""What a policy will keep of a history that goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from backup.errors import Protected, UsageError
from backup.retention import UNLIMITED, Duration, Moment, Period, Policy, decide
from backup.simulation import IMAGINED, Course, simulate

START = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
DAY, TEN_DAYS = Duration(days=1), Duration(days=10)


def course(every=DAY, span=TEN_DAYS):
    return Course(start=START, every=every, span=span)


def history(days):
    return [Moment(f"real {n}", START - timedelta(days=n)) for n in range(days)]


def test_an_imagined_history_begins_at_the_start():
    found = simulate([], Policy(last=3), course())

    assert (found.before, found.today, found.added, found.most) == (0, 0, 11, 4)
    assert found.end == START + timedelta(days=10)
    assert [each.moment.time for each in found.left] == [
        START + timedelta(days=n) for n in (10, 9, 8)
    ]
    assert {each.moment.key for each in found.left} == {IMAGINED}


def test_a_real_history_is_thinned_out_and_goes_on():
    found = simulate(history(30), Policy(counts={Period.DAILY: 7}), course())

    assert (found.before, found.today, found.added, found.most) == (30, 7, 10, 8)
    assert len(found.left) == 7


def test_what_is_left_is_what_forgetting_every_day_leaves():
    policy = Policy(counts={Period.DAILY: 7, Period.WEEKLY: 4, Period.MONTHLY: 12})
    left = history(400)
    for day in range(1, 366):
        left.append(Moment(IMAGINED, START + timedelta(days=day)))
        now = START + timedelta(days=day)
        left = [each.moment for each in decide(left, policy, now=now) if each.kept]

    found = simulate(history(400), policy, course(span=Duration(years=1)))

    assert [each.moment.time for each in found.left] == [each.time for each in left]


def test_several_backups_a_day_are_forgotten_once_a_day():
    found = simulate([], Policy(last=2), course(every=Duration(hours=6), span=Duration(days=3)))

    assert found.added == 13
    assert found.most == 2 + 4


def test_months_are_counted_from_the_start():
    start = datetime(2026, 1, 31, tzinfo=UTC)
    monthly = Course(start=start, every=Duration(months=1), span=Duration(months=3))

    assert [each.date().isoformat() for each in monthly.times()] == [
        "2026-03-03",
        "2026-03-31",
        "2026-05-01",
    ]


def test_pinned_snapshots_are_left_at_the_end():
    pinned = Moment("pinned", START - timedelta(days=1), pinned=True)

    assert simulate([pinned], Policy(last=1), course()).left[-1].moment == pinned


def test_imagined_snapshots_have_the_tags_of_the_newest():
    real = [
        Moment("new", START - timedelta(days=1), frozenset({"a"})),
        Moment("old", START - timedelta(days=2), frozenset({"b"})),
    ]

    found = simulate(real, Policy(last=1, tags=[frozenset({"a"})]), course())

    assert len(found.left) == 11


def test_nothing_is_added_where_no_backup_is_due():
    found = simulate(history(3), Policy(last=2), course(every=Duration(days=11)))

    assert (found.added, found.most, len(found.left)) == (0, 2, 2)


@pytest.mark.parametrize(
    ("every", "span", "text"),
    [
        (Duration(), DAY, "--every"),
        (Duration(hours=1), Duration(years=3), "more than 20000"),
        (DAY, Duration(years=9000), "calendar"),
    ],
    ids=["never", "too often", "too long"],
)
def test_a_course_that_cannot_be_imagined_is_refused(every, span, text):
    with pytest.raises(UsageError, match=text):
        simulate([], Policy(last=1), course(every, span))


def test_a_policy_that_keeps_nothing_is_refused():
    with pytest.raises(Protected, match="volume:db"):
        simulate(history(3), Policy(tags=[frozenset({"x"})]), course(), of="volume:db")
    with pytest.raises(UsageError, match="empty"):
        simulate([], Policy(), course())


def test_an_unlimited_policy_keeps_all():
    found = simulate(history(5), Policy(counts={Period.DAILY: UNLIMITED}), course())

    assert (found.most, len(found.left)) == (15, 15)
