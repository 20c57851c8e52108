"""A year of schedule, with all that can go wrong: nothing is lost, nothing comes twice."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from backup.config import Config, Drill, Job, Repository
from backup.scheduler import tasks
from tests.simulated import BUSY, World, live_through

START = datetime(2026, 1, 15, 11, 7, 3, tzinfo=UTC)
YEAR = timedelta(days=365)


def job(schedule, zone, jitter=None, drill=None):
    return Job(
        schedule=schedule,
        time_zone=zone,
        jitter=jitter,
        drill=None if drill is None else Drill(schedule=drill),
    )


CONFIG = Config(
    repositories={
        "main": Repository(
            location="/srv", check="every sunday at 02:30", prune="every day at 02:30"
        )
    },
    jobs={
        "hourly": job("every hour at :15", "Asia/Kolkata", "20min"),
        "nightly": job("every day at 02:30", "Europe/Berlin", "1h", "every monday at 03:00"),
        "often": job("every 6 hours", "America/Sao_Paulo"),
        "cairo": job("every day at 00:00 and 00:30", "Africa/Cairo"),
        "island": job("every day at 02:10", "Australia/Lord_Howe", "30min"),
        "weekly": job("every 2 weeks on sunday at 02:30", "America/New_York"),
        "monthly": job("every month on the 1st", "Pacific/Auckland"),
    },
)


def dues(task, since, until):
    found = []
    while (since := task.next(since)) <= until:
        found.append(since)
    return found


def by_task(runs):
    found = defaultdict(list)
    for run in runs:
        found[run.task.key].append(run)
    return found


def overlaps(runs):
    return [(one, other) for one, other in pairwise(runs) if one.end > other.start]


def test_each_due_time_of_a_year_has_its_run_where_nothing_goes_wrong():
    wanted = tasks(CONFIG, UTC)
    world = World(now=START, dice=random.Random(1), longest_s=600)

    live_through(world, wanted, 16, START + YEAR)

    runs = by_task(world.runs)
    for key, task in wanted.items():
        due = dues(task, START, START + YEAR - timedelta(hours=2))
        begun = [run.start for run in runs[key]]
        late = [start - at for at, start in zip(due, begun, strict=False)]

        assert len(due) <= len(begun) <= len(due) + 2
        assert all(timedelta(0) <= each for each in late)
        # prune waits for check on Sundays
        assert max(late) <= timedelta(seconds=task.jitter_s + (600 if "main" in key else 1))
        assert not task.jitter_s or len({each.seconds // 60 for each in late}) > 9


@pytest.mark.parametrize("seed", range(3))
def test_a_year_with_faults_loses_nothing_and_does_nothing_twice(seed):
    wanted = tasks(CONFIG, UTC)
    world = World(now=START, dice=random.Random(seed), faults=0.01)

    live_through(world, wanted, 2, START + YEAR)

    assert world.kills > 50
    assert not world.forgotten
    runs = by_task(world.runs)
    for key, task in wanted.items():
        begun = [run for run in runs[key] if run.code != BUSY]
        whole = [START, *(run.start for run in begun if run.is_whole)]
        noted = [START, *(run.start for run in begun if run.noted)]
        soon = timedelta(seconds=task.jitter_s, hours=6)

        assert not overlaps(begun)
        # each run that anybody knows of was due, once, since the one before
        assert all(task.next(before) <= start for before, start in pairwise(noted))
        # and all that was due was run, soon
        assert all(world.up(task.next(a), b) < soon for a, b in pairwise([*whole, world.now]))
