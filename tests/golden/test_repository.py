"""Today's code reads what the first version wrote. See make.py."""

import json

import pytest

from backup.members import archive
from backup.report import ignore
from backup.repository import Group, check, open_repository
from tests.golden.make import EXPECTED, PASSWORDS, PLACE, read, tar, text
from transports.store.file import FileStore

SAID = json.loads(EXPECTED.read_text())


@pytest.fixture(scope="module", params=PASSWORDS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def repository(name):
    return open_repository(FileStore(PLACE / name), PASSWORDS[name])


def test_everything_that_was_written_is_read_bit_for_bit(repository, name):
    assert repository.descriptor.id == SAID[name]["id"]
    found = read(repository)
    assert found.keys() == SAID[name]["snapshots"].keys()
    for snapshot_id, said in SAID[name]["snapshots"].items():
        assert found[snapshot_id]["tar"] == said["tar"]
        assert found[snapshot_id]["records"] == said["records"]
        record = found[snapshot_id]["snapshot"]
        counts = record.pop("statistics")
        assert counts.items() >= said["snapshot"]["statistics"].items()
        said_otherwise = {
            key: value for key, value in said["snapshot"].items() if key != "statistics"
        }
        assert record.items() >= said_otherwise.items()


def test_the_streams_are_those_that_were_given(repository):
    lines = text(1 << 20)
    given = [tar(lines), tar(lines[:500_000] + b"inserted" + lines[500_000:])]

    for (_, snapshot), stream in zip(repository.snapshots(), given, strict=True):
        assert b"".join(archive(repository, snapshot)) == stream


def test_a_check_finds_no_damage(repository):
    found = check(repository, ignore)

    assert (found.snapshots, found.damages) == (2, [])


def test_the_same_content_is_still_found_to_be_there(repository):
    """Ids and cut points depend on the keys; if they changed, deduplication would silently end."""
    cutter = repository.cutter(Group.DATA)
    lines = text(1 << 20)

    chunks = [*cutter.feed(lines), *cutter.end()]

    assert len(chunks) >= 1
    assert all(repository.keys.chunk_id(chunk) in repository.readings.current() for chunk in chunks)


def test_it_is_small():
    size = sum(path.stat().st_size for path in PLACE.rglob("*") if path.is_file())

    assert size < 200_000
