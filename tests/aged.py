"""A repository with a history: all that prune does in one run is due in it.

Its chunks are files, its packs hold few of them, and its indexes few packs, so that a few KB have
the shape of a repository of many years. Time is what the test says it is.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from backup.report import ignore
from backup.repository import Group, MaxUnused, Pruned, Repository, SnapshotId, prune_repository
from backup.repository.catalog import forget
from tests.saved import MAKERS, NOW, content, save
from tests.tars import END, header, noise, padded
from transports.store import Store

BODY_SIZE = 1500
PRUNED_AT = 60.0
"""The hour at which a prune finds everything to do that prune can do."""
NOTHING_UNUSED = MaxUnused(size=0)


class Hours:
    """A clock that stands until a test sets it: hours after NOW."""

    def __init__(self, hour: float = 0) -> None:
        self.hour = hour

    def __call__(self) -> datetime:
        return NOW + timedelta(hours=self.hour)


def tiny_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be a chunk, a pack hold three of them, an index two packs.

    Packs with less than a file, those of manifests, are small, and five are worth being merged.
    """
    monkeypatch.setattr("backup.recorder.BUNDLED_BELOW", 1000)
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 3 * BODY_SIZE)
    monkeypatch.setattr("backup.repository.repack._SMALL", BODY_SIZE)
    monkeypatch.setattr("backup.repository.repack._WORTH", 5)
    monkeypatch.setattr("backup.repository.index.PACKS_PER_OBJECT", 2)


def tar(names: str) -> bytes:
    """Return an archive of files with one-letter names; a name stands for what is in it."""
    return b"".join(_file(name.encode()) for name in names) + END


def _file(name: bytes) -> bytes:
    return header(name, size=BODY_SIZE) + padded(noise(BODY_SIZE, name))


def opened_at(repository: Repository, hours: Hours, store: Store | None = None) -> Repository:
    """Return the same repository as a process sees it that has just been started."""
    again = Repository(store or repository.store, repository.descriptor, repository.keys)
    again.clock = hours
    return again


def save_at(repository: Repository, hours: Hours, hour: float, names: str) -> SnapshotId:
    """Save an archive, at an hour, as a process of its own."""
    hours.hour = hour
    return save(opened_at(repository, hours), [tar(names)], time=hours(), run=f"{hour:g}")


def forget_at(repository: Repository, hours: Hours, hour: float, snapshot: SnapshotId) -> None:
    """Forget a snapshot at an hour."""
    hours.hour = hour
    forget(opened_at(repository, hours), [snapshot])


def prune_at(repository: Repository, hours: Hours, hour: float) -> Pruned:
    """Prune, at an hour, as a process of its own, so that nothing unused stays in used packs."""
    hours.hour = hour
    return prune_repository(opened_at(repository, hours), ignore, max_unused=NOTHING_UNUSED)


def aged(kind: str, store: Store, hours: Hours) -> Repository:
    """Make a repository in which, at PRUNED_AT, a prune has to bury a snapshot, adopt a pack, copy
    from a condemned one, delete what was condemned, repack, condemn, and compact indexes."""
    repository = MAKERS[kind](store)
    old = save_at(repository, hours, 0, "abcst")
    lost = save_at(repository, hours, 1, "defs")
    forget_at(repository, hours, 1, old)
    hours.hour = 25
    slow = opened_at(repository, hours)
    slow.readings.current()
    prune_at(repository, hours, 26)
    hours.hour = 27  # what it relies on was condemned an hour ago
    save(slow, [tar("abg")], time=hours(), run="27")
    forget_at(repository, hours, 28, lost)
    leave_a_pack(repository, hours, 29)
    for name in "klmnopqr":
        save_at(repository, hours, 30, name)
    save_at(repository, hours, 31, "dsthi")
    hours.hour = PRUNED_AT
    return repository


def leave_a_pack(repository: Repository, hours: Hours, hour: float) -> None:
    """Do what a backup does that is killed after its first pack."""
    hours.hour = hour
    with opened_at(repository, hours).writer() as writer:
        for name in b"uvw":
            writer.add(noise(BODY_SIZE, bytes([name])), Group.DATA)
        writer.flush()


def contents(repository: Repository, hours: Hours) -> dict[SnapshotId, bytes]:
    """Read every snapshot that is not forgotten."""
    return content(opened_at(repository, hours))


def kinds(names: Iterable[str]) -> dict[str, int]:
    """Count objects by their kind."""
    counts: dict[str, int] = {}
    for name in names:
        kind = name.split("/")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts
