from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config import Config, Drill, Job, Repository
from backup.errors import ConfigError
from backup.scheduler import Mark, planned, served, tasks
from backup.scheduler.mark import start_of

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def nightly(schedule="every day at 03:00", jitter=None):
    config = Config(jobs={"nightly": Job(schedule=schedule, jitter=jitter)})
    return tasks(config, UTC)["run nightly"]


def test_all_that_has_a_schedule_is_a_task():
    config = Config(
        repositories={
            "main": Repository(location="/r", check="every week", prune="every day"),
            "far": Repository(location="/f", check="every day", time_zone="Asia/Tokyo"),
        },
        jobs={
            "one": Job(schedule="every hour", time_zone="Asia/Kathmandu", jitter="5min"),
            "two": Job(drill=Drill(schedule="every month")),
            "by-hand": Job(),
        },
    )

    found = tasks(config, ZoneInfo("Europe/Oslo"))

    assert list(found) == ["run one", "drill two", "check main", "prune main", "check far"]
    assert (str(found["run one"].zone), found["run one"].jitter_s) == ("Asia/Kathmandu", 300)
    assert [str(found[f"check {each}"].zone) for each in ("main", "far")] == [
        "Europe/Oslo",
        "Asia/Tokyo",
    ]
    assert found["check main"].lane == found["prune main"].lane != found["run one"].lane


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (Job(schedule="every dya"), "run x: the schedule 'every dya' is not understood"),
        (Job(schedule="every day", time_zone="Mars/Olympus"), "'Mars/Olympus'"),
        (Job(schedule="every day", time_zone="../etc/passwd"), "'../etc/passwd'"),
        (Job(schedule="every day", jitter="soon"), "run x: jitter"),
    ],
)
def test_what_is_wrong_with_a_task_is_told(job, why):
    with pytest.raises(ConfigError, match=why):
        tasks(Config(jobs={"x": job}), UTC)


def test_what_was_never_seen_is_not_missed():
    assert Mark(
        said="every day at 03:00", served=NOW, due=datetime(2026, 5, 5, 3, tzinfo=UTC)
    ) == planned(nightly(), None, NOW)


def test_what_was_due_while_nobody_looked_is_due():
    mark = served(nightly(), NOW - 9 * DAY)

    assert mark == planned(nightly(), mark, NOW)
    assert mark.due == datetime(2026, 4, 26, 3, tzinfo=UTC)


def test_another_schedule_counts_from_now():
    mark = served(nightly("every month on the 20th"), NOW - 9 * DAY)

    assert served(nightly(), NOW) == planned(nightly(), mark, NOW)


def test_another_schedule_does_not_forgive_what_was_missed():
    mark = served(nightly(), NOW - 9 * DAY)
    again = planned(nightly("every month"), mark, NOW)

    assert mark.due == again.due
    assert again == planned(nightly("every month"), again, NOW + DAY)


def test_a_clock_put_back_by_an_hour_repeats_nothing():
    mark = served(nightly(), NOW)

    assert mark == planned(nightly(), mark, NOW - timedelta(minutes=59))


def test_a_clock_that_was_years_ahead_holds_nothing_up():
    mark = served(nightly(), NOW + 4000 * DAY)

    assert served(nightly(), NOW) == planned(nightly(), mark, NOW)


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(moments, st.sampled_from(["every hour", "every minute", "every day"]), st.text())
def test_jitter_is_the_same_each_time_and_ends_before_it_is_due_again(after, schedule, seed):
    task = nightly(schedule.replace("every minute", "every 1 minutes"), "2h")
    due = task.next(after)
    start = start_of(task, due, seed.encode("utf-8", "replace").decode())

    assert due <= start < min(task.next(due), due + timedelta(hours=2))
    assert start == start_of(task, due, seed.encode("utf-8", "replace").decode())


def test_jitter_is_another_one_on_each_machine_and_each_day():
    task = nightly(jitter="2h")
    dues = [NOW + number * DAY for number in range(10)]

    assert len({start_of(task, due, seed) - due for due in dues for seed in "ab"}) == 20
