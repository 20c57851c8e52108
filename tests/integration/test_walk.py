"""The independent walk tells apart what differs, and only that."""

import os
import socket
from pathlib import Path

import pytest

from tests.testbed.walk import diff, snapshot


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"content")
        os.utime(tmp_path / name / "file", ns=(1, 1))
        os.utime(tmp_path / name, ns=(1, 1))
    return tmp_path / "a", tmp_path / "b"


def test_equal_trees_have_no_difference(pair: tuple[Path, Path]) -> None:
    a, b = pair

    assert diff(snapshot(a), snapshot(b)) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda p: os.utime(p, ns=(1, 2)), "mtime_ns"),
        (lambda p: os.utime(p, ns=(1, -5)), "mtime_ns"),
        (lambda p: p.chmod(0o4755), "mode"),
        (lambda p: os.chown(p, 70, 70), "uid"),
        (lambda p: p.write_bytes(b"CONTENT"), "content"),
        (lambda p: p.write_bytes(b"content\0"), "size"),
        (lambda p: os.setxattr(p, "user.a", b"\0"), "xattrs"),
        (lambda p: os.link(p, p.with_name("other")), "names"),
    ],
    ids=["time", "before 1970", "mode", "owner", "content", "size", "attribute", "hard link"],
)
def test_a_change_is_noticed(pair: tuple[Path, Path], change, field) -> None:
    a, b = pair
    before = snapshot(a)

    change(b / "file")

    assert any(line.startswith(f"b'file': {field}: ") for line in diff(before, snapshot(b)))


def test_missing_and_additional_names_are_noticed(pair: tuple[Path, Path]) -> None:
    a, b = pair
    (b / "file").rename(b / "other")

    assert diff(snapshot(a), snapshot(b), ignore=["mtime_ns"]) == [
        "b'file': missing (file)",
        "b'other': should not be there (file)",
    ]


def test_a_hole_of_1_tib_is_read_at_once_and_holes_count_as_zeros(pair: tuple[Path, Path]) -> None:
    a, b = pair
    for directory in pair:
        with (directory / "sparse").open("wb") as file:
            file.truncate(1 << 40)
            os.pwrite(file.fileno(), b"x", 5 << 30)
    with (b / "sparse").open("r+b") as file:
        os.pwrite(file.fileno(), bytes(1 << 20), 7 << 30)

    lines = diff(snapshot(a), snapshot(b), ignore=["mtime_ns"])

    assert [line.split(":")[1] for line in lines] == [" data"]


def test_names_are_bytes_and_paths_may_be_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir(b"\xff" * 250, dir_fd=directory)
        below = os.open(b"\xff" * 250, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.mknod(b"\n\xfe", dir_fd=directory)
    os.close(directory)

    found = snapshot(tmp_path)

    assert found[b"/".join([b"\xff" * 250] * 30) + b"/\n\xfe"].kind == "file"


def test_every_kind_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "null", 0o020644, os.makedev(1, 3))
    os.mknod(tmp_path / "loop", 0o060644, os.makedev(7, 0))
    os.setxattr(tmp_path / "link", "trusted.a", b"b", follow_symlinks=False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))

    found = snapshot(tmp_path)

    assert found[b"link"].link == b"nowhere"
    assert found[b"link"].xattrs == (("trusted.a", b"b"),)
    assert found[b"null"].device == (1, 3)
    assert {path: facts.kind for path, facts in found.items()} == {
        b"": "directory",
        b"link": "symlink",
        b"fifo": "fifo",
        b"null": "character device",
        b"loop": "block device",
        b"socket": "socket",
    }
