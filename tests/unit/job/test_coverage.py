"""How each volume and bind mount is looked after, and how old a snapshot may be."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config import Config, Host, Job
from backup.engine import Container, Mount, Volume
from backup.job.coverage import Claim, Coverage, Covered, State, cover, hosts
from backup.selection.intent import Present
from backup.timing.freshness import fresh_until

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
DAILY = Job(schedule="every day at 03:00", time_zone="UTC")
HOUR = timedelta(hours=1)


def claim(name: str = "a", job: Job = DAILY, **more: Any) -> Claim:
    newest = {f"volume:{each}": NOW - age for each, age in more.pop("ages", {}).items()}
    left_out = {f"volume:{each}": why for each, why in more.pop("left_out", {}).items()}
    taken = frozenset(f"volume:{each}" for each in more.pop("taken", ()))
    values = {"newest": newest} | more
    return Claim(name=name, job=job, taken=taken, left_out=left_out, **values)


def state_of(*claims: Claim) -> Covered:
    there = Present((), (Volume(name="v", driver="local"),))
    (found,) = cover("local", there, claims, NOW, UTC)
    return found


@pytest.mark.parametrize(
    ("claims", "state", "why"),
    [
        ([], State.FORGOTTEN, "no job chooses it"),
        ([claim()], State.FORGOTTEN, "no job chooses it"),
        ([claim(left_out={"v": "its label"})], State.EXCLUDED, "a: its label"),
        ([claim(taken=["v"])], State.STALE, "a: there is no snapshot of it"),
        ([claim(taken=["v"], ages={"v": 9 * HOUR})], State.PROTECTED, ""),
        (
            [claim(taken=["v"], ages={"v": 50 * HOUR})],
            State.STALE,
            "a: its newest snapshot is 2 d old, 21 h too old",
        ),
        (
            [claim(taken=["v"], newest=None, error="it is away")],
            State.STALE,
            "a: it is away",
        ),
        (
            [claim(taken=["v"], ages={"v": 9 * HOUR}), claim("b", left_out={"v": "no"})],
            State.PROTECTED,
            "",
        ),
        (
            [claim(taken=["v"], ages={"v": 9 * HOUR}), claim("b", taken=["v"])],
            State.STALE,
            "b: there is no snapshot of it",
        ),
    ],
)
def test_a_source_is(claims: list[Claim], state: State, why: str) -> None:
    found = state_of(*claims)

    assert (found.state, found.why) == (state, why)


def test_what_containers_mount_is_found_and_what_holds_no_data_is_excluded() -> None:
    mount = Mount(kind="bind", source="/srv", destination="/s", read_only=False)
    web = Container(
        id="1",
        name="web",
        running=True,
        paused=False,
        labels={},
        mounts=(mount,),
        skipped=(("/run/docker.sock", "it is a socket"),),
        definition={},
    )

    found = cover("local", Present((web,), ()), [], NOW, UTC)

    assert [(each.source, each.state, each.users) for each in found] == [
        ("path:/srv", State.FORGOTTEN, ("web",)),
        ("web:/run/docker.sock", State.EXCLUDED, ()),
    ]


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        (Coverage(), True),
        (Coverage(covered=[state_of(claim(left_out={"v": "x"}))]), True),
        (Coverage(covered=[state_of(claim(taken=["v"], ages={"v": HOUR}))]), True),
        (Coverage(covered=[state_of(claim(taken=["v"]))]), False),
        (Coverage(covered=[state_of()]), False),
        (Coverage(unreached={"web": "gone"}), False),
        (Coverage(complaints=["x"]), False),
    ],
)
def test_only_what_is_right_everywhere_is_whole(found: Coverage, whole: bool) -> None:
    assert found.whole is whole


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), ["local"]),
        (Config(hosts={"web": Host(url="tcp://x")}), ["web"]),
        (Config(hosts={"web": Host(url="tcp://x")}, jobs={"a": Job()}), ["local", "web"]),
        (Config(hosts={"local": Host(url="tcp://x")}, jobs={"a": Job()}), ["local"]),
    ],
)
def test_the_engine_of_this_machine_counts_if_a_job_is_about_it(
    config: Config, expected: list[str]
) -> None:
    assert hosts(config) == expected


@pytest.mark.parametrize(
    ("schedule", "newest", "until"),
    [
        ("every day at 03:00", "2026-11-25T03:01", "2026-11-26T15:00"),
        ("every day at 03:00", "2026-11-25T02:59", "2026-11-25T15:00"),
        ("every hour", "2026-11-25T10:00", "2026-11-25T12:00"),
        ("every 15 minutes", "2026-11-25T10:01", "2026-11-25T11:15"),
        ("every monday at 13:15", "2026-11-23T13:20", "2026-12-01T13:15"),
        ("every month", "2026-11-01T00:05", "2026-12-02T00:00"),
        (None, "2026-11-01T00:00", "2026-11-08T00:00"),
    ],
)
def test_a_snapshot_is_fresh_until_the_next_run_should_have_ended(
    schedule: str | None, newest: str, until: str
) -> None:
    job = Job(schedule=schedule)

    found = fresh_until(job, datetime.fromisoformat(newest).replace(tzinfo=UTC), UTC)

    assert found == datetime.fromisoformat(until).replace(tzinfo=UTC)


def test_jitter_and_the_zone_of_the_job_or_of_the_machine_count() -> None:
    newest = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
    job = Job(schedule="every day at 03:00", jitter="30min")

    assert fresh_until(job, newest, BERLIN) == datetime(2026, 11, 26, 14, 30, tzinfo=UTC)
    told = Job(schedule="every day at 03:00", time_zone="Asia/Tokyo")
    assert fresh_until(told, newest, BERLIN) == datetime(2026, 11, 26, 6, 0, tzinfo=UTC)


@given(
    st.sampled_from(["every hour", "every 6 hours", "every day at 02:30", "every month", None]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(days=40)),
)
def test_a_newer_snapshot_is_never_stale_before_an_older_one(
    schedule: str | None, newest: datetime, later: timedelta
) -> None:
    job = Job(schedule=schedule)

    until = fresh_until(job, newest, BERLIN)

    assert until > newest + HOUR / 2
    assert fresh_until(job, newest + later, BERLIN) >= until
