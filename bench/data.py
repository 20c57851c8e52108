"""What is backed up: mixed data of this machine, and made-up data that is the same everywhere.

`mixed` is what a server's volumes hold: programs and libraries, text, sources and byte code,
archives and pictures, many small files. It is copied from /usr and, where that is not enough, from
a pyenv, path by path in alphabetical order, so it is the same in every run on one machine; 8 % is
made up: random bytes, which do not compress, and 10,000 files of some kilobytes.
"""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.command import BedFailure

MB = 1_000_000
MIXED = 3200 * MB
"""Bytes of mixed data, if nothing else is asked for."""
_PIECE = 1 << 20
_SMALL_BELOW = 16 << 10


@dataclass(frozen=True, slots=True)
class Content:
    """What a directory holds. `small` counts files below 16 KiB; sizes in bytes."""

    files: int
    small: int
    size: int
    median: int

    def __str__(self) -> str:
        return (
            f"{self.size / 1e9:.2f} GB in {self.files:,} files "
            f"({self.small:,} below 16 KiB, median {self.median:,} bytes)"
        )


def mixed(target: Path, size: int) -> Content:
    """Fill an empty directory with about `size` bytes of mixed data."""
    made_up = size * 8 // 100
    incompressible(target / "random", made_up * 9 // 10)
    small(target / "small", 10_000, made_up // 10)
    wanted = size - made_up
    for source in _sources():
        wanted -= _copy(source, target / source.name.lstrip("."), wanted)
    if wanted > size // 50:
        raise BedFailure(f"this machine has not enough in /usr: {wanted / MB:.0f} MB are missing")
    return look(target)


def large(target: Path, size: int) -> Content:
    """Fill an empty directory with files of 4 MiB, `size` bytes in all."""
    dice = random.Random(1)
    pool = dice.randbytes(64 << 20)
    for number in range(size // (4 << 20)):
        at = dice.randrange(len(pool) // 2)
        (target / f"{number:04}").write_bytes(pool[at : at + (4 << 20)])
    return look(target)


def incompressible(target: Path, size: int) -> None:
    """Fill a directory with files of 1 to 40 MB of random bytes."""
    target.mkdir(exist_ok=True)
    dice = random.Random(2)
    number = 0
    while size > 0:
        part = min(size, dice.randrange(MB, 40 * MB))
        (target / f"{number:03}.bin").write_bytes(dice.randbytes(part))
        size -= part
        number += 1


def small(target: Path, count: int, size: int) -> None:
    """Fill a directory with files of some hundred words, a hundred a directory."""
    dice = random.Random(3)
    words = [f"{dice.getrandbits(32):x}" for _ in range(4000)]
    each = max(1, size // count // 9)
    for number in range(count):
        directory = target / f"{number // 100:03}"
        directory.mkdir(parents=True, exist_ok=True)
        text = " ".join(dice.choices(words, k=dice.randrange(1, 2 * each + 1)))
        (directory / f"{number % 100:02}.txt").write_text(text)


def change(directory: Path, number: int) -> None:
    """Put a line in front of every hundredth file, another one for every `number`."""
    for path in files(directory)[::100]:
        path.write_bytes(f"changed for the {number + 1}th time\n".encode() + path.read_bytes())


@contextmanager
def without_a_fifth(directory: Path, aside: Path) -> Iterator[None]:
    """Have every fifth file elsewhere on the same disk, until the `with` ends."""
    aside.mkdir()
    moved = [(path, aside / str(n)) for n, path in enumerate(files(directory)[::5])]
    for here, there in moved:
        here.rename(there)
    yield
    for here, there in moved:
        there.rename(here)
    aside.rmdir()


def files(directory: Path) -> list[Path]:
    """All regular files below a directory, in alphabetical order."""
    found = (Path(parent, name) for parent, _, names in os.walk(directory) for name in names)
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def look(directory: Path) -> Content:
    """Count what there is; hard links count once each, as all tools read them."""
    sizes = sorted(
        os.lstat(Path(parent, name)).st_size
        for parent, _, names in os.walk(directory)
        for name in names
        if not Path(parent, name).is_symlink()
    )
    small = sum(size < _SMALL_BELOW for size in sizes)
    return Content(len(sizes), small, sum(sizes), sizes[len(sizes) // 2] if sizes else 0)


def warm(directory: Path) -> None:
    """Read everything once, so that every tool finds it in the page cache."""
    buffer = bytearray(_PIECE)
    for parent, _, names in os.walk(directory):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def _sources() -> Iterator[Path]:
    yield from (Path("/usr/bin"), Path("/usr/share"), Path("/usr/lib"), Path("/usr/local"))
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    if pyenv.is_dir():
        yield from sorted(path for path in pyenv.iterdir() if path.is_dir())


def _copy(source: Path, target: Path, limit: int) -> int:
    """Copy regular files and symbolic links, with modes and times; returns the bytes copied."""
    copied = 0
    for parent, directories, names in os.walk(source):
        directories.sort()
        below = target / Path(parent).relative_to(source)
        below.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_symlink():
                (below / name).symlink_to(path.readlink())
            elif path.is_file() and copied + path.lstat().st_size <= limit:
                shutil.copy2(path, below / name)
                copied += path.lstat().st_size
    return copied
