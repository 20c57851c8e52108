"""How checks, prunes and drills are: what is overdue, what failed, what is not asked for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from backup.config import Config
from backup.history import History, Kind, Result, Run
from backup.status import ChoreFacts, State, chores, judge_chore
from backup.timing.sentence import parse_sentence

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(text):
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


def run(started, result=Result.OK, lasted=0.0):
    ended = at(started) + timedelta(hours=lasted)
    return Run(id="a", kind=Kind.CHECK, job="main", started=at(started), ended=ended, result=result)


def chore(schedule="every sunday at 12:00", *, since="01T00:00", last=None, success=None, **more):
    return ChoreFacts(
        kind=Kind.CHECK,
        name="main",
        since=at(since),
        schedule=parse_sentence(schedule) if schedule else None,
        zone=more.pop("zone", UTC),
        last=last or success,
        success=success,
        **more,
    )


@pytest.mark.parametrize(
    ("facts", "now", "expected"),
    [
        (chore(success=run("15T12:00")), "22T11:00", State.FINE),
        (chore(success=run("15T12:00")), "23T11:59", State.FINE),
        (chore(success=run("15T12:00")), "23T12:01", State.OVERDUE),
        (chore(success=run("15T12:00", lasted=5)), "23T16:59", State.FINE),
        (chore(success=run("15T12:00", lasted=5)), "23T17:01", State.OVERDUE),
        (chore(success=run("15T12:00"), jitter_s=7200), "23T13:59", State.FINE),
        (chore(success=run("15T12:00"), jitter_s=7200), "23T14:01", State.OVERDUE),
        (chore(since="20T00:00"), "23T11:00", State.NEVER),
        (chore(since="20T00:00"), "23T12:01", State.OVERDUE),
        # the schedule is new: what was not asked for is not missed
        (chore(since="23T00:00", success=run("02T12:00")), "28T00:00", State.FINE),
        (chore(since="23T00:00", success=run("02T12:00")), "30T12:01", State.OVERDUE),
        (chore(None, success=run("01T12:00")), "30T12:00", State.FINE),
        (chore(None, last=run("01T12:00", Result.FAILED)), "30T12:00", State.FAILED),
        (chore(success=run("15T12:00"), last=run("22T12:00", Result.KILLED)), "22T13:00", "failed"),
        (chore(success=run("15T12:00"), last=run("22T12:00", Result.FAILED)), "30T13:00", "failed"),
        (
            chore(last=run("22T12:00", Result.INCOMPLETE), success=run("15T12:00")),
            "22T13:00",
            State.FAILED,  # a drill of which a part failed
        ),
    ],
)
def test_a_chore_is_as_it_went_last_and_overdue_as_a_source_is(facts, now, expected):
    assert judge_chore(facts, at(now)).state is State(expected)


def test_a_chore_is_due_by_its_own_clock():
    facts = chore("every day at 03:00", zone=ZoneInfo("Asia/Tokyo"))

    assert judge_chore(facts, NOW).next_run == at("25T18:00")


@pytest.fixture
def book(tmp_path):
    return History(tmp_path / "history.sqlite")


CONFIG = msgspec.convert(
    {
        "repositories": {
            "main": {"location": "/srv", "check": "every day at 03:00", "time-zone": "Asia/Tokyo"},
            "far": {"location": "sftp://nas/srv"},
        },
        "jobs": {
            "nightly": {"drill": {"schedule": "every sunday"}, "time-zone": "Asia/Kolkata"},
            "by-hand": {"drill": {}},
        },
    },
    Config,
)


def lived(book, hours, kind, job, result=Result.OK):
    begun = Run(id=f"{kind.value} {hours}", kind=kind, job=job, started=NOW - hours * HOUR)
    book.begin(begun)
    if result is not None:
        book.end(begun.id, begun.started + HOUR, result)


def found(book, now=NOW):
    return {each.subject: each for each in chores(CONFIG, book, zone=UTC, now=now)}


def test_what_has_a_schedule_is_known_before_it_was_ever_done(book):
    seen = found(book)

    assert list(seen) == ["check main", "drill nightly"]
    assert [str(each.zone) for each in seen.values()] == ["Asia/Tokyo", "Asia/Kolkata"]


def test_what_is_asked_for_later_counts_from_then(book):
    assert found(book)["check main"].since == NOW
    assert found(book, NOW + 99 * HOUR)["check main"].since == NOW


def test_what_was_done_by_hand_is_known_too_by_both_of_its_names(book):
    lived(book, 9, Kind.PRUNE, "far")
    lived(book, 5, Kind.PRUNE, "sftp://nas/srv", Result.FAILED)
    lived(book, 4, Kind.CHECK, "elsewhere")
    lived(book, 3, Kind.DRILL, "by-hand", Result.INCOMPLETE)

    seen = found(book)

    assert list(seen) == ["check main", "prune far", "drill nightly", "drill by-hand"]
    assert seen["prune far"].success.started == NOW - 9 * HOUR
    assert seen["prune far"].last.started == NOW - 5 * HOUR
    assert (seen["check main"].last, seen["drill by-hand"].success) == (None, None)


def test_what_goes_on_does_not_hide_how_it_went_last(book):
    lived(book, 9, Kind.CHECK, "main")
    lived(book, 5, Kind.CHECK, "main", Result.FAILED)
    lived(book, 1, Kind.CHECK, "main", None)

    one = found(book)["check main"]

    assert (one.last.result, one.success.started) == (Result.FAILED, NOW - 9 * HOUR)


def test_a_success_is_found_however_many_failures_came_since(book):
    lived(book, 60, Kind.CHECK, "main")
    for number in range(30):
        lived(book, 30 - number, Kind.CHECK, "main", Result.FAILED)

    assert found(book)["check main"].success.started == NOW - 60 * HOUR
