"""Which snapshots a policy is about, and in which groups."""

from datetime import UTC, datetime, timedelta

import pytest

from backup.errors import Protected, UsageError
from backup.repository import Recorded, Snapshot, SnapshotId
from backup.retention import Policy
from backup.scope import Group, Scope, judge, to_forget

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LAST = Policy(last=1)


def recorded(name, *, host="a", source="volume:db", tags=(), days=0, **more):
    snapshot = Snapshot(
        time=NOW - timedelta(days=days), host=host, source=source, run="00", tags=list(tags)
    )
    return Recorded(id=SnapshotId(name), snapshot=snapshot, **more)


HISTORY = [
    recorded("a-db-old", days=2, tags=["x", "y"]),
    recorded("b-db-old", days=2, host="b"),
    recorded("a-web-old", days=2, source="path:/srv/web", tags=["x"]),
    recorded("a-db-new"),
    recorded("b-db-new", host="b", tags=["y"]),
    recorded("a-web-new", source="path:/srv/web"),
]


def forgotten(scope, policy=LAST, history=HISTORY):
    return sorted(to_forget(judge(history, scope, policy, now=NOW)))


def test_each_source_of_each_host_is_a_group():
    judged = judge(HISTORY, Scope(), LAST, now=NOW)

    assert list(judged) == [
        Group("a", "path:/srv/web"),
        Group("a", "volume:db"),
        Group("b", "volume:db"),
    ]
    assert [each.recorded.id for each in judged[Group("a", "volume:db")]] == [
        "a-db-new",
        "a-db-old",
    ]
    assert to_forget(judged) == ["a-web-old", "a-db-old", "b-db-old"]


def test_what_is_dated_in_the_future_is_kept_and_takes_no_place():
    history = [
        *HISTORY,
        recorded("a-db-future", days=-400),
        recorded("only-future", source="volume:x", days=-1),
    ]

    judged = judge(history, Scope(), LAST, now=NOW)

    assert to_forget(judged) == ["a-web-old", "a-db-old", "b-db-old"]
    newest = judged[Group("a", "volume:db")][0]
    assert (newest.recorded.id, newest.reasons) == ("a-db-future", ("dated in the future",))
    assert judged[Group("a", "volume:x")][0].kept


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ({"by_source": False}, ["a-db-old", "a-web-new", "a-web-old", "b-db-old"]),
        ({"by_host": False}, ["a-db-old", "a-web-old", "b-db-new", "b-db-old"]),
        ({"by_host": False, "by_source": False}, [each.id for each in HISTORY]),
    ],
    ids=["host", "source", "none"],
)
def test_groups_can_be_larger(by, expected):
    # of one moment, the first of the history counts as the newest
    kept = {"a-db-new"}

    assert forgotten(Scope(**by)) == sorted(set(expected) - kept)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(sources=["volume:db"]), ["a-db-old", "b-db-old"]),
        (Scope(sources=["db"]), ["a-db-old", "b-db-old"]),
        (Scope(sources=["db", "path:/srv/web"], hosts=["a"]), ["a-db-old", "a-web-old"]),
        (Scope(hosts=["b"]), ["b-db-old"]),
        (Scope(hosts=["elsewhere"]), []),
        (Scope(tags=[frozenset({"x"})], by_source=False), ["a-web-old"]),
        (Scope(tags=[frozenset({"x", "y"}), frozenset()]), ["a-db-old"]),
    ],
    ids=["source", "name", "sources", "host", "no host", "tag", "tags or none"],
)
def test_snapshots_are_chosen_by_source_host_and_tags(scope, expected):
    assert forgotten(scope) == expected


def test_what_is_forgotten_is_not_counted_again():
    history = [recorded("old", days=2), recorded("gone", days=1, forgotten=NOW), recorded("new")]

    assert forgotten(Scope(), Policy(last=2), history) == []


def test_what_is_pinned_is_kept_and_says_so():
    (verdicts,) = judge(
        [recorded("old", days=2, pinned=True), recorded("new")], Scope(), LAST, now=NOW
    ).values()

    assert [each.reasons for each in verdicts] == [("last",), ("pinned",)]


def test_a_policy_that_keeps_nothing_of_one_group_is_refused_and_names_it():
    policy = Policy(tags=[frozenset({"y"})])

    with pytest.raises(Protected, match="keeps none of 2 snapshots of path:/srv/web on a"):
        judge(HISTORY, Scope(), policy, now=NOW)


def test_an_empty_policy_is_refused_even_where_there_is_nothing():
    with pytest.raises(UsageError, match="empty"):
        judge([], Scope(), Policy(), now=NOW)


def test_groups_are_called_by_what_they_have_in_common():
    assert [str(Group(*each)) for each in [("a", "s"), ("", "s"), ("a", ""), ("", "")]] == [
        "s on a",
        "s",
        "a",
        "all snapshots",
    ]
