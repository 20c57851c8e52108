"""What jobs tell a person, where less or more would mislead."""

from datetime import UTC, datetime

import pytest

from backup.cli.backup import tell
from backup.cli.console import Voice
from backup.cli.plan import _last, _retention
from backup.config import Job, Keep
from backup.job.preview import Preview
from backup.job.storing import Saved
from backup.repository import Recorded, Snapshot, SnapshotId, Statistics
from backup.scope import Verdict

ID = SnapshotId("ab" * 32)


def empty(excluded):
    return Snapshot(
        time=datetime(2026, 1, 1, tzinfo=UTC),
        host="vm",
        source="volume:db",
        run="r",
        excludes=["/*"],
        statistics=Statistics(entries=1, excluded=excluded),
    )


def recorded(name):
    return Recorded(id=SnapshotId(name), snapshot=empty(0))


@pytest.mark.parametrize("in_dump", [False, True], ids=["excluded", "in its dump"])
def test_an_empty_snapshot_is_warned_of_unless_the_dump_has_all_of_it(capsys, in_dump):
    tell(Voice(as_json=False, level=1), Saved(ID, empty(206), 0, in_dump=in_dump))

    said = capsys.readouterr().err
    assert ("nothing of it is left" in said) is not in_dump
    assert ("for the database is dumped" in said) is in_dump


@pytest.mark.parametrize("known", [False, True], ids=["repository away", "repository read"])
def test_a_plan_calls_a_source_new_only_where_the_repository_was_read(known):
    said = _last(Preview(name="n", job=Job(), known=known), "volume:db")

    assert said == (": for the first time" if known else "")


def test_a_plan_says_nothing_of_the_retention_of_a_source_without_snapshots():
    new, old = (Verdict(recorded(name), ("daily",)) for name in ("new0", ID))
    found = Preview(name="n", job=Job(keep=Keep(daily=7)))
    found.verdicts = {"volume:new": [new], "volume:db": [new, old]}

    assert list(_retention(found)) == ["keeps 1 older snapshot of volume:db, forgets 0"]
