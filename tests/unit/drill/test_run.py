"""What a drill of a job is about, by what its runs came to."""

from datetime import timedelta

import pytest

from backup.config import Job
from backup.drill.run import Order, snapshots_of_job
from backup.history import History, Kind, Result, Run, SourceResult
from tests.unit.drill.test_choice import START, ids, snapshot


def lived(book, day, *sources, message=""):
    began = START + timedelta(days=day)
    run = f"r{day}"
    book.begin(Run(id=run, kind=Kind.BACKUP, job="nightly", started=began))
    for source in sources:
        book.add(run, SourceResult(source=source, host="h", message="it is gone"))
    book.end(run, began, Result.FAILED if message else Result.OK, message)


@pytest.mark.parametrize(
    ("at", "chosen"),
    [
        (None, ["volume:data@2", "volume:data@4"]),
        (START + timedelta(days=3), ["volume:data@2", "volume:data@4", "volume:old@2"]),
    ],
)
def test_what_a_job_does_not_take_any_more_is_not_drilled_for_good(tmp_path, at, chosen):
    """Its image may be gone, as it was removed on purpose. What cannot be saved counts."""
    book = History(tmp_path / "history.sqlite")
    lived(book, 2, "volume:data", "volume:old")
    lived(book, 4, "volume:data")
    lived(book, 6, message="no engine")
    every = [snapshot("volume:data", 2), snapshot("volume:old", 2), snapshot("volume:data", 4)]
    order = Order(name="nightly", job=Job(all=True), at=at)

    assert ids(snapshots_of_job(order, every, book)) == chosen
    assert ids(snapshots_of_job(order, every, History(tmp_path / "other"))) == ids(every)
