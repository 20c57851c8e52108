"""What the real find and tar say of files, understood whatever the files are called."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup import complaints
from backup.capture import TAR_CREATE

NAMES = [
    b"plain",
    b"it's",
    b"two\nlines",
    b"tab\tand \x01",
    b"\xff\xfe",
    "\u00fc".encode(),
    b"back\\slash\\n",
    b"a: b",
    b"': Permission denied",
    b'"`$',
]
C_LOCALE = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


@dataclass
class Ended:
    """Stands for the stream of a command that ended."""

    stderr: str
    dropped: int = 0


def said(*argv: str | bytes, stdin: bytes = b"", within: Path | None = None) -> Any:
    """What a command says to somebody who may read nothing."""
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        cwd=within,
        env=C_LOCALE,
        user="nobody",
        timeout=20,
        check=False,
    )
    assert done.stderr
    return Ended(done.stderr.decode(errors="backslashreplace"))


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Directories and files that only root can read."""
    if os.geteuid():
        pytest.skip("needs root, to be somebody else")
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == 0 and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o755)
    for name in NAMES:
        os.mkdir(os.path.join(os.fsencode(tmp_path), name), 0)
    return tmp_path


def test_directories_that_find_cannot_read(closed):
    stream = said("find", closed, "-printf", "")

    found = complaints.of_find(stream, str(closed))

    assert found == dict.fromkeys(NAMES, "find: Permission denied")


def test_the_root_that_find_cannot_read(closed):
    closed.chmod(0)

    stream = said("find", closed, "-printf", "")

    assert complaints.of_find(stream, str(closed)) == {b"": "find: Permission denied"}


def test_what_tar_cannot_read(closed):
    files = [name + b"-file" for name in NAMES]
    for name in files:
        os.close(os.open(os.path.join(os.fsencode(closed), name), os.O_CREAT | os.O_WRONLY, 0))

    argv = [*TAR_CREATE, "--files-from=-", "--file=-"]
    stream = said(*argv, stdin=b"\0".join(files) + b"\0", within=closed)

    found = complaints.of_tar(stream)
    assert {path: text.rpartition(": ")[2] for path, text in found.items()} == dict.fromkeys(
        files, "Permission denied"
    )


def test_what_vanished_while_find_looked_is_no_complaint():
    stream = said("find", "/gone", "-printf", "")

    assert "No such file" in stream.stderr
    assert complaints.of_find(stream, "/") == {}


def test_a_complaint_without_a_path_is_about_all():
    stream: Any = Ended("find: something went wrong\n")

    assert complaints.of_find(stream, "/v") == {b"": "find: something went wrong"}


@pytest.mark.parametrize("of", [complaints.of_tar, lambda s: complaints.of_find(s, "/v")])
def test_lost_complaints_are_about_all(of):
    stream: Any = Ended("", dropped=3)

    assert "3 lines" in of(stream)[b""]
