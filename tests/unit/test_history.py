"""The history of runs: bounded, shared, and never in the way of a backup."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup import history
from backup.errors import BackupError
from backup.history import History, Kind, Result, Run, SourceResult
from tests.acceptance.cli import until

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
DB = SourceResult(source="volume:db", host="here", snapshot="a1", time=NOW, files=3, size=9)


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def book(tmp_path, troubles):
    return History(tmp_path / "history.sqlite", troubles.append)


def run(number=0, *, job="nightly", kind=Kind.BACKUP):
    return Run(id=f"{number:04}", kind=kind, job=job, started=NOW + timedelta(hours=number))


def lived(book, number, *found, result=Result.OK, **which):
    """A run from its beginning to its end."""
    begun = run(number, **which)
    book.begin(begun)
    for each in found:
        book.add(begun.id, each)
    book.end(begun.id, begun.started + timedelta(minutes=1), result, "")


def test_a_run_is_known_from_its_beginning_to_its_end(book):
    book.begin(run())

    assert [(each.id, each.result) for each in book.runs()] == [("0000", None)]

    book.add("0000", DB)
    book.say("0000", "said")
    book.end("0000", NOW + timedelta(minutes=1), Result.INCOMPLETE, "why")

    (found,) = book.runs(job="nightly", kind=Kind.BACKUP)
    assert (found.result, found.message) == (Result.INCOMPLETE, "why")
    assert found.ended == NOW + timedelta(minutes=1)
    assert book.sources("0000") == [DB]
    assert [each.text for each in book.messages("0000")] == ["said"]


def test_what_is_asked_for_is_told_the_newest_first(book):
    lived(book, 1)
    lived(book, 2, job="other")
    lived(book, 3, kind=Kind.DRILL)

    assert [each.id for each in book.runs()] == ["0003", "0002", "0001"]
    assert [each.id for each in book.runs(job="nightly")] == ["0003", "0001"]
    assert [each.id for each in book.runs(kind=Kind.BACKUP, limit=1)] == ["0002"]
    assert [each.id for each in book.called("0002")] == ["0002"]
    assert book.called("%") == []


def test_nothing_is_made_by_asking(book, tmp_path):
    assert book.runs() == []
    assert list(tmp_path.iterdir()) == []


def test_since_when_a_job_is_known_does_not_change(book):
    assert book.seen("nightly", NOW) == NOW
    assert book.seen("nightly", NOW + timedelta(days=1)) == NOW


def test_since_when_a_job_is_known_is_not_the_future(book):
    """Else a job that never runs would not be overdue until then."""
    book.seen("nightly", NOW + timedelta(days=400))

    assert book.seen("nightly", NOW) == NOW
    assert book.seen("nightly", NOW + timedelta(days=1)) == NOW


CHILD = """
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from backup.history import History, Kind, Result, Run, SourceResult
book = History(Path(sys.argv[1]), print)
for number in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}-{number}"
    book.begin(Run(id=name, kind=Kind.BACKUP, job=sys.argv[2], started=datetime.now(UTC)))
    book.add(name, SourceResult(source="volume:db", host="here", snapshot="a1"))
    if sys.argv[4] == "end":
        book.end(name, datetime.now(UTC), Result.OK)
    print("begun", flush=True)
if sys.argv[4] == "wait":
    sys.stdin.read()
"""


def child(path, name, *, runs=1, then="end"):
    words = [sys.executable, "-c", CHILD, str(path), name, str(runs), then]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=Path.cwd())


def test_a_run_that_was_killed_is_known_to_be_and_one_that_goes_on_is_not(book, tmp_path):
    with child(book.path, "job", then="wait") as process:
        assert process.stdout.readline() == "begun\n"
        assert [each.result for each in book.runs()] == [None]

        process.send_signal(signal.SIGKILL)
        process.wait()

    (found,) = book.runs()
    assert (found.result, found.ended) == (Result.KILLED, None)
    assert list((tmp_path / "runs").iterdir()) == []


def test_whenever_a_writer_is_killed_the_history_is_whole(book, troubles):
    for _ in range(6):
        with child(book.path, f"job{os.urandom(3).hex()}", runs=500) as process:
            for _ in range(3):
                process.stdout.readline()
            process.kill()
            process.stdout.read()
        assert book.runs(limit=5000)

    lived(book, 9999)
    assert book.runs(job="nightly")[0].result is Result.OK
    assert troubles == []


def test_several_processes_write_at_once(book):
    with child(book.path, "a", runs=25) as one, child(book.path, "b", runs=25) as two:
        said = [process.communicate()[0] for process in (one, two)]

    assert said == ["begun\n" * 25] * 2
    assert [len(book.runs(job=job)) for job in "ab"] == [25, 25]
    assert {each.result for each in book.runs()} == {Result.OK}


def damage(path):
    path.write_bytes(b"no database, but something of a length that could be one" * 40)


def tear(path):
    """Write over what is behind the first page."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))


@pytest.mark.parametrize("harm", [damage, tear])
def test_a_damaged_history_is_moved_aside_and_runs_go_on(book, troubles, harm, tmp_path):
    for number in range(30):
        lived(book, number, DB)
    harm(book.path)
    harmed = book.path.read_bytes()

    lived(book, 99, DB)

    assert [each.id for each in book.runs()] == ["0099"]
    assert book.sources("0099") == [DB]
    (aside,) = tmp_path.glob("history.sqlite.damaged-*")
    assert aside.read_bytes() == harmed
    assert troubles == [f"the history is damaged; it is {aside} now, and begins anew"]


def test_a_damaged_history_that_is_only_asked_is_moved_aside_as_well(book, troubles):
    damage(book.path)

    assert book.runs() == []
    assert len(troubles) == 1


def test_what_another_process_has_begun_anew_is_not_moved_aside(book, troubles, tmp_path):
    lived(book, 1)
    late = History(book.path, troubles.append)

    late._database._move_aside(book.path.stat().st_ino - 1)

    assert [each.id for each in book.runs()] == ["0001"]
    assert troubles == []


def test_a_history_of_an_older_voltar_goes_on(book, troubles):
    lived(book, 1, DB)
    with closing(sqlite3.connect(book.path)) as database, database:
        database.execute("DROP INDEX source_of_name")
        database.execute("PRAGMA user_version = 1")

    lived(book, 2, DB)

    assert [each.id for each in book.runs()] == ["0002", "0001"]
    with closing(sqlite3.connect(book.path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
    assert ("source_of_name",) in names
    assert troubles == []


def test_a_history_of_a_newer_voltar_is_left_alone(book, troubles):
    lived(book, 1)
    with sqlite3.connect(book.path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    before = book.path.read_bytes()

    lived(book, 2)

    assert troubles == [f"cannot write the history, {book.path}: it was written by a newer voltar"]
    assert book.path.read_bytes() == before
    with pytest.raises(BackupError, match=r"cannot read the history, .*newer voltar"):
        book.runs()


def test_where_there_is_no_room_runs_go_on_and_it_is_told_once(tmp_path, troubles):
    """The disk of its own has room for the schema, and for few runs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], check=True)
    try:
        book = History(disk / "history.sqlite", troubles.append)
        for number in range(40):
            lived(book, number, *[DB] * 20)
        assert len(troubles) == 1
        assert "disk is full" in troubles[0] or "No space left" in troubles[0]
        kept = [book.sources(each.id) for each in book.runs()]
        assert 0 < sum(map(len, kept)) < 40 * 20
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_run_whose_beginning_could_not_be_written_is_there_at_its_end(book, troubles, tmp_path):
    aside = tmp_path / "aside"
    (tmp_path / "history.sqlite").mkdir()
    book.begin(run())
    book.path.rename(aside)

    book.end("0000", NOW, Result.OK)

    assert [each.id for each in book.runs()] == ["0000"]
    assert len(troubles) == 1


def test_what_cannot_be_asked_is_an_error(tmp_path):
    (tmp_path / "history.sqlite").mkdir()

    with pytest.raises(BackupError, match="cannot read the history"):
        History(tmp_path / "history.sqlite").runs()


def test_old_runs_are_let_go_but_not_the_last_success_of_a_source(book, monkeypatch):
    monkeypatch.setattr(history.book, "MOST_RUNS", 3)
    monkeypatch.setattr(history.book, "MOST_TALKATIVE", 2)
    lived(book, 0, DB)
    lived(book, 1, SourceResult(source="volume:web", host="here", snapshot="a2"))
    lived(book, 2, job="other")

    for number in range(3, 9):
        begun = run(number)
        book.begin(begun)
        book.say(begun.id, "said")
        book.add(begun.id, DB)
        book.end(begun.id, NOW, Result.OK)

    assert [each.id for each in book.runs()] == ["0008", "0007", "0006", "0002", "0001"]
    assert book.sources("0000") == []
    assert [len(book.messages(each.id)) for each in book.runs()] == [1, 1, 0, 0, 0]
    assert [each.snapshot for each in book.successes(Kind.BACKUP, "nightly", "volume:web", 5)] == [
        "a2"
    ]


def test_what_is_said_is_bounded_and_without_passwords(book):
    book.begin(run())
    for _ in range(history.MOST_MESSAGES + 50):
        book.say("0000", "x" * 5000)
    book.say("other", "cannot reach s3://key:hush@host/bucket, \udcff")
    book.end("0000", NOW, Result.OK)

    said = [each.text for each in book.messages("0000")]
    assert len(said) == history.MOST_MESSAGES
    assert {len(each) for each in said[:-1]} == {history.LONGEST_MESSAGE}
    assert said[-1] == "more was said, which is not kept"
    assert [each.text for each in book.messages("other")] == [
        "cannot reach s3://***@host/bucket, \\udcff"
    ]


def test_a_lock_that_is_gone_ends_no_run(book, tmp_path):
    book.begin(run())
    for each in (tmp_path / "runs").iterdir():
        each.unlink()

    book.end("0000", NOW, Result.OK)

    until(lambda: book.runs()[0].result is Result.OK)


def test_a_name_that_is_no_text_is_written_down_as_well(book, troubles):
    lived(book, 1, SourceResult(source="path:/\udcff", host="here"))

    assert [each.source for each in book.sources("0001")] == ["path:/\\udcff"]
    assert troubles == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("result", "oj"),
        ("started", "2026-13-25T03:00:00+00:00"),
        ("started", "2026-11-25T03:00:00"),
        ("ended", b"2026\xff"),
    ],
)
def test_what_stands_in_it_and_cannot_be_understood_is_damage(book, troubles, column, value):
    """SQLite has no checksums: a bit that flips within a text is no damage to it."""
    lived(book, 1, DB)
    with closing(sqlite3.connect(book.path)) as database, database:
        database.execute(f"UPDATE run SET {column} = CAST(? AS TEXT)", (value,))

    assert book.runs() == []
    (aside,) = book.aside()
    assert troubles == [f"the history is damaged; it is {aside} now, and begins anew"]
    lived(book, 2, DB)
    assert [each.id for each in book.runs()] == ["0002"]
