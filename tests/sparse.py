"""Sparse files and the ways in which GNU tar writes them."""

import os
import subprocess
from pathlib import Path

WAYS = {
    "old gnu": ["--format=gnu", "--sparse"],
    "pax 0.0": ["--format=posix", "--sparse", "--sparse-version=0.0"],
    "pax 0.1": ["--format=posix", "--sparse", "--sparse-version=0.1"],
    "pax 1.0": ["--format=posix", "--sparse", "--sparse-version=1.0"],
}
DENSE = ["--format=posix"]


def sparse_file(path: Path, regions: list[tuple[int, bytes]], size: int) -> None:
    """Make a file of `size` bytes with data at these offsets and holes between."""
    with path.open("wb") as file:
        for offset, data in regions:
            os.pwrite(file.fileno(), data, offset)
        file.truncate(size)


def tar_of(directory: Path, options: list[str], *names: str) -> bytes:
    """Return what GNU tar makes of these names below a directory, in this order."""
    command = ["tar", "--create", *options, "--no-recursion", "--directory", str(directory), *names]
    return subprocess.run(command, check=True, capture_output=True).stdout


def extracted(tar: bytes, into: Path) -> Path:
    """Extract a tar with GNU tar, which must not complain."""
    into.mkdir()
    command = ["tar", "--extract", "--preserve-permissions", "--directory", str(into)]
    done = subprocess.run(command, input=tar, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return into
