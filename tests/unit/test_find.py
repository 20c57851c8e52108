"""What counts as one version of a file, and what is found where something is damaged."""

import json
import threading

import pytest

from backup.cli.app import run
from backup.find import versions
from backup.pattern import Patterns
from backup.report import Event, Noted, ignore
from backup.repository import create
from backup.repository.manifest import to_chunk
from tests.memory_store import MemoryStore
from tests.saved import plain, reopened
from tests.trees import Name, Thing, captured, imported
from transports.store.file import FileStore


@pytest.fixture(params=[1, 3], ids=["near", "far"])
def repository(request):
    return plain(MemoryStore(parallel=request.param))


def found(repository, *history):
    return [
        (one.member.path, one.first, one.last)
        for one in versions(repository, history, Patterns(["*"]), ignore).found
    ]


def test_a_version_ends_where_it_is_not_and_may_come_back(repository):
    with_it, without = ({b"a": Thing(), b"b": Thing()}, {b"b": Thing()})

    history = [captured(repository, tree) for tree in (with_it, with_it, without, with_it)]

    assert found(repository, *history) == [("a", 3, 3), ("b", 0, 3), ("a", 0, 1)]


def test_what_a_hard_link_leads_to_may_change_unseen_by_ls(repository):
    history = [
        captured(repository, {b"a": Thing(content=content), b"b": Name(b"a")})
        for content in (b"1", b"1", b"2")
    ]

    assert found(repository, *history) == [("a", 2, 2), ("b", 2, 2), ("a", 0, 1), ("b", 0, 1)]


def test_another_first_name_makes_no_version(repository):
    before = captured(repository, {b"a": Name(b"b"), b"b": Thing(content=b"1")})
    after = captured(repository, {b"b": Thing(content=b"1")})

    assert found(repository, before, after) == [("b", 0, 1), ("a", 0, 0)]


def test_an_archive_is_cut_elsewhere_and_has_the_same_versions(repository):
    files = [(b"%d" % number, Thing(content=b"%d" % number * 500)) for number in range(20)]
    history = [imported(repository, files), imported(repository, files[1:])]

    assert [one for one in found(repository, *history) if one[1:] != (0, 1)] == [("0", 0, 0)]


def test_the_last_of_a_name_in_an_archive_counts(repository):
    twice = [(b"a", Thing(content=b"1")), (b"a", Thing(content=b"2"))]
    history = [imported(repository, twice), imported(repository, twice[1:])]

    assert found(repository, *history) == [("a", 0, 1)]


def test_manifests_of_a_far_store_are_asked_for_side_by_side():
    """Of two that are new, none is answered before both are asked for."""
    both = threading.Barrier(2)

    class Far(MemoryStore):
        listed: list[str] = []  # noqa: RUF012  of this one instance

        def list(self, kind):
            self.listed.append(kind)
            return super().list(kind)

        def get(self, name, offset=0, length=None):
            if name.startswith("packs/"):
                both.wait(20)
            return super().get(name, offset, length)

    repository = plain(Far(parallel=2))
    history = [captured(repository, {b"%d" % number: Thing()}) for number in range(2)]
    Far.listed.clear()

    assert found(reopened(repository), *history) == [("1", 1, 1), ("0", 0, 0)]

    assert sorted(Far.listed) == ["condemned", "index", "packs"], "one reading for all threads"


def spoil(repository, extent):
    """Delete the pack that has what an extent stands for."""
    place = reopened(repository).readings.find(to_chunk(extent.chunk))
    assert place
    repository.store.delete(f"packs/{place[0].id}")


def test_a_snapshot_that_cannot_be_read_is_passed_over(repository):
    trees = [{b"a": Thing(content=b"1"), b"%d" % number: Thing()} for number in range(3)]
    history = [captured(repository, tree) for tree in trees]
    spoil(repository, history[1].manifest[0])

    found = versions(reopened(repository), history, Patterns(["a", "1"]), ignore)

    assert [(one.member.path, one.first, one.last) for one in found.found] == [("a", 0, 1)]
    assert list(found.unread) == [1]


def test_what_cannot_be_compared_is_told_as_two_versions(repository):
    one, other = [(b"a", Thing(content=b"1" * 900)), (b"b", Thing())], (b"a", Thing(content=b"2"))
    history = [imported(repository, one), imported(repository, [other, *one])]
    (whole,) = versions(repository, history, Patterns(["a"]), ignore).found
    assert (whole.first, whole.last) == (0, 1)
    spoil(repository, whole.member.extents[0])
    told: list[Event] = []

    found = versions(reopened(repository), history, Patterns(["a"]), told.append)

    assert [(version.first, version.last) for version in found.found] == [(1, 1), (0, 0)]
    assert any(isinstance(event, Noted) for event in told)


def test_find_names_the_snapshot_that_cannot_be_read_and_goes_on(tmp_path, capsys):
    repository = create(FileStore(tmp_path), None)
    for source in ("volume:a", "volume:b"):
        tree = {b"here": Thing(), source.encode(): Thing()}
        last = captured(repository, tree, source=source)
    spoil(repository, last.manifest[0])
    capsys.readouterr()

    code = run(["-r", str(tmp_path), "--json", "find", "here"])

    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert [one["source"] for one in events if one["type"] == "version"] == ["volume:a"]
    assert events[-1] == {"type": "summary", "versions": 1, "snapshots": 1}
    assert code == 4
    assert "of volume:b: " in json.loads(said.err)["message"]
