import time
from datetime import UTC, datetime, timedelta

import pytest

from backup.errors import IntegrityError, NoSuchSnapshot, UsageError
from backup.lookup import find_id, find_snapshot
from backup.repository import Snapshot
from backup.repository.catalog import forget
from tests.memory_store import MemoryStore
from tests.saved import at, plain

TIMES = [datetime(2026, 11, day, 12, 0, tzinfo=UTC) for day in (20, 21, 22)]


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def repository():
    repository = plain(MemoryStore())
    repository.clock = lambda: TIMES[2]
    return repository


def commit(repository, source="volume:data", moment=TIMES[0], host="here"):
    return repository.commit(Snapshot(time=moment, host=host, source=source, run="r"))


@pytest.fixture
def ids(repository):
    return [commit(repository, moment=moment) for moment in TIMES]


@pytest.mark.parametrize("length", [4, 10, 63, 64])
def test_a_prefix_of_an_id_finds_it(repository, ids, length):
    for wanted in ids:
        assert find_snapshot(repository, wanted[:length])[0] == wanted


def test_a_prefix_that_is_too_short_says_so(repository, ids):
    for find in (find_snapshot, lambda repository, text: find_id(repository.snapshot_ids(), text)):
        with pytest.raises((NoSuchSnapshot, UsageError)) as caught:
            find(repository, ids[0][:3])
        assert "at least four" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["volume:data", "data"])
def test_a_source_means_its_newest(repository, ids, name):
    assert find_snapshot(repository, name)[0] == ids[2]


@pytest.mark.parametrize(
    "name", ["image:app", "image:app:latest", "image:docker.io/library/app", "image:app@2026-11-22"]
)
def test_an_image_is_found_by_any_of_its_spellings(repository, name):
    wanted = commit(repository, "image:app:latest")
    commit(repository, "image:app:2")

    assert find_snapshot(repository, name)[0] == wanted


def test_what_is_dated_in_the_future_is_not_the_newest_unless_nothing_else_is(repository):
    future = commit(repository, moment=TIMES[2] + timedelta(days=400))
    assert find_snapshot(repository, "data")[0] == future

    right = commit(repository, moment=TIMES[2] + timedelta(minutes=14))

    assert find_snapshot(repository, "data")[0] == right
    assert find_snapshot(repository, "data@2028-01-01")[0] == future
    assert find_snapshot(repository, future[:10])[0] == future


def test_the_name_of_a_volume_that_looks_like_an_id_is_not_taken_for_one(repository):
    ids = [commit(repository, f"volume:{number}") for number in range(3)]
    name = ids[0][:4]
    commit(repository, f"volume:{name}")

    with pytest.raises(UsageError, match="is the name of a volume") as caught:
        find_snapshot(repository, name)

    assert caught.value.hint is not None
    assert f"volume:{name}" in caught.value.hint
    assert find_snapshot(repository, ids[0][:10])[0] == ids[0]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-22T12:00:00+00:00", 2),
        ("2026-11-22T13:00", 2),
        ("2026-11-22T12:59", 1),
        ("2026-11-22T11:59:59Z", 1),
        ("2026-11-22", 2),
        ("2026-11-21", 1),
        ("2026-11-22T00:00", 1),
        ("2026-11-21 13:00", 1),
        ("2999-01-01", 2),
    ],
)
def test_a_time_means_the_newest_up_to_then_and_is_local(repository, ids, when, expected):
    assert find_snapshot(repository, f"volume:data@{when}")[0] == ids[expected]


def test_before_the_oldest_there_is_none(repository, ids):
    with pytest.raises(
        NoSuchSnapshot,
        match=r"data has no snapshot so old; the oldest is of 2026-11-20T13:00:00\+01:00",
    ):
        find_snapshot(repository, "data@2026-11-19")


@pytest.mark.parametrize(
    "when", ["", "yesterday", "2026-13-01", "0001-01-01", "9999-12-31T23:59:59", "\x1b"]
)
def test_what_is_no_time_is_told(repository, ids, when):
    with pytest.raises((UsageError, NoSuchSnapshot)) as refused:
        find_snapshot(repository, f"data@{when}")

    assert "\x1b" not in str(refused.value)


def test_far_future_is_a_time(repository, ids):
    assert find_snapshot(repository, "data@9999-12-30")[0] == ids[2]


@pytest.mark.parametrize("text", ["dat", "volume:dat", "volume:", "", "ffff", "data2", "\x1b[2J"])
def test_what_names_nothing_is_told(repository, ids, text):
    with pytest.raises(NoSuchSnapshot) as missing:
        find_snapshot(repository, text)

    assert "\x1b" not in str(missing.value)


def test_a_container_is_told_to_be_its_volumes(repository, ids):
    with pytest.raises(NoSuchSnapshot, match="each volume has one of its own") as caught:
        find_snapshot(repository, "container:db")

    assert "volume:NAME" in (caught.value.hint or "")


def test_a_prefix_of_several_ids_names_them():
    store = MemoryStore()
    repository = plain(store)
    for name in ("abcd1", "abcd2"):
        store.put(f"snapshots/{name.ljust(64, '0')}", b"x")

    with pytest.raises(
        NoSuchSnapshot, match="2 snapshots begin with 'abcd': abcd100000, abcd200000"
    ):
        find_snapshot(repository, "abcd")


def test_a_volume_with_a_name_like_an_id_is_found(repository):
    wanted = commit(repository, source="volume:cafe1234")

    assert find_snapshot(repository, "cafe1234")[0] == wanted
    assert find_snapshot(repository, "volume:cafe1234")[0] == wanted


@pytest.mark.parametrize("source", ["path:/srv/a@b", "path:/home/me@work/x"])
def test_a_source_with_an_at_in_its_name_is_found(repository, source):
    wanted = commit(repository, source=source)

    assert find_snapshot(repository, source)[0] == wanted
    assert find_snapshot(repository, f"{source}@2999-01-01")[0] == wanted


def test_the_same_volume_of_several_hosts_needs_a_host(repository):
    here = commit(repository, host="here")
    there = commit(repository, host="there", moment=TIMES[1])

    with pytest.raises(NoSuchSnapshot, match="'data' is on several hosts: here, there") as several:
        find_snapshot(repository, "data")

    assert "id" in str(several.value.hint)
    assert find_snapshot(repository, "data", host="here")[0] == here
    assert find_snapshot(repository, "data", host="there")[0] == there
    with pytest.raises(NoSuchSnapshot):
        find_snapshot(repository, "data", host="elsewhere")


def test_the_only_host_is_meant_whatever_this_one_is_called(repository):
    wanted = commit(repository, host="there")

    assert find_snapshot(repository, "data", host="here")[0] == wanted


def test_one_damaged_snapshot_does_not_hide_the_others(repository, ids):
    store = repository.store
    name = f"snapshots/{ids[0]}"
    store.objects[name] = store.objects[name][:-1]

    assert find_snapshot(repository, ids[1])[0] == ids[1]


def test_a_forgotten_snapshot_is_found_by_no_name(repository, ids):
    forget(at(TIMES[2], repository), ids[2:])

    assert find_snapshot(repository, "data")[0] == ids[1]
    with pytest.raises(NoSuchSnapshot, match=f"{ids[2][:10]} was forgotten") as refused:
        find_snapshot(repository, ids[2][:12])

    assert f"voltar unforget {ids[2][:10]}" in str(refused.value.hint)


def test_a_damaged_marker_does_not_keep_a_snapshot_from_being_found(repository, ids):
    repository.store.put(f"forgotten/{ids[2]}", b"damaged")

    assert find_snapshot(repository, ids[2])[0] == ids[2]


@pytest.mark.parametrize("length", [4, 10, 64])
def test_an_id_is_found_by_its_beginning(repository, ids, length):
    assert find_id(repository.snapshot_ids(), ids[1][:length]) == ids[1]


def test_a_source_is_no_id(repository, ids):
    with pytest.raises(UsageError, match="'volume:data' is no snapshot's id"):
        find_id(repository.snapshot_ids(), "volume:data")
    with pytest.raises(NoSuchSnapshot, match="no snapshot's id begins with '0123456789'"):
        find_id([], "0123456789")


@pytest.mark.parametrize("kind", ["snapshots", "forgotten", "annotations"])
def test_where_something_is_damaged_only_ids_are_names(repository, ids, kind):
    repository.store.objects[f"{kind}/{ids[0]}"] = b"damaged"

    with pytest.raises(IntegrityError, match=f"{kind}/{ids[0][:16]} is damaged") as refused:
        find_snapshot(repository, "data")

    assert "by its id" in str(refused.value.hint)
    assert find_snapshot(repository, ids[1])[0] == ids[1]
