"""Selections of a snapshot, extracted by GNU tar."""

import os
import subprocess
from typing import Any

import pytest

from backup.errors import IntegrityError, UsageError
from backup.members import archive, selection
from backup.repository import Member, Repository, Snapshot
from backup.repository.manifest import chunk_of
from backup.survey import Selection, survey
from tests.memory_store import MemoryStore
from tests.saved import memory, plain, reopened, save
from tests.sparse import WAYS, extracted, sparse_file, tar_of
from tests.tars import END, extended, header, noise, padded


def stored(*blocks: bytes, **facts: Any) -> tuple[Repository, Snapshot]:
    repository = plain(MemoryStore())
    saved = save(repository, blocks, **facts)
    again = reopened(repository)
    return again, again.snapshot(saved)


def select(found, *paths):
    repository, snapshot = found
    return b"".join(selection(survey(repository, snapshot, Selection.of(paths))))


def names(tar, tmp_path):
    done = subprocess.run(
        ["tar", "--list", "--quoting-style=literal"], input=tar, capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


def file(name, content, **more):
    return header(name, size=len(content), **more) + padded(content)


def link(name, target):
    return header(name, b"1", link=target)


ALL = Selection()
TREE = (
    header(b"./", b"5"),
    header(b"./a/", b"5"),
    file(b"./a/one", b"one"),
    header(b"./a/b/", b"5"),
    file(b"./a/b/two", b"two"),
    file(b"./ab", b"not below a"),
    header(b"./z/", b"5"),
    link(b"./z/linked", b"./a/one"),
    link(b"./z/linked-too", b"./a/one"),
    END,
)


def test_the_whole_is_what_was_stored():
    repository, snapshot = stored(*TREE)

    assert b"".join(archive(repository, snapshot)) == b"".join(TREE)


def test_everything_selected_is_everything(tmp_path):
    assert select(stored(*TREE)) == b"".join(TREE)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((b"a/b",), ["./", "./a/", "./a/b/", "./a/b/two"]),
        ((b"/a/b/two",), ["./", "./a/", "./a/b/", "./a/b/two"]),
        ((b"ab",), ["./", "./ab"]),
        ((b"./a/",), ["./", "./a/", "./a/one", "./a/b/", "./a/b/two"]),
        ((b"ab", b"a/one"), ["./", "./a/", "./a/one", "./ab"]),
    ],
    ids=str,
)
def test_a_selection_has_what_is_below_and_the_directories_above(tmp_path, paths, expected):
    tar = select(stored(*TREE), *paths)

    assert names(tar, tmp_path) == expected
    assert tar.endswith(END)
    assert len(tar) % 512 == 0


def test_a_link_without_its_target_becomes_the_file_and_others_link_to_it(tmp_path):
    tar = select(stored(*TREE), b"z")

    tree = extracted(tar, tmp_path / "into")
    assert sorted(p.name for p in tree.rglob("*")) == ["linked", "linked-too", "z"]
    assert (tree / "z" / "linked").read_bytes() == b"one"
    assert os.path.samefile(tree / "z" / "linked", tree / "z" / "linked-too")


def test_one_of_two_links_becomes_the_file(tmp_path):
    tree = extracted(select(stored(*TREE), b"z/linked-too"), tmp_path / "into")

    assert (tree / "z" / "linked-too").read_bytes() == b"one"
    assert (tree / "z" / "linked-too").stat().st_nlink == 1


def test_links_with_their_target_stay_links(tmp_path):
    tree = extracted(select(stored(*TREE), b"a", b"z"), tmp_path / "into")

    assert os.path.samefile(tree / "z" / "linked", tree / "a" / "one")
    assert (tree / "a" / "one").stat().st_nlink == 3


@pytest.mark.parametrize("way", [*WAYS, "dense"])
def test_a_large_or_sparse_target_comes_along(tmp_path, way):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "z").mkdir()
    sparse_file(source / "a" / "file", [(n * 16_384, b"%05d" % n) for n in range(40)], 1 << 20)
    os.link(source / "a" / "file", source / "z" / ("n" * 150))
    options = WAYS.get(way, ["--format=gnu"])
    tar = tar_of(source, options, "a", "a/file", "z", "z/" + "n" * 150)

    tree = extracted(select(stored(tar), b"z"), tmp_path / "into")

    assert [p.name for p in tree.iterdir()] == ["z"]
    assert (tree / "z" / ("n" * 150)).read_bytes() == (source / "a" / "file").read_bytes()


def test_a_symbolic_link_or_device_with_two_names_comes_along(tmp_path):
    tar = (
        header(b"a", b"2", link=b"nowhere"),
        header(b"p", b"6"),
        link(b"z/a", b"a"),
        link(b"z/p", b"p"),
        END,
    )

    tree = extracted(select(stored(*tar), b"z"), tmp_path / "into")

    assert (tree / "z" / "a").readlink().name == "nowhere"
    assert (tree / "z" / "p").is_fifo()


def test_a_link_to_a_link_without_either_target(tmp_path):
    """GNU tar writes no such thing; other programs may."""
    tar = (file(b"a", b"content"), link(b"b", b"a"), link(b"z/c", b"b"), END)

    tree = extracted(select(stored(*tar), b"z"), tmp_path / "into")

    assert (tree / "z" / "c").read_bytes() == b"content"


def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    tar = (file(b"a", b"first"), file(b"b", b"b"), file(b"a", b"second"), END)

    tree = extracted(select(stored(*tar)), tmp_path / "into")

    assert (tree / "a").read_bytes() == b"second"


def test_a_link_to_an_earlier_version_of_a_file_keeps_that_content(tmp_path):
    """`tar --append` of a changed file: the link was made while the first version was there."""
    tar = (file(b"a", b"first"), link(b"b", b"a"), file(b"a", b"second"), END)
    expected = extracted(b"".join(tar), tmp_path / "as tar does it")

    tree = extracted(select(stored(*tar)), tmp_path / "into")

    assert (tree / "a").read_bytes() == (expected / "a").read_bytes() == b"second"
    assert (tree / "b").read_bytes() == (expected / "b").read_bytes() == b"first"


def test_no_part_can_be_chosen_where_a_name_is_there_twice():
    """Which version a link leads to depends on all that comes before it."""
    tar = (file(b"a", b"first"), link(b"z/b", b"a"), file(b"a", b"second"), END)

    with pytest.raises(UsageError, match="holds a name twice"):
        select(stored(*tar), b"z")


def test_a_captured_snapshot_may_name_nothing_twice():
    found = stored(file(b"a", b"first"), file(b"a", b"second"), END, imported=False)

    assert survey(*found, Selection.of([])).shadowed == frozenset()


def test_attributes_and_times_of_directories_come_along(tmp_path):
    tar = (header(b"d/", b"5", at={100: b"0000711\0"}), file(b"d/a", b"x"), END)

    tree = extracted(select(stored(*tar), b"d/a"), tmp_path / "into")

    assert (tree / "d").stat().st_mode & 0o7777 == 0o711
    assert (tree / "d").stat().st_mtime == 0o14000000000


def test_bodies_with_more_records_come_along(tmp_path, monkeypatch):
    monkeypatch.setattr("backup.recorder.EXTENTS_PER_RECORD", 1)
    body = noise(2 << 20)
    found = stored(file(b"a", b"x"), file(b"large", body), file(b"z", b"z"), END)

    assert select(found, b"large") == file(b"large", body) + END
    assert select(found, b"z") == file(b"z", b"z") + END


def test_global_headers_stay(tmp_path):
    shared = extended((b"comment", b"c"), kind=b"g")
    found = stored(shared, file(b"a", b"x"), file(b"b", b"y"), END)

    assert select(found, b"b") == shared + file(b"b", b"y") + END


def test_a_damaged_chunk_is_told_with_the_file() -> None:
    tree = file(b"small", b"fine"), file(b"d/big", noise(400_000)), END
    repository, snapshot = stored(*tree)
    lines = list(repository.manifest(snapshot))
    (extent, *_) = next(
        line.extents for line in lines if isinstance(line, Member) and line.path == "d/big"
    )
    place = repository.readings.find(chunk_of(extent))
    assert place is not None
    objects, name = memory(repository).objects, f"packs/{place[0].id}"
    data = bytearray(objects[name])
    data[place[1].offset + 20] ^= 1
    objects[name] = bytes(data)

    for read in (archive(repository, snapshot), selection(survey(repository, snapshot, ALL))):
        with pytest.raises(IntegrityError, match=r"^d/big cannot be read: pack ") as damaged:
            list(read)
        assert "voltar check" in str(damaged.value.hint)
        assert "by naming it" in str(damaged.value.hint)
    assert select((repository, snapshot), b"small").startswith(tree[0])
