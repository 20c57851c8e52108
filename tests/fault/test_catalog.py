"""The store fails at every single call of what is said of snapshots: it is said, or it is not.

Whichever it is, a check finds no damage, the snapshots that are shown read back bit for bit, the
same again succeeds, and no temporary file stays.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from backup.repository import Repository, SnapshotId, open_repository
from backup.repository.catalog import annotate, forget, history, unforget
from tests.faults import (
    Fault,
    FaultyStore,
    assert_no_temporary_file_stays,
    dying,
    killed_at,
)
from tests.saved import NOW, at, checked, content, plain, reopened, save
from tests.tars import END, header, padded
from transports.errors import TransportError
from transports.store.file import FileStore

LATER = NOW + timedelta(hours=1)
FIRST, LAST = 0, 2


def ids(repository: Repository) -> list[SnapshotId]:
    return [each.id for each in history(repository)]


def forgotten(repository: Repository) -> None:
    forget(at(LATER, repository), ids(repository)[:LAST])


def brought_back(repository: Repository) -> None:
    unforget(at(LATER, repository), ids(repository)[FIRST])


def pinned(repository: Repository) -> None:
    annotate(repository, history(repository)[LAST], LATER, pinned=True)


def tagged(repository: Repository) -> None:
    annotate(repository, history(repository)[LAST], LATER, tags=["a"])


def said(repository: Repository) -> list[tuple[object, ...]]:
    return [
        (each.forgotten is not None, each.pinned, each.snapshot.tags)
        for each in history(reopened(repository))
    ]


def tar(number: int) -> bytes:
    return header(b"a", size=1) + padded(b"%d" % number) + END


def assert_unharmed(repository: Repository) -> None:
    assert checked(repository).damages == []
    every = [each.id for each in history(reopened(repository))]
    for found, read in content(reopened(repository)).items():
        assert read == tar(every.index(found))


def three(store: FileStore, act: Callable[[Repository], None]) -> Repository:
    """Three snapshots, of which one may be brought back."""
    repository = plain(store)
    for number in range(3):
        save(reopened(repository), [tar(number)], time=NOW + timedelta(minutes=number))
    if act is brought_back:
        forget(at(NOW, repository), ids(repository)[:1])
    return repository


ACTS = {act.__name__: act for act in (forgotten, brought_back, pinned, tagged)}


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.LOST_REPLY, Fault.TORN, Fault.FULL])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_wherever_the_store_fails_each_snapshot_is_as_before_or_after(act, fault, tmp_path: Path):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        store = FileStore(directory)
        repository = three(store, act)
        before = said(repository)
        faulty = FaultyStore(store, fail_at, fault, directory)
        interrupted = None
        try:
            act(reopened(repository, faulty))
        except TransportError:
            interrupted = said(repository)
            assert_unharmed(repository)
            act(reopened(repository))
        after = said(repository)
        assert after != before
        for was, now, then in zip(before, interrupted or before, after, strict=True):
            assert now in (was, then)
        assert_unharmed(repository)
        assert_no_temporary_file_stays(directory)
        if not faulty.failed:
            break
    assert fail_at > 4


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_wherever_the_process_is_killed_each_snapshot_is_as_before_or_after(act, tmp_path: Path):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        repository = three(FileStore(directory), act)
        before = said(repository)
        killed = killed_at(fail_at, directory, "tests.fault.test_catalog", act.__name__)
        interrupted = said(repository)
        assert_unharmed(repository)
        act(reopened(repository))
        after = said(repository)
        for was, now, then in zip(before, interrupted, after, strict=True):
            assert now in (was, then)
        assert after != before
        assert_unharmed(repository)
        assert_no_temporary_file_stays(directory)
        if not killed:
            break

    assert fail_at == (3 if act is forgotten else 2)
    assert interrupted == after


if __name__ == "__main__":
    doomed, (act_name,) = dying(sys.argv)
    ACTS[act_name](open_repository(doomed, None))
