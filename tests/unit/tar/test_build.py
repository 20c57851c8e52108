"""Headers of our own making are what GNU tar and our own reader take them for."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.tar.build import end_of_archive, impersonal, linked, renamed
from backup.tar.split import join, split
from tests.sparse import WAYS, extracted, sparse_file, tar_of
from tests.strategies import paths, tars
from tests.tars import END, GNU, extended, header, long_name, padded

LONG = b"d" * 90 + b"/" + b"n" * 250


def decoded(head):
    return next(split([head]))


def facts(entry):
    return (
        entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns, entry.body_size,
        entry.major, entry.minor,
    )  # fmt: skip


@given(tars(), paths, paths)
def test_a_member_of_any_archive_changes_its_name_and_nothing_else(tar, path, link):
    for entry in split([tar]):
        if entry.kind in ("f", "l", "h", "c", "b", "p"):
            new = decoded(renamed(entry.head, path=path, link=link))
            assert (new.path, new.link) == (path, link)
            assert facts(new) == facts(entry)


@pytest.mark.parametrize(
    "path", [b"a", b"a/b", LONG, b"\xff\n", b"p" * 100, b"p" * 101, b"=1\n2 x=y"]
)
@pytest.mark.parametrize(
    "start", [b"", extended((b"SCHILY.xattr.user.a", b"\0=\n\xff")), long_name(LONG)]
)
def test_names_of_every_length_can_be_given(start, path):
    head = start + header(b"old", size=7, at={345: b"prefix"})

    new = decoded(renamed(head, path=path))

    assert (new.path, new.link, new.size) == (path, b"", 7)


def test_extended_attributes_stay():
    head = extended((b"SCHILY.xattr.user.a", b"\0=\n\xff"), (b"path", b"x")) + header(b"old")

    new = decoded(renamed(head, path=b"new"))

    assert new.pax["SCHILY.xattr.user.a"] == b"\0=\n\xff"
    assert new.pax["path"] == b"new"


def test_an_old_long_name_does_not_come_back():
    head = long_name(LONG) + long_name(LONG, kind=b"K") + header(b"x", b"1", magic=GNU)

    new = decoded(renamed(head, path=b"new", link=b"target"))

    assert (new.path, new.link, new.kind) == (b"new", b"target", "h")
    assert LONG not in new.head


def test_nothing_asked_for_changes_nothing_that_matters():
    head = header(b"old", size=7)

    assert facts(decoded(renamed(head))) == facts(decoded(head))
    assert decoded(renamed(head)).path == b"old"


@pytest.mark.parametrize("way", [*WAYS, "dense"])
def test_gnu_tar_extracts_a_renamed_sparse_file(tmp_path, way):
    source = tmp_path / "source"
    source.mkdir()
    data = [(n * 16_384, b"%05d" % n) for n in range(30)]
    sparse_file(source / "old", data, 1 << 20)
    (source / "old").chmod(0o640)
    tar = tar_of(source, WAYS.get(way, ["--format=gnu"]), "old")

    def change(entry):
        if entry.kind == "f":
            entry.head = renamed(entry.head, path=b"new/name")
        return entry

    made = b"".join(join(change(entry) for entry in split([tar])))

    result = extracted(made, tmp_path / "into") / "new" / "name"
    assert result.read_bytes() == (source / "old").read_bytes()
    assert result.stat().st_mode & 0o7777 == 0o640
    assert result.stat().st_mtime == (source / "old").stat().st_mtime or way in ("old gnu", "dense")


@given(st.integers(0, 1200))
def test_records_tell_their_length_right(length):
    path = b"p" * length + b"x"

    assert decoded(renamed(header(b"old"), path=path)).path == path


def test_the_end_is_two_blocks_of_zeros():
    end = end_of_archive()

    assert end.kind == "z"
    assert b"".join(join([end])) == END
    member = next(split([header(b"a", size=1) + padded(b"a") + END]))
    assert member.kind == "f"


@pytest.mark.parametrize("first", ["a", "d" * 90 + "/" + "n" * 200], ids=len)
@pytest.mark.parametrize("form", ["gnu", "posix", "ustar"])
def test_gnu_tar_extracts_the_second_name_of_a_fifo_as_a_hard_link(tmp_path, form, first):
    """GNU tar itself makes two FIFOs of one that has two names."""
    source = tmp_path / "source"
    (source / first).parent.mkdir(parents=True)
    os.mkfifo(source / first, 0o640)
    (source / "z").hardlink_to(source / first)
    one = tar_of(source, ["--format=gnu"], first)
    two = tar_of(source, [f"--format={form}"], "z")
    entries = [next(split([one])), next(split([two]))]
    assert [entry.kind for entry in entries] == ["p", "p"]

    entries[1].head = linked(entries[1].head, first.encode())

    made = b"".join(join([*entries, end_of_archive()]))
    into = extracted(made, tmp_path / "into")
    assert stat.S_ISFIFO((into / "z").stat().st_mode)
    assert (into / "z").samefile(into / first)
    assert (into / "z").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("kind", [b"3", b"4", b"6"])
def test_a_hard_link_says_all_that_the_special_file_said_but_its_numbers(kind):
    numbers = {100: b"0004711\0", 329: b"0000010\0", 337: b"0000007\0"}
    start = extended((b"SCHILY.xattr.user.a", b"\0=\n\xff"), (b"mtime", b"5.25"))
    old = decoded(start + header(b"name", kind, at=numbers))

    new = decoded(linked(old.head, LONG))

    assert (new.kind, new.path, new.link) == ("h", b"name", LONG)
    assert (new.size, new.body_size, new.head[-512:][329:345]) == (0, 0, bytes(16))
    assert (new.mode, new.uid, new.gid, new.mtime_ns) == (0o4711, 0, 0, 5_250_000_000)
    assert new.pax["SCHILY.xattr.user.a"] == b"\0=\n\xff"


@pytest.mark.parametrize("way", ["pax 0.1", "pax 1.0"])
def test_two_runs_of_gnu_tar_give_a_sparse_file_the_same_headers(tmp_path, way):
    source = tmp_path / "source"
    source.mkdir()
    sparse_file(source / "file", [(0, b"first"), (65_536, b"second")], 1 << 20)
    options = [*WAYS[way], "--pax-option=delete=atime"]
    runs = [tar_of(source, options, "file") for _ in range(2)]
    heads = [decoded(tar).head for tar in runs]

    same, again = map(impersonal, heads)

    assert heads[0] != heads[1]
    assert same == again
    assert facts(decoded(same)) == facts(decoded(heads[0]))
    result = extracted(same + runs[0][len(same) :], tmp_path / "into") / "file"
    assert result.read_bytes() == (source / "file").read_bytes()


@pytest.mark.parametrize("rest", [b"a", b"n" * 81, b"GNUSparseFile.12"], ids=len)
def test_the_process_id_goes_and_the_checksum_is_right(rest):
    start = extended((b"GNU.sparse.name", b"GNUSparseFile.34"))

    head = impersonal(start + header(b"GNUSparseFile.4711/" + rest, at={345: b"prefix"}))

    rest = rest.replace(b"12", b"0")
    assert head == start + header(b"GNUSparseFile.0/" + rest, at={345: b"prefix"})
