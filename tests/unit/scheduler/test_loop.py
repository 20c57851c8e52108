import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from backup.config import Config, Drill, Job, Repository
from backup.scheduler import Loop, Work, tasks
from tests.simulated import World

START = datetime(2026, 5, 4, 11, 59, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(*names, **more):
    return tasks(Config(jobs={each: Job(schedule="every hour", **more) for each in names}), UTC)


@pytest.fixture
def world():
    return World(now=START, dice=random.Random(1), longest_s=1)


def begin(world, wanted, parallel=1):
    return Loop(wanted, parallel, world.known(), world.doors())


def go_on(world, loop, hours=1.0):
    end = world.now + timedelta(hours=hours)
    while world.now < end:
        pause = loop.step()
        world.sleep(loop, min(end, world.now + timedelta(seconds=pause)))


def started(world):
    return [run.task.key for run in world.runs]


def test_a_failure_is_told_and_the_next_run_comes(world):
    world.codes = [1, -9, 70]
    loop = begin(world, hourly("a"))

    go_on(world, loop, 4)

    assert len(world.runs) == 4
    assert [(each.code, each.wrong) for each in world.told if each.event == "ended"] == [
        (1, True),
        (-9, True),
        (70, True),
        (0, False),
    ]
    assert "run a: failed after 1 s, killed by signal 9" in [each.text for each in world.told]


def test_who_runs_already_is_tried_again_and_told_once(world):
    world.codes = [5, 5, 5, 0]
    loop = begin(world, hourly("a"))

    go_on(world, loop)

    waits = [b.start - a.start for a, b in zip(world.runs, world.runs[1:], strict=False)]
    assert [each.seconds // 60 for each in waits] == [1, 2, 4]
    assert [each.event for each in world.told if each.event == "started"] == ["started"] * 4
    assert [each.event for each in world.told if each.event == "busy"] == ["busy"]
    assert not any(each.wrong for each in world.told)


def test_who_is_busy_until_it_is_due_again_has_failed_and_goes_on_trying(world):
    world.codes = [5] * 99
    loop = begin(world, hourly("a"))

    go_on(world, loop, 2.5)
    world.codes = [0]
    go_on(world, loop, 0.25)

    pauses = [(b.start - a.start).seconds // 60 for a, b in pairwise(world.runs)]
    assert pauses[:12] == [1, 2, 4, 8, 16, 28, 1, 2, 4, 8, 16, 28]
    ended = [each for each in world.told if each.event == "ended"]
    assert [(each.code, each.wrong) for each in ended] == [(5, True), (5, True), (0, False)]
    assert ended[0].text == (
        "run a: runs already, or what it needs is in use, since 2026-05-04 12:00 UTC; "
        "tried 7 times, and due again: failed"
    )
    assert world.known().marks["run a"].due == datetime(2026, 5, 4, 15, tzinfo=UTC)


def test_what_is_busy_for_long_is_told_before_it_is_due_again(world):
    world.codes = [5] * 99
    weekly = tasks(Config(jobs={"a": Job(schedule="every day at 12:00")}), UTC)

    go_on(world, begin(world, weekly), 23)

    assert [(each.event, each.wrong) for each in world.told if each.event != "started"] == [
        ("busy", False),
        ("busy", True),
    ]
    assert len(world.runs) < 15


def test_what_was_busy_is_due_still_for_the_next_daemon(world):
    world.codes = [5] * 10
    go_on(world, begin(world, hourly("a")), 1.1)
    world.codes = []

    go_on(world, begin(world, hourly("a")), 0.1)

    assert "run a: done after 1 s" in [each.text for each in world.told]


def test_what_cannot_be_started_is_tried_again(world):
    wanted = hourly("a")
    failing = [BlockingIOError(11, "Resource temporarily unavailable")] * 2
    loop = Loop(wanted, 1, world.known(), world.doors(failing))

    go_on(world, loop)

    assert started(world) == ["run a"]
    assert any("cannot be started: Resource" in each.text for each in world.told)


def test_a_run_that_takes_longer_than_its_interval_is_alone_and_told_of(world):
    world.takes = [2.5 * 3600]
    loop = begin(world, hourly("a"), parallel=9)

    go_on(world, loop, 3)

    assert len(world.runs) == 2
    assert world.runs[1].start - world.runs[0].end < timedelta(seconds=1)
    assert len([each for each in world.told if each.event == "late"]) == 1


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_not_more_than_so_many_run_at_a_time_and_each_gets_its_turn(world, parallel):
    world.takes = [60] * 5
    loop = begin(world, hourly(*"abcde"), parallel)
    most = 0

    for _ in range(40):
        loop.step()
        most = max(most, len(loop.running))
        world.sleep(loop, START + HOUR)

    assert parallel == most
    assert [f"run {name}" for name in "abcde"] == sorted(started(world))


def test_one_repository_is_not_checked_and_pruned_at_once_and_backups_go_first(world):
    repositories = {
        name: Repository(location=f"/{name}", check="every hour", prune="every hour")
        for name in ("one", "two")
    }
    world.takes = [60] * 9
    config = Config(repositories=repositories, jobs={"job": Job(schedule="every hour")})
    loop = begin(world, tasks(config, UTC), 3)

    go_on(world, loop, 0.1)

    assert started(world) == ["run job", "check one", "check two", "prune one", "prune two"]
    assert world.runs[3].start >= world.runs[1].end


def test_nobody_starves_behind_a_job_that_is_always_due(world):
    main = Repository(location="/r", check="every day at 13:00", prune="every day at 13:30")
    jobs = {
        "often": Job(schedule="every 5 minutes", drill=Drill(schedule="every day at 13:10")),
        "other": Job(schedule="every 5 minutes"),
    }
    world.takes = [600] * 99
    loop = begin(world, tasks(Config(repositories={"main": main}, jobs=jobs), UTC))

    go_on(world, loop, 3)

    begun = {run.task.key: run.start for run in world.runs if run.task.work is not Work.RUN}
    assert {key: (at - START).seconds // 60 for key, at in begun.items()} == {
        "check main": pytest.approx(61, abs=25),
        "drill often": pytest.approx(71, abs=35),
        "prune main": pytest.approx(91, abs=45),
    }


def test_what_is_missed_is_made_good_once_with_a_word_about_it(world):
    go_on(world, begin(world, hourly("a")), 0.5)
    world.now += timedelta(days=30)

    go_on(world, begin(world, hourly("a")), 0.25)

    assert len(world.runs) == 2
    assert "run a: started, due since 2026-05-04 13:00 UTC" in [each.text for each in world.told]


@pytest.mark.parametrize("jump", [timedelta(days=400, minutes=9), HOUR * 5.2])
def test_a_clock_put_forward_is_a_time_that_was_missed(world, jump):
    loop = begin(world, hourly("a"))
    loop.step()
    world.now += jump

    go_on(world, loop, 0.25)

    assert len(world.runs) == 1


@pytest.mark.parametrize("jump", [timedelta(days=4000), HOUR * 5])
def test_a_clock_put_back_holds_nothing_up(world, jump):
    loop = begin(world, hourly("a"))
    go_on(world, loop, 2)
    world.now -= jump
    world.runs.clear()

    go_on(world, loop, 5)

    assert len(world.runs) == 5
    assert len([each for each in world.told if each.event == "clock"]) == 1


def test_a_clock_put_back_a_little_repeats_nothing(world):
    loop = begin(world, hourly("a"))
    go_on(world, loop, 0.5)
    world.now -= timedelta(minutes=40)

    go_on(world, loop, 0.75)

    assert len(world.runs) == 1


def test_what_waits_for_room_while_the_clock_is_put_back_runs_once(world):
    world.takes = [1200, 1]
    loop = begin(world, hourly("a", "b"))
    go_on(world, loop, 0.1)
    world.runs[0].end -= timedelta(minutes=25)
    world.now -= timedelta(minutes=25)

    go_on(world, loop, 0.5)

    assert started(world) == ["run a", "run b"]


def test_a_task_that_is_removed_while_it_runs_ends_and_is_gone(world):
    world.takes = [600]
    loop = begin(world, hourly("a", "b"), 2)
    go_on(world, loop, 0.1)

    loop.reload(hourly("b"), 2)
    go_on(world, loop, 2)

    assert started(world).count("run a") == 1
    assert "run a: done after 600 s" in [each.text for each in world.told]
    assert list(world.known().marks) == ["run b"]


def test_a_task_that_comes_back_while_it_runs_is_not_started_twice(world):
    world.takes = [2400]
    loop = begin(world, hourly("a"), 2)
    go_on(world, loop, 0.1)

    loop.reload({}, 2)
    loop.reload(hourly("a"), 2)
    go_on(world, loop, 0.5)

    assert len(world.runs) == 1
    go_on(world, loop, 1)
    assert len(world.runs) == 2


def test_a_reload_forgets_nothing_that_waits(world):
    world.takes = [600]
    loop = begin(world, hourly("a", "b"), 1)
    go_on(world, loop, 0.1)

    loop.reload(hourly("a", "b"), 1)
    go_on(world, loop, 0.5)

    assert started(world) == ["run a", "run b"]


def test_a_disk_that_is_full_is_told_of_once_and_ends_nothing(world):
    loop = begin(world, hourly("a"))
    world.is_full = True
    go_on(world, loop, 3)
    world.is_full = False
    go_on(world, loop, 1)

    assert len(world.runs) == 4
    assert [each.wrong for each in world.told if each.event == "state"] == [True, False]
    assert world.known().marks["run a"].served == world.runs[-1].start


def test_what_is_interrupted_by_a_stop_is_made_good(world):
    world.takes = [1800]
    loop = begin(world, hourly("a", "b"))
    go_on(world, loop, 0.1)

    loop.stop()
    go_on(world, loop, 0.1)
    assert started(world) == ["run a"]
    go_on(world, begin(world, hourly("a", "b")), 0.1)

    assert started(world) == ["run a", "run a", "run b"]


def test_what_has_ended_before_it_noticed_the_stop_is_done(world):
    loop = begin(world, hourly("a"))
    world.takes = [0]
    go_on(world, loop, 0.02)
    assert len(world.runs) == 1

    loop.stop()
    loop.step()
    go_on(world, begin(world, hourly("a")), 0.5)

    assert len(world.runs) == 1
