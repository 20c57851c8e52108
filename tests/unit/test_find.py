"""What counts as one version of a file."""

import pytest

from backup.find import versions
from backup.pattern import Patterns
from backup.report import ignore
from tests.memory_store import MemoryStore
from tests.saved import plain
from tests.trees import Name, Thing, captured, imported


@pytest.fixture
def repository():
    return plain(MemoryStore())


def found(repository, *history):
    return [
        (one.member.path, one.first, one.last)
        for one in versions(repository, history, Patterns(["*"]), ignore)
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
