"""How sources are: what is overdue, what failed, what was proven, and who says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from backup.config import Config
from backup.history import History, Kind, Result, Run, SourceResult
from backup.repository import Recorded, Snapshot, SnapshotId, Statistics
from backup.status import JobFacts, SourceFacts, State, gather, judge
from backup.timing.sentence import parse_sentence

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def at(text):
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


def job(schedule="every day at 03:00", *, saved=None, since="01T00:00", last=None, **source):
    sources = [SourceFacts(source="volume:db", saved=saved and at(saved), **source)]
    return JobFacts(
        name="nightly",
        since=at(since),
        schedule=parse_sentence(schedule) if schedule else None,
        zone=UTC,
        last=last,
        sources=tuple(sources),
    )


def ended(started, result):
    when = at(started)
    return Run(id="a", kind=Kind.BACKUP, job="nightly", started=when, ended=when, result=result)


@pytest.mark.parametrize(
    ("schedule", "saved", "now", "expected"),
    [
        ("every day at 03:00", "25T03:00:01", "25T12:00", State.FINE),
        ("every day at 03:00", "24T03:00:01", "25T14:59", State.FINE),
        ("every day at 03:00", "24T03:00:01", "25T15:01", State.OVERDUE),
        ("every hour", "25T11:00:01", "25T12:59", State.FINE),
        ("every hour", "25T11:00:01", "25T13:01", State.OVERDUE),
        ("every 5 minutes", "25T11:00:01", "25T12:04", State.FINE),
        ("every 5 minutes", "25T11:00:01", "25T12:06", State.OVERDUE),
        ("every weekday at 03:00", "20T03:00:01", "23T14:00", State.FINE),
        ("every weekday at 03:00", "20T03:00:01", "23T15:01", State.OVERDUE),
        ("every month on the 1st at 03:00", "01T03:00:01", "30T12:00", State.FINE),
        (None, "01T03:00", "30T12:00", State.FINE),
        ("every monday at 03:00", "16T03:00:01", "24T02:59", State.FINE),
        ("every monday at 03:00", "16T03:00:01", "24T03:01", State.OVERDUE),
    ],
)
def test_a_source_is_overdue_half_a_period_after_it_was_due(schedule, saved, now, expected):
    found = judge(job(schedule, saved=saved), at(now))

    assert (found.sources[0].state, found.state) == (expected, expected)


def test_a_job_may_take_as_long_as_it_took():
    facts = job(saved="24T03:00:01", seconds=3600.0)

    assert judge(facts, at("25T15:30")).state is State.FINE
    assert judge(facts, at("25T16:01")).state is State.OVERDUE


def test_a_job_may_begin_as_late_as_its_jitter_says():
    facts = replace(job(saved="24T03:00:01"), jitter_s=7200.0)

    assert judge(facts, at("25T16:59")).state is State.FINE
    assert judge(facts, at("25T17:01")).state is State.OVERDUE


def test_a_job_that_never_ran_is_overdue_after_it_was_due_first():
    facts = job(since="24T12:00")

    assert judge(facts, at("25T02:00")).state is State.NEVER
    assert judge(facts, at("25T15:01")).state is State.OVERDUE


def test_what_a_wrong_clock_has_tried_in_the_future_is_overdue_before_that():
    found = judge(job(last=ended("30T03:00", Result.OK)), at("05T00:00"))

    assert found.state is State.OVERDUE


def test_a_source_that_came_later_is_counted_from_the_last_run():
    facts = job(since="01T00:00", last=ended("25T03:00", Result.OK))

    assert judge(facts, NOW).sources[0].state is State.NEVER
    assert judge(facts, at("26T15:01")).sources[0].state is State.OVERDUE


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Result.OK, State.FINE),
        (Result.INCOMPLETE, State.FINE),
        (Result.FAILED, State.FAILED),
        (Result.KILLED, State.FAILED),
        (None, State.FINE),
    ],
)
def test_a_run_that_failed_or_was_killed_is_told_though_its_source_is_fine(result, expected):
    found = judge(job(saved="25T03:00:01", last=ended("25T04:00", result)), NOW)

    assert (found.state, found.sources[0].state) == (expected, State.FINE)
    assert found.state.is_alarming == (expected is State.FAILED)


def test_what_is_held_or_failed_is_told():
    assert judge(job(saved="25T03:00:01", held="files: 9, 1"), NOW).state is State.HELD
    assert judge(job(saved="24T03:00:01", failure="gone"), NOW).state is State.FAILED


def test_the_next_run_is_by_the_clock_of_the_job():
    facts = JobFacts(
        name="n", since=NOW, schedule=parse_sentence("every day at 03:00"), zone=BERLIN
    )

    assert judge(facts, NOW).next_run == at("26T02:00")


@pytest.fixture
def book(tmp_path):
    return History(tmp_path / "history.sqlite")


def configured(**job):
    known = {"repositories": {"main": {"location": "/srv"}}, "jobs": {"nightly": job}}
    return msgspec.convert(known, Config)


def lived(book, number, *found, kind=Kind.BACKUP, job="nightly", result=Result.OK, message=""):
    begun = Run(id=f"{number:03}", kind=kind, job=job, started=NOW - timedelta(hours=100 - number))
    book.begin(begun)
    for each in found:
        book.add(begun.id, each)
    book.end(begun.id, begun.started + timedelta(minutes=1), result, message)
    return begun


def saved(source="volume:db", number=0, size=10, **more):
    time = NOW - timedelta(hours=100 - number)
    name = f"s{number}"
    return SourceResult(source=source, host="here", snapshot=name, time=time, size=size, **more)


def facts(book, snapshots=None, **job):
    (found,) = gather(configured(**job), book, snapshots or {}, zone=UTC, now=NOW)
    return {each.source: each for each in found.sources}


def test_the_history_knows_what_a_job_saves_and_what_became_of_it(book):
    lived(book, 1, saved(number=1), saved("path:/srv", 1))
    lived(
        book,
        2,
        saved(number=2, size=20),
        SourceResult(source="path:/srv", host="here", message="it is gone"),
        result=Result.INCOMPLETE,
    )

    found = facts(book)

    assert list(found) == ["path:/srv", "volume:db"]
    assert found["volume:db"].sizes == (10, 20)
    assert found["volume:db"].saved == NOW - timedelta(hours=98)
    assert (found["path:/srv"].failure, found["path:/srv"].snapshot) == ("it is gone", "s1")
    assert not found["volume:db"].from_repository


def test_what_a_job_does_not_try_any_more_is_none_of_its_sources(book):
    lived(book, 1, saved(number=1), saved("volume:old", 1))
    lived(book, 2, saved(number=2))

    assert list(facts(book)) == ["volume:db"]


def test_a_run_that_was_ended_early_does_not_hide_sources(book):
    lived(book, 1, saved(number=1), saved("volume:web", 1))
    lived(book, 2, saved(number=2), result=Result.FAILED, message="the store is gone")

    assert list(facts(book)) == ["volume:db", "volume:web"]


def test_a_volume_that_is_named_and_was_never_saved_is_there(book):
    found = facts(book, volumes=["data"])

    assert (found["volume:data"].saved, found["volume:data"].sizes) == (None, ())


def snapshot(number, *, source="volume:db", host="here", tags=(), forgotten=None, **more):
    counts = Statistics(size=number, files=number)
    one = Snapshot(
        time=NOW - timedelta(hours=100 - number),
        host=host,
        source=source,
        run="00",
        tags=list(tags),
        statistics=counts,
        **more,
    )
    return Recorded(id=SnapshotId(f"r{number}"), snapshot=one, forgotten=forgotten)


def test_where_the_repository_answers_it_says_when_a_source_was_saved(book):
    lived(book, 1, saved(number=1))
    kept = [snapshot(1), snapshot(5), snapshot(6, forgotten=NOW), snapshot(7, host="elsewhere")]

    one = facts(book, {"main": kept})["volume:db"]

    assert (one.snapshot, one.sizes, one.from_repository) == ("r5", (1, 5), True)


def test_what_a_wrong_clock_has_dated_in_the_future_is_no_success(book):
    """Else nothing would be overdue until then."""
    lived(book, 1, saved(number=1))
    lived(book, 2, saved(number=500))

    assert facts(book)["volume:db"].snapshot == "s1"
    known = [snapshot(1), snapshot(500)]
    assert facts(book, {"main": known})["volume:db"].snapshot == "r1"


def test_a_run_of_a_wrong_clock_hides_no_later_one(book):
    lived(book, 500, saved(number=500))
    lived(book, 1, SourceResult(source="volume:db", host="here", message="no space"))

    assert facts(book)["volume:db"].failure == "no space"


def test_what_a_wrong_clock_has_verified_is_not(book):
    lived(book, 1, saved(number=1))
    lived(book, 500, drilled("content"), kind=Kind.DRILL)

    assert facts(book)["volume:db"].verified is None


def test_a_success_that_the_history_remembers_and_the_repository_has_not_is_none(book):
    lived(book, 1, saved(number=1))

    one = facts(book, {"main": []})["volume:db"]

    assert (one.saved, one.sizes, one.from_repository) == (None, (), True)


def test_what_was_saved_and_is_lost_alarms_before_it_is_due_again(book):
    lived(book, 1, saved(number=1), saved("volume:new", number=100))

    lost, just_saved = (facts(book, {"main": []})[f"volume:{each}"] for each in ("db", "new"))

    assert "has no snapshot of it any more" in lost.failure
    assert just_saved.failure == ""


def test_what_is_held_is_known_from_both_until_it_is_accepted(book):
    lived(book, 1, saved(number=1, held="files: 9, 1"))
    bad = snapshot(5, anomalies=["files: 9, 1"])
    accepted = snapshot(5, anomalies=["files: 9, 1"], tags=["accepted"])

    assert facts(book)["volume:db"].held == "files: 9, 1"
    assert facts(book, {"main": [bad]})["volume:db"].held == "files: 9, 1"
    assert facts(book, {"main": [accepted]})["volume:db"].held == ""

    book.release("s1")
    assert facts(book)["volume:db"].held == ""


def drilled(level, message=""):
    snapshot = None if message else "s1"
    return SourceResult(
        source="volume:db", host="here", snapshot=snapshot, level=level, message=message
    )


def checked(level):
    return SourceResult(source="repository", host="", level=level)


def test_what_was_verified_is_what_was_read_and_right(book):
    lived(book, 1, saved(number=1))
    lived(book, 2, drilled("boot"), kind=Kind.DRILL)
    lived(book, 3, checked("store"), kind=Kind.CHECK, job="main")
    lived(book, 4, drilled("catalog", "content: a byte is wrong"), kind=Kind.DRILL)

    one = facts(book)["volume:db"]

    assert (one.verified.level, one.verified.time) == ("boot", NOW - timedelta(hours=98))
    assert one.drilled.failure == "content: a byte is wrong"

    lived(book, 5, checked("content"), kind=Kind.CHECK, job="main")
    lived(book, 6, checked("content"), kind=Kind.CHECK, job="main", result=Result.FAILED)

    one = facts(book)["volume:db"]
    assert (one.verified.level, one.verified.time) == ("content", NOW - timedelta(hours=95))
