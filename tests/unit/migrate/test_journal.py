"""What a migration writes down, and what is made of it later."""

import json
import os
import resource
import signal
from pathlib import Path

import pytest

from backup.errors import BackupError, InUse, UsageError
from backup.migrate import journal
from backup.migrate.apply import Remedy, downtime_s, remedy
from backup.migrate.facts import Origin, Wishes
from backup.migrate.journal import Record
from backup.migrate.plan import Plan, plan
from backup.migrate.step import CreateContainer, StartTarget, StopSource
from tests.unit.migrate.scenes import ground, inspected, lone, origin, volume

ID = "0123456789abcdef"


def planned(about: Origin | None = None) -> Plan:
    return plan(about or origin(data=(volume(),)), ground(), Wishes())


def read(path: Path) -> Record:
    return journal.parsed(path.read_bytes(), path)


def number(record: Record, kind: type) -> int:
    return next(n for n, _ in record.steps(kind))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.begin(0)
        opened.note(0, {"absent": True})
        opened.end(0, {"image": "sha256:x"})
        opened.begin(1)

    record = read(opened.path)
    assert record.header.steps == planned().steps
    assert (set(record.begun), set(record.done)) == ({0, 1}, {0})
    assert record.facts[0] == {"absent": True, "image": "sha256:x"}
    assert record.outcome == journal.OPEN


def test_what_was_undone_counts_no_more(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.begin(0)
        opened.end(0, {"image": "x"})
        opened.undo(0)
        opened.close_as(journal.TAKEN_BACK)

    record = read(opened.path)
    assert (record.begun, record.done, record.facts) == ({}, {}, {})
    assert record.outcome == journal.TAKEN_BACK


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "a" / "b", planned(), ID) as opened:
        assert opened.path.stat().st_mode & 0o77 == 0
    assert opened.path.parent.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_without_its_end_does_not_count(tmp_path: Path, cut: int) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.begin(0)
        whole = opened.path.stat().st_size
        opened.begin(1)
    os.truncate(opened.path, opened.path.stat().st_size - cut)

    with journal.reopened(opened.path) as again:
        assert set(again.record.begun) == {0}
        assert opened.path.stat().st_size == whole
        again.undo(0)

    assert set(read(opened.path).begun) == set()


def test_a_journal_that_is_no_journal_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"format":1}\n')

    with pytest.raises(BackupError, match=r"x\.jsonl cannot be read"):
        journal.records(tmp_path)


def test_a_journal_without_a_first_line_stands_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"form')

    assert journal.records(tmp_path) == []


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.begin(0)
        size = opened.path.stat().st_size
        with full_at(size + 10), pytest.raises(BackupError, match="cannot be written"):
            opened.end(0, {"image": "x"})
        opened.undo(0)

    record = read(opened.path)
    assert (record.begun, record.done) == ({}, {})


class full_at:
    """No file of this process may become larger."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        signal.signal(signal.SIGXFSZ, self.handler)


def test_two_runs_cannot_move_the_same_thing(tmp_path: Path) -> None:
    with (
        journal.opened(tmp_path, planned(), ID),
        pytest.raises(InUse, match="being moved by another run"),
        journal.opened(tmp_path, planned(lone(volume())), "1" * 16),
    ):
        pass


def test_two_runs_can_move_different_things(tmp_path: Path) -> None:
    with (
        journal.opened(tmp_path, planned(), ID),
        journal.opened(tmp_path, planned(lone(volume("else"))), "1" * 16),
    ):
        assert len(journal.records(tmp_path)) == 2


def test_what_a_killed_run_left_must_be_recovered_first(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID):
        pass

    with (
        pytest.raises(InUse, match="was killed") as caught,
        journal.opened(tmp_path, planned(lone(volume())), "1" * 16),
    ):
        pass
    assert caught.value.hint == f"voltar recover {ID}"


@pytest.mark.parametrize("outcome", [journal.MOVED, journal.TAKEN_BACK])
def test_what_came_to_an_end_is_in_nobodys_way(tmp_path: Path, outcome: str) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.close_as(outcome)

    with journal.opened(tmp_path, planned(), "1" * 16) as again:
        assert again.id == "1" * 16


def test_a_living_run_is_told_from_a_dead_one(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        assert journal.alive(opened.path)
        with pytest.raises(InUse, match="is at work"), journal.reopened(opened.path):
            pass

    assert not journal.alive(opened.path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(BackupError, match="cannot be kept in") as caught,
        journal.opened(tmp_path / "file" / "x", planned(), ID),
    ):
        pass
    assert "VOLTAR_STATE_DIRECTORY" in str(caught.value.hint)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    for identity in ("aa" * 8, "ab" * 8):
        with journal.opened(tmp_path, planned(), identity) as opened:
            opened.close_as(journal.TAKEN_BACK)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"), [("aa", "aa" * 8), ("ab" * 8, "ab" * 8), ("container:web", "ab" * 8)]
)
def test_a_migration_is_found(known: Path, text: str, found: str) -> None:
    assert journal.find(known, text).stem == found


@pytest.mark.parametrize("text", ["a", "ff", "", "container:other"])
def test_what_is_none_or_several_is_not_found(known: Path, text: str) -> None:
    with pytest.raises(UsageError, match="migration is called"):
        journal.find(known, text)


def test_what_was_not_about_to_be_started_is_taken_back(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        start = number(opened.record, StartTarget)
        for step in range(start):
            opened.begin(step)
            opened.end(step, {})
            assert remedy(opened.record) is Remedy.BACK
        opened.begin(start)
        assert remedy(opened.record) is Remedy.FORWARD
        opened.close_as(journal.MOVED)
        assert remedy(opened.record) is Remedy.NOTHING


def test_a_fact_is_found_by_its_step(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        assert opened.record.fact(CreateContainer, "container") is None
        opened.note(number(opened.record, CreateContainer), {"container": "c1"})
        assert opened.record.fact(CreateContainer, "container") == "c1"


def test_the_downtime_is_from_the_stop_to_the_end_of_waiting(tmp_path: Path) -> None:
    with journal.opened(tmp_path, planned(), ID) as opened:
        opened.begin(number(opened.record, StopSource))
        assert downtime_s(opened.record) is None
        opened.end(len(opened.record.header.steps) - 1, {})

    measured = downtime_s(read(opened.path))
    assert measured is not None
    assert 0 <= measured < 60


def test_what_did_not_run_was_not_down(tmp_path: Path) -> None:
    stopped = origin(inspected(State={"Running": False}))
    with journal.opened(tmp_path, planned(stopped), ID) as opened:
        for step in range(len(opened.record.header.steps)):
            opened.begin(step)
            opened.end(step, {})

    assert downtime_s(opened.record) is None


DAMAGES = {
    "a step that there is not": lambda raw: raw + line(step=99, is_="begun"),
    "a step that is what none can be": lambda raw: raw + line(step=0, is_="flown"),
    "an end that there is not": lambda raw: raw + line(is_="eaten"),
    "done without what it found out": lambda raw: raw + line(step=0, is_="done"),
    "another format": lambda raw: raw.replace(b'"format":1', b'"format":2'),
    "another's name": lambda raw: raw.replace(ID.encode(), b"f" * 16),
    "no text": lambda raw: b"\xff\xfe\n" + raw,
    "no document": lambda raw: raw + b"{]\n",
    "another kind of document": lambda raw: raw + b"7\n",
    "a step unheard of": lambda raw: raw.replace(b'"do":"image"', b'"do":"paint"'),
}


def line(*, is_: str, step: int = -1) -> bytes:
    written = {"is": is_, "time": "2026-01-01T00:00:00Z", "step": step}
    return json.dumps(written).encode() + b"\n"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_journal_that_somebody_edited_is_told_and_the_others_are_read(
    tmp_path: Path, damage: str
) -> None:
    with journal.opened(tmp_path, planned(), ID) as spoilt:
        pass
    with journal.opened(tmp_path, planned(lone(volume("else"))), "1" * 16) as sound:
        pass
    before = spoilt.path.read_bytes()
    spoilt.path.write_bytes(DAMAGES[damage](before))
    assert spoilt.path.read_bytes() != before

    known = journal.known(tmp_path)

    assert [path for path, _ in known.records] == [sound.path]
    (error,) = known.damaged
    assert str(error).startswith(f"the journal {spoilt.path} cannot be read: ")
    assert journal.find(tmp_path, "1111") == sound.path
    with pytest.raises(BackupError, match="cannot be read"):
        journal.find(tmp_path, ID)
    with pytest.raises(BackupError, match="cannot be read"), journal.reopened(spoilt.path):
        pass
    with (
        pytest.raises(BackupError, match="cannot be read"),
        journal.opened(tmp_path, planned(lone(volume("third"))), "2" * 16),
    ):
        pass


def test_a_full_disk_at_the_first_line_leaves_no_journal(tmp_path: Path) -> None:
    with (
        full_at(100),
        pytest.raises(BackupError, match="cannot be kept"),
        journal.opened(tmp_path, planned(), ID),
    ):
        pass

    assert list(tmp_path.glob("*.jsonl")) == []
