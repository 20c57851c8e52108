"""What every store promises (transports.store). A new kind of store joins stores.HOMES."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.stores import HOMES, Home
from transports.errors import ObjectExists, ObjectNotFound, Refused
from transports.store import ObjectInfo, Store, WriteOnce

ASKS = ("object-quirky", "object-without-conditions", "rclone", "sftp-plain")
KEEPS = {name: WriteOnce.ASKED if name in ASKS else WriteOnce.KEPT for name in HOMES}
OUTSIDE = [
    "", "/", "/etc/passwd", "..", "../x", "packs/..", "packs/../x", "packs/", "/x", "packs/a/b",
    ".hidden", "packs/.hidden", "packs/A", "Packs/a", "packs/ü", "packs/a b", "packs/a\n",
    "packs/a\0", "packs\\a", "packs/" + "a" * 129, "-x", "packs/-x", "pack5/x",
]  # fmt: skip


@pytest.fixture(params=HOMES, ids=str)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A store whose place was not made."""
    home = HOMES[request.param](request, tmp_path)
    with closing(home.store):
        yield home


@pytest.fixture
def store(home: Home) -> Store:
    """An empty store."""
    home.prepare()
    home.store.create()
    return home.store


def everything(store: Store, kind: str) -> list[tuple[str, int]]:
    return sorted((info.name, info.size) for info in store.list(kind))


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["0", "1", "1280000"])
@pytest.mark.parametrize("name", ["voltar.json", "packs/0a", "packs/a.b_c-d"])
def test_what_was_put_is_got_back(store, name, data):
    store.put(name, data)

    assert store.get(name) == data
    assert store.stat(name) == ObjectInfo(name, len(data))


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_put_and_put_again(store, buffer):
    store.put("packs/a", buffer(b"content"))
    store.put("packs/a", buffer(b"content"))

    assert store.get("packs/a") == b"content"


def test_the_buffer_may_change_after_it_was_put(store):
    buffer = bytearray(b"content")
    store.put("packs/a", buffer)

    buffer[:] = b"changed"

    assert store.get("packs/a") == b"content"


@pytest.mark.parametrize(
    ("offset", "length", "part"),
    [
        (0, None, b"0123456789"),
        (4, None, b"456789"),
        (4, 3, b"456"),
        (4, 0, b""),
        (4, 6, b"456789"),
        (4, 7, b"456789"),
        (9, 100, b"9"),
        (10, 1, b""),
        (11, None, b""),
        (1 << 40, 1 << 20, b""),
    ],
)
def test_ranges_end_where_the_object_does(store, offset, length, part):
    store.put("packs/a", b"0123456789")

    assert store.get("packs/a", offset, length) == part


def test_an_object_is_never_replaced(store):
    store.put("packs/a", b"first")

    with pytest.raises(ObjectExists, match="packs/a"):
        store.put("packs/a", b"other")
    with pytest.raises(ObjectExists):
        store.put("packs/a", b"secon")
    with pytest.raises(ObjectExists):
        store.put("packs/a", b"")

    assert store.get("packs/a") == b"first"
    assert everything(store, "packs") == [("packs/a", 5)]


def test_the_same_bytes_again_are_a_retry_and_succeed(store):
    store.put("packs/a", b"first")
    store.put("packs/a", b"first")

    assert everything(store, "packs") == [("packs/a", 5)]


def test_a_store_knows_who_keeps_its_objects_when_one_was_put_twice(home, store, request):
    store.put("packs/a", b"first")
    store.put("packs/a", b"first")

    assert store.write_once is KEEPS[request.node.callspec.params["home"]]
    assert store.get("packs/a") == b"first"


@pytest.mark.parametrize("act", ["get", "stat"])
def test_what_is_not_there_is_said_not_to_be_there(store, act):
    with pytest.raises(ObjectNotFound, match="packs/a"):
        getattr(store, act)("packs/a")


def test_a_listing_has_one_kind_only(store):
    for name in ("packs/a", "packs/b", "index/a", "packs.x", "voltar.json", "pack/z"):
        store.put(name, b"12345")

    assert everything(store, "packs") == [("packs/a", 5), ("packs/b", 5)]
    assert everything(store, "index") == [("index/a", 5)]


def test_a_kind_without_objects_lists_nothing(store):
    assert everything(store, "packs") == []


def test_what_is_deleted_is_gone_and_can_be_deleted_again(store):
    store.put("packs/a", b"x")
    store.put("packs/b", b"x")

    store.delete("packs/a")
    store.delete("packs/a")
    store.delete("keys/never-there")

    assert everything(store, "packs") == [("packs/b", 1)]
    with pytest.raises(ObjectNotFound):
        store.get("packs/a")


def test_a_deleted_name_can_be_used_again(store):
    store.put("packs/a", b"x")
    store.delete("packs/a")

    store.put("packs/a", b"other")

    assert store.get("packs/a") == b"other"


def test_objects_may_vanish_while_they_are_listed(store):
    for number in range(20):
        store.put(f"packs/{number}", b"x")

    listing = store.list("packs")
    first = next(listing)
    for number in range(20):
        store.delete(f"packs/{number}")
    rest = list(listing)

    assert first.size == 1
    assert len(rest) < 20
    assert everything(store, "packs") == []


def test_making_a_place_again_changes_nothing(store):
    store.put("packs/a", b"x")

    store.create()

    assert store.get("packs/a") == b"x"


def test_nothing_is_put_into_a_place_that_is_not_there(home):
    with pytest.raises(Refused) as refused:
        home.store.put("packs/a", b"x")

    assert refused.value.hint


@pytest.mark.parametrize("act", ["get", "stat", "delete"])
def test_names_that_are_none_are_a_bug_of_the_caller(store, act):
    accepted = [name for name in OUTSIDE if is_taken(getattr(store, act), name)]

    assert accepted == []


def test_nothing_is_put_under_a_name_that_is_none(store, tmp_path):
    before = sorted(tmp_path.rglob("*"))

    accepted = [name for name in OUTSIDE if is_taken(store.put, name, b"x")]

    assert accepted == []
    assert sorted(tmp_path.rglob("*")) == before


def is_taken(act, *words):
    try:
        act(*words)
    except ValueError as error:
        return "not an object name" not in str(error)
    return True


def test_of_many_writers_of_one_name_one_wins(store):
    outcomes = []

    def write(number):
        try:
            store.put("packs/a", bytes([number]) * 1000)
            outcomes.append(number)
        except ObjectExists:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == 1
    assert store.get("packs/a") == bytes(outcomes) * 1000
    assert everything(store, "packs") == [("packs/a", 1000)]


def test_readers_see_whole_objects_only(store):
    content = bytes(range(256)) * 2000
    seen: set[int] = set()
    done = threading.Event()

    def watch():
        while not done.is_set():
            seen.update(info.size for info in store.list("packs"))
            seen.update(len(store.get(info.name)) for info in store.list("packs"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(15):
        store.put(f"packs/{number}", content)
    done.set()
    watcher.join()

    assert seen <= {len(content)}
