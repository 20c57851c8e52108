"""What a backup cannot look into is told, never left out in silence."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.files import fill
from tests.acceptance.test_incremental import saved, settled
from tests.testbed.command import run
from tests.testbed.scratch import Scratch

MIB = 1 << 20


class Disk:
    """A small ext4 file system in a file, and where it is mounted."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self.directory = directory
        directory.mkdir()
        with image.open("wb") as file:
            file.truncate(16 * MIB)
        run(["mkfs.ext4", "-q", "-O", "metadata_csum", image])

    def mount(self) -> None:
        """Mount it."""
        run(["mount", "-o", "loop", self._image, self.directory])

    def unmount(self) -> None:
        """Unmount it, if it is mounted."""
        if os.path.ismount(self.directory):
            run(["umount", self.directory])

    def swap(self, name: str, block: bytes | None = None) -> bytes:
        """Put another first block into a directory; return the one that was there."""
        said = run(["debugfs", "-R", f"blocks /{name}", self._image]).split()
        with self._image.open("r+b") as file:
            file.seek(int(said[0]) * 1024)
            was = file.read(1024)
            file.seek(int(said[0]) * 1024)
            file.write(block or os.urandom(1024))
        return was


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is mounted, with files in a directory `d`."""
    disk = Disk(tmp_path / "image", tmp_path / "disk")
    disk.mount()
    fill(disk.directory, {f"d/f{n}": b"%d" % n for n in range(3)} | {"whole": b"w"})
    yield disk
    disk.unmount()


def notes(voltar: Voltar, snapshot: str) -> str:
    return voltar("ls", "--notes", snapshot).out.decode()


def test_a_directory_that_cannot_be_read_is_told_and_looked_at_again(
    voltar: Voltar, scratch: Scratch, disk: Disk, content: Callable[[str], dict[bytes, Any]]
):
    bound = ["--opt", "type=none", "--opt", "o=bind", "--opt", f"device={disk.directory}"]
    volume = scratch.volume(*bound)
    before = settled(voltar, volume)
    disk.unmount()
    intact = disk.swap("d")
    disk.mount()

    told = saved(voltar, volume, code=3)

    assert told["deleted"] == 3
    assert "d: find: " in notes(voltar, told["id"])
    again = saved(voltar, volume, code=3)
    assert again["warnings"] == told["warnings"] == 1

    disk.unmount()
    disk.swap("d", intact)
    disk.mount()
    last = saved(voltar, volume)
    assert last["entries"] == before["entries"]
    copy = scratch.volume()
    voltar("restore", last["id"], "--to", copy)
    assert {b"d/f0", b"d/f1", b"d/f2", b"whole"} <= set(content(copy))


def test_another_file_system_within_is_told_unless_it_is_excluded(
    voltar: Voltar, scratch: Scratch, disk: Disk, tmp_path: Path, image: str
):
    outer = tmp_path / "outer"
    fill(outer, {"mine": b"1", "sub/hidden": b"2"})
    run(["mount", "--bind", disk.directory, outer / "sub"])
    try:
        container = scratch.container(image, "true", options=["--volume", f"{outer}:/outer"])
        found = voltar("--json", "backup", f"container:{container}", code=3).events
        quiet = voltar("--json", "backup", f"container:{container}", "--exclude", "/sub")
    finally:
        run(["umount", outer / "sub"])

    (snapshot,) = (event for event in found if event["type"] == "snapshot")
    assert "sub: another file system" in notes(voltar, snapshot["id"])
    assert not any(event["type"] == "note" for event in quiet.events)
