"""What is written down about containers that are kept quiet, and who may read it."""

from pathlib import Path

import pytest

from backup.config import Hook, Quiesce, When
from backup.errors import BackupError
from backup.quiesce import journal
from backup.quiesce.journal import Header, Journal, Line, Touched, UnitRecord

TOUCHED = Touched(id="f0", name="db", how=Quiesce.STOP, grace_s=10, service=("shop", "db", "1"))
HOOK = Hook(when=When.AFTER, command=["true"])


def header(run: str = "r1") -> Header:
    unit = UnitRecord(containers=(TOUCHED,), hooks=(HOOK,))
    return Header(
        format=journal.FORMAT, run=run, job="nightly", engine="E", url="unix:///s", units=(unit,)
    )


def written(directory: Path, *lines: Line) -> Path:
    """A journal of a run that is dead."""
    with journal.opened(directory, header()) as opened:
        for line in lines:
            opened.write(line)
    return opened.path


def the_only(directory: Path) -> Journal:
    (found,) = [each for each in journal.dead(directory) if isinstance(each, Journal)]
    return found


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written(
        tmp_path,
        Line(unit=0, is_="begun", at=1.0),
        Line(unit=0, is_="quieting", at=2.0, container=0),
        Line(unit=0, is_="hook", at=3.0, hook=0, exec="e1"),
    )

    record = the_only(tmp_path).record

    assert record.header == header()
    assert (record.units[0].begun, record.units[0].quieting) == (True, {0: 2.0})
    assert (record.units[0].hooks, record.units[0].done) == ({0: "e1"}, set())


def test_one_of_a_run_that_lives_is_not_to_be_had(tmp_path: Path) -> None:
    with journal.opened(tmp_path, header()):
        assert list(journal.dead(tmp_path)) == []


def test_a_line_that_was_being_written_does_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, Line(unit=0, is_="begun", at=1.0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"unit":0,"is":"quieti')

    assert the_only(tmp_path).record.units[0].quieting == {}
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b'"format":1', b'"format":9'),
        lambda raw: raw + b'{"unit":7,"is":"begun","at":1}\n',
        lambda raw: raw + b'{"unit":0,"is":"eaten","at":1}\n',
        lambda raw: b"\x00" * len(raw) + b"\n",
    ],
    ids=["format", "unit", "word", "zeros"],
)
def test_one_that_cannot_be_read_is_told_and_kept(tmp_path: Path, damage) -> None:
    path = written(tmp_path)
    path.write_bytes(damage(path.read_bytes()))

    (found,) = journal.dead(tmp_path)

    assert isinstance(found, BackupError)
    assert str(path) in str(found)
    assert path.exists()


def test_no_journal_can_be_kept_where_there_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(BackupError, match="cannot be kept"),
        journal.opened(tmp_path / "file" / "quiesce", header()),
    ):
        raise AssertionError("nothing may begin without a journal")
