"""What is found is spooled: what is read one by one, what is taken over in runs."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backup.delta import Kept, Parent
from backup.exclusion import NOTHING, Exclusion, Sieve
from backup.listing import Listed
from backup.repository import Stored
from backup.scan import Place, Scan, Spool, place
from tests.listings import printed
from tests.unit.test_delta import BOUND, group, linked, listed, stored

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ROOT = Place(NOW, "/v", "/v", b"", timedelta(seconds=2))


@dataclass
class Printed:
    """Stands for a stream: what find printed, and what it complained of."""

    records: Sequence[Listed]
    stderr: str = ""
    dropped: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return map(printed, self.records)


@dataclass
class Finder:
    """Stands for a helper that runs find."""

    records: Sequence[Listed]
    stderr: str = ""

    @contextmanager
    def reading(self, *_: object, **__: object) -> Iterator[Printed]:
        yield Printed(self.records, self.stderr)


@dataclass
class Here:
    """Stands for a helper: runs commands on this machine."""

    commands: int = 0

    def run(self, argv: Sequence[str]) -> bytes:
        self.commands += 1
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=20).stdout


@dataclass
class Saying:
    """Stands for a helper: what its command says."""

    said: bytes

    def run(self, _: Sequence[str]) -> bytes:
        return self.said


def filled(spool: Spool, now: Sequence[Listed], before: Sequence[Stored], where=ROOT) -> Scan:
    finder: Any = Finder(now)
    parent = Parent(before, BOUND, (), lambda _: True)
    return spool.fill(finder, where, Sieve(NOTHING), parent)


def names(spool: Spool) -> list[bytes]:
    return b"".join(spool.names()).split(b"\0")[:-1]


def test_without_a_parent_everything_is_to_be_read():
    now = [listed(b"", kind="d"), listed(b"a", size=5), listed(b"b", kind="s")]

    with Spool() as spool:
        finder: Any = Finder(now[::-1])
        scan = spool.fill(finder, ROOT, Sieve(NOTHING), None)

        assert list(spool.entries()) == now
        assert names(spool) == [b".", b"a"]
    assert (scan.entries, scan.to_read, scan.size, scan.sockets) == (3, 2, 5, 1)


def test_directories_that_could_not_be_looked_into_are_noted():
    now = [listed(b"", kind="d"), listed(b"a", kind="d")]

    with Spool() as spool:
        finder: Any = Finder(now, stderr="find: '/v/a': Input/output error\n")
        scan = spool.fill(finder, ROOT, Sieve(NOTHING), None)

    assert scan.notes == {b"a": "find: Input/output error"}


def test_where_another_file_system_begins_is_noted_unless_it_is_excluded():
    now = [
        listed(b"", kind="d"),
        listed(b"a", kind="d")._replace(dev=7),
        listed(b"b", kind="d")._replace(dev=8),
        listed(b"c", kind="d"),
        listed(b"d")._replace(dev=7),
    ]

    with Spool() as spool:
        finder: Any = Finder(now)
        scan = spool.fill(finder, ROOT, Sieve(Exclusion(patterns=["/b/"])), None)

    assert list(scan.notes) == [b"a"]
    assert "another file system" in scan.notes[b"a"]


def test_entries_that_are_kept_come_in_runs():
    now = [listed(b"", kind="d"), *(listed(b"f%d" % number, size=number) for number in range(9))]
    before = [stored(record) for record in now if record.path != b"f4"]

    with Spool() as spool:
        scan = filled(spool, now, before)

        assert list(spool.entries()) == [
            Kept(5, 4, 0 + 1 + 2 + 3, b"line of line of f0line of f1line of f2line of f3"),
            now[5],
            Kept(4, 4, 5 + 6 + 7 + 8, b"line of f5line of f6line of f7line of f8"),
        ]
        assert names(spool) == [b"f4"]
    assert (scan.entries, scan.to_read, scan.size, scan.deleted) == (10, 1, 4, 0)


def test_runs_and_what_is_spooled_at_once_are_bounded():
    now = [listed(b"%05d" % number) for number in range(3_000)]
    before = [stored(record)._replace(lines=b"%d\n" % at * 100) for at, record in enumerate(now)]

    with Spool() as spool:
        scan = filled(spool, now, before)
        runs = list(spool.entries())

    assert all(isinstance(run, Kept) and len(run.lines) < 100_000 for run in runs)
    assert sum(run.entries for run in runs if isinstance(run, Kept)) == scan.entries == 3_000
    assert b"".join(run.lines for run in runs if isinstance(run, Kept)) == b"".join(
        each.lines for each in before
    )


def test_many_entries_to_be_read_come_back_in_order():
    now = [listed(b"%05d" % number) for number in range(3_000)]

    with Spool() as spool:
        filled(spool, now, [])

        assert list(spool.entries()) == now


def test_names_of_one_file_are_kept_together():
    now = [listed(b"0"), *group(b"a", b"b"), listed(b"c")]
    before = [stored(now[0]), *linked(now[1:3]), stored(now[3])]

    with Spool() as spool:
        scan = filled(spool, now, before)
        kept = list(spool.entries())

    assert all(isinstance(each, Kept) for each in kept)
    assert b"".join(each.lines for each in kept if isinstance(each, Kept)) == b"".join(
        each.lines for each in before
    )
    assert (scan.entries, scan.to_read) == (4, 0)


def test_a_file_that_has_two_names_is_counted_once():
    """As it is where tar carries its contents once: a size does not tell how it was captured."""
    now = [*group(b"a", b"b"), listed(b"c", size=5)]
    before = [*linked(now[:2]), stored(now[2])]

    with Spool() as spool:
        filled(spool, now, before)
        kept = [each for each in spool.entries() if isinstance(each, Kept)]

    assert [(each.entries, each.files, each.size) for each in kept] == [
        (1, 1, now[0].size),
        (1, 0, 0),
        (1, 1, 5),
    ]


def test_a_new_name_has_those_read_that_were_kept_before_it_was_seen():
    now = [listed(b"0"), *group(b"a", b"b", b"d"), listed(b"e")]
    before = [stored(now[0]), *linked(now[1:3]), stored(now[4])]

    with Spool() as spool:
        scan = filled(spool, now, before)

        assert list(spool.entries()) == [
            Kept(1, 1, 3, b"line of 0"),
            *now[1:4],
            Kept(1, 1, 3, b"line of e"),
        ]
        assert names(spool) == [b"a", b"b", b"d"]
    assert (scan.entries, scan.to_read) == (5, 3)


def test_a_spool_can_be_filled_again():
    now = [listed(b"a"), listed(b"b")]

    with Spool() as spool:
        filled(spool, now, [])
        filled(spool, now[1:], [])

        assert list(spool.entries()) == now[1:]
        assert names(spool) == [b"b"]


@pytest.mark.parametrize("before", [[], [stored(listed(b"name"))]], ids=["new", "kept"])
def test_a_file_that_is_mounted_has_its_name_for_a_path(before):
    now = listed(b"")._replace(inode=listed(b"name").inode)

    with Spool() as spool:
        filled(spool, [now], before, Place(NOW, "/m/name", "/m", b"name", timedelta()))

        assert names(spool) == ([] if before else [b"name"])


def test_a_place_is_looked_at_by_one_command(tmp_path):
    here: Any = Here()
    before = datetime.now(UTC)
    found = place(here, str(tmp_path))

    assert before <= found.time <= datetime.now(UTC)
    assert (found.path, found.directory, found.prefix) == (str(tmp_path), str(tmp_path), b"")
    assert here.commands == 1


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"")], ids=["p", "f"])
def test_the_place_of_a_file_is_the_directory_that_it_is_in(tmp_path, make):
    make(tmp_path / "it")
    here: Any = Here()
    found = place(here, str(tmp_path / "it"))

    assert (found.directory, found.prefix) == (str(tmp_path), b"it")


@pytest.mark.parametrize(
    ("system", "margin"),
    [(b"ext4", 2), (b"nfs4", 900), (b"nfs", 900), (b"fuse.sshfs", 900), (b"", 2)],
)
def test_time_stamps_of_other_machines_are_trusted_less(system, margin):
    helper: Any = Saying(b"1700000000.123456789\nd %s\n" % system)
    found = place(helper, "/v")

    assert found.time == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert found.margin == timedelta(seconds=margin)
