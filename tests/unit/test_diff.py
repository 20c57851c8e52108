"""Which differences between two snapshots are differences, and which are only of how they lie."""

import random

import pytest

from backup.diff import Diff
from backup.errors import IntegrityError
from backup.inventory import inventory
from backup.paths import sort_key
from tests.memory_store import MemoryStore
from tests.saved import memory, plain, save
from tests.tars import END, extended, header, padded
from tests.trees import Name, Thing, Tree, captured, imported

ROOT = {b"": Thing(kind="d")}
SPARSE = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))


@pytest.fixture
def repository():
    return plain(MemoryStore())


def told(repository, before, after, **options):
    """Return {path: what}, with + and - for what is on one side only."""
    diff = Diff(repository, **options)
    found = diff.differences(inventory(repository, before), inventory(repository, after))
    return {
        one.path: "+" if one.before is None else "-" if one.after is None else " ".join(one.what)
        for one in found
    }


def test_the_name_that_a_file_is_stored_under_is_no_difference(repository):
    file = Thing(content=b"x" * 100)
    before = captured(repository, {b"a": file, b"b": Name(b"a"), b"c": Name(b"a")})
    after = captured(repository, {b"b": file, b"c": Name(b"b")})

    assert told(repository, before, after) == {b"a": "-"}
    assert told(repository, after, before) == {b"a": "+"}


def test_a_name_that_is_made_a_file_of_its_own_has_not_changed(repository):
    file = Thing(content=b"x" * 100)
    before = captured(repository, {b"a": file, b"b": Name(b"a")})
    after = captured(repository, {b"a": Thing(content=b"y" * 100), b"b": file})

    assert told(repository, before, after) == {b"a": "content"}


def test_a_change_of_a_file_is_told_of_all_its_names(repository):
    before = captured(repository, {b"a": Thing(content=b"1"), b"z": Name(b"a")})
    after = captured(repository, {b"a": Thing(content=b"22"), b"z": Name(b"a")})

    assert told(repository, before, after) == {b"a": "content size", b"z": "content size"}


def test_a_second_name_that_came_about_during_the_listing_is_one(repository):
    tree: Tree = {b"a": Thing(content=b"x"), b"m": Thing(), b"z": Name(b"a")}
    quiet = captured(repository, tree)
    hurried = captured(repository, tree, links={b"a": 1, b"z": 2})

    assert told(repository, quiet, hurried) == {}
    assert len(list(inventory(repository, hurried))) == 3


def test_the_same_bytes_cut_into_other_chunks_are_the_same(repository):
    content = random.Random(1).randbytes(100_000)
    before = captured(repository, {b"a": Thing(content=b"1" * 5000), b"b": Thing(content=content)})
    after = captured(repository, {b"b": Thing(content=content)})
    extents = [
        node.extents
        for one in (before, after)
        for node in inventory(repository, one)
        if node.path == b"b"
    ]

    assert extents[0] != extents[1]
    assert told(repository, before, after) == {b"a": "-"}


def test_the_same_bytes_with_and_without_holes_are_the_same(repository):
    data = b"d" * 1024
    whole = header(b"f", size=4096) + bytes(3072) + data
    found = b"1\n3072\n1024\n"
    holes = extended(*SPARSE, (b"GNU.sparse.name", b"f"), (b"GNU.sparse.realsize", b"4096"))
    holes += header(b"GNUSparseFile.1/f", size=1536) + padded(found) + data
    other = holes[:-1] + b"e"
    one, two, three = (
        repository.snapshot(save(repository, [archive + END])) for archive in (whole, holes, other)
    )

    assert told(repository, one, two) == {}
    assert told(repository, two, three) == {b"f": "content"}


def test_a_map_of_holes_alone_can_be_the_change(repository):
    def archive(at):
        where = (b"GNU.sparse.map", b"%d,512" % at)
        head = extended((b"GNU.sparse.size", b"4096"), (b"GNU.sparse.numblocks", b"1"), where)
        return head + header(b"f", size=512) + b"d" * 512 + END

    one, two = (repository.snapshot(save(repository, [archive(at)])) for at in (0, 512))

    assert told(repository, one, two) == {b"f": "content"}


def test_the_last_entry_of_a_name_is_what_an_archive_comes_to(repository):
    old, new = Thing(content=b"old"), Thing(content=b"new")
    archive: list[tuple[bytes, Thing | Name]] = [
        (b"a", old),
        (b"l", Name(b"a")),
        (b"a", new),
        (b"m", Name(b"a")),
        (b"n", Name(b"l")),
        (b"l", new),
        (b"o", Name(b"l")),
        (b"z", old),
        (b"z", Thing(kind="d")),
    ]
    tree: Tree = {b"a": new, b"l": new, b"m": new, b"n": old, b"o": new, b"z": Thing(kind="d")}

    assert told(repository, imported(repository, archive), captured(repository, tree)) == {}


def test_a_hard_link_to_nothing_stays_what_it_is(repository):
    broken = imported(repository, [(b"l", Name(b"gone"))])
    whole = imported(repository, [(b"l", Thing())])

    assert told(repository, broken, broken) == {}
    assert "type" in told(repository, broken, whole)[b"l"]


def test_without_times_another_mtime_is_no_difference(repository):
    before = captured(repository, {b"a": Thing(), b"b": Thing()})
    after = captured(repository, {b"a": Thing(mtime=5), b"b": Thing(mtime=5, mode=0o600)})

    assert told(repository, before, after) == {b"a": "mtime", b"b": "mode mtime"}
    assert told(repository, before, after, times=False) == {b"b": "mode"}


def test_changed_attributes_are_named(repository):
    before = captured(repository, {b"a": Thing(attribute="old")})
    after = captured(repository, {b"a": Thing(attribute="new")})
    diff = Diff(repository)

    (found,) = diff.differences(inventory(repository, before), inventory(repository, after))

    assert (found.what, found.attributes) == (("attributes",), ("xattr.user.x",))


def test_sizes_are_summed_up(repository):
    before = captured(repository, ROOT | {b"a": Thing(content=b"1"), b"b": Thing(content=b"22")})
    after = captured(repository, ROOT | {b"b": Thing(content=b"333"), b"c": Thing(content=b"4444")})
    diff = Diff(repository)

    list(diff.differences(inventory(repository, before), inventory(repository, after)))

    counts = (diff.added, diff.removed, diff.changed)
    assert [(count.entries, count.size) for count in counts] == [(1, 4), (1, 1), (1, 3)]
    assert diff.unchanged == 1


def test_content_that_cannot_be_read_is_not_called_the_same(repository):
    before = captured(repository, {b"a": Thing(content=b"1" * 3000), b"b": Thing(content=b"2")})
    after = captured(repository, {b"b": Thing(content=b"2")})
    data = max(
        (name for name in memory(repository).objects if name.startswith("packs/")),
        key=lambda name: len(memory(repository).objects[name]),
    )
    spoiled = bytearray(memory(repository).objects[data])
    spoiled[60] ^= 1
    memory(repository).objects[data] = bytes(spoiled)

    with pytest.raises(IntegrityError):
        told(repository, before, after)


def test_an_inventory_is_the_same_through_a_file_on_disk(repository, monkeypatch):
    files = {b"%d" % number: Thing(content=b"%d" % number) for number in range(40)}
    links = {b"%d/x" % number: Name(b"%d" % (number // 2)) for number in range(40)}
    tree: Tree = {**files, **links}
    members = [*tree.items(), (b"7", Thing(content=b"last"))]
    snapshots = (captured(repository, tree), imported(repository, members))
    in_memory = [list(inventory(repository, snapshot)) for snapshot in snapshots]
    monkeypatch.setattr("backup.inventory._RUN", 3)

    on_disk = [list(inventory(repository, snapshot)) for snapshot in snapshots]

    assert on_disk == in_memory
    for nodes in on_disk:
        assert [node.path for node in nodes] == sorted(tree, key=sort_key)


def test_small_files_that_lie_elsewhere_are_read_together(repository, monkeypatch):
    before = captured(
        repository, {b"%d" % number: Thing(content=b"%d" % number * 99) for number in range(500)}
    )
    after = captured(
        repository, {b"%d" % number: Thing(content=b"%d" % number * 99) for number in range(1, 500)}
    )
    sides = [list(inventory(repository, snapshot)) for snapshot in (before, after)]
    reads: list[int] = []
    read = repository.read

    def counted(items):
        reads.append(1)
        return read(items)

    monkeypatch.setattr(repository, "read", counted)

    found = list(Diff(repository).differences(*sides))

    assert [one.path for one in found] == [b"0"]
    assert len(reads) == 1
