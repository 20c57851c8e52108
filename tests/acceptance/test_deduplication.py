"""What is stored already is not stored again, wherever it was and wherever it is now."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.files import fill
from tests.testbed.engine import Pool
from tests.testbed.scratch import Scratch

MIB = 1 << 20
LARGEST_CHUNK = 4 * MIB
RECORDS = 200_000
"""What manifests of a few hundred files may take."""

Filled = Callable[..., str]


def stored(voltar: Voltar, volume: str, *options: str) -> int:
    """Back a volume up; return how much larger the repository is now, in bytes."""
    before = size_of(voltar)
    voltar("backup", volume, *options)
    return size_of(voltar) - before


def size_of(voltar: Voltar) -> int:
    assert voltar.repository is not None
    return sum(path.stat().st_size for path in voltar.repository.rglob("*") if path.is_file())


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def small_files(number: int) -> dict[str, bytes]:
    return {f"small/{n % 10}/{n}": noise(20_000, n) for n in range(number)}


@pytest.fixture
def place(scratch: Scratch) -> Callable[[str], Path]:
    return lambda volume: Path(scratch.engine.volume_directory(volume))


def test_an_insertion_at_the_front_of_a_dump_stores_a_few_chunks(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
) -> None:
    dump = noise(64 * MIB)
    volume = filled({"dump": dump})
    assert stored(voltar, volume) > 64 * MIB
    fill(place(volume), {"dump": b"-- one line more\n" + dump})

    assert stored(voltar, volume) < 2 * LARGEST_CHUNK


def test_what_is_renamed_or_copied_is_not_stored_again(
    voltar: Voltar, filled: Filled, place: Callable[[str], Path]
) -> None:
    volume = filled({"large": noise(8 * MIB)} | small_files(500))
    root = place(volume)
    # what changed within two seconds of a backup is read again by the next: where that is a part of
    # the small files, it is bundled in another way, and stored anew
    time.sleep(2.5)
    stored(voltar, volume)

    (root / "large").rename(root / "another name")
    assert stored(voltar, volume) < RECORDS
    fill(root, {"deep/copy": noise(8 * MIB)})
    assert stored(voltar, volume) < RECORDS
    (root / "small").rename(root / "zz")  # bundles are cut by content, and two at the ends differ
    assert stored(voltar, volume) < 2 * LARGEST_CHUNK + RECORDS


def test_volumes_share_what_is_the_same(voltar: Voltar, filled: Filled) -> None:
    files = {"large": noise(8 * MIB)} | small_files(300)
    stored(voltar, filled(files))

    assert stored(voltar, filled(files)) < RECORDS
    assert stored(voltar, filled({"elsewhere": files["large"]}), "--full") < RECORDS


def test_engines_share_what_is_the_same(voltar: Voltar, filled: Filled, pool: Pool) -> None:
    files = {"large": noise(8 * MIB)} | small_files(300)
    stored(voltar, filled(files))
    other = pool.engine("28.5-classic")
    there = voltar.changed(url=other.url)
    with Scratch(other) as scratch:
        volume, copy = scratch.volume(), scratch.volume()
        fill(other.volume_directory(volume), files)

        assert stored(there, volume) < RECORDS
        there("restore", f"volume:{volume}", "--to", copy, "--verify=full")


def test_backups_at_once_share_a_cache_and_harm_nothing(
    voltar: Voltar, filled: Filled, scratch: Scratch, content: Callable[[str], dict[bytes, Any]]
) -> None:
    """One of them is killed."""
    assert voltar.repository is not None
    packs = voltar.repository / "packs"
    common = {"common": noise(3 * MIB)}
    volumes = [filled(common | {f"own-{n}": noise(MIB, n)}) for n in range(1, 4)]
    stored(voltar, volumes[0])
    there = len(list(packs.iterdir()))

    with voltar.start("backup", filled({"large": os.urandom(200 * MIB)})) as doomed:
        until(lambda: len(list(packs.iterdir())) > there, what="a pack of it")
        running = [voltar.start("backup", volume) for volume in volumes for _ in range(2)]
        until(lambda: len(list(packs.iterdir())) > there + 1, what="another pack")
        doomed.kill()
        ended = [each.end(within_s=120) for each in running]

    assert [each.code for each in ended] == [0] * 6, [str(each) for each in ended]
    assert len(list(voltar.home.rglob("tables.sqlite3"))) == 1
    assert voltar.summary("check", "--read-data")["damages"] == []
    for volume in volumes:
        copy = scratch.volume()
        voltar("restore", f"volume:{volume}", "--to", copy, "--verify=full")
        assert content(copy) == content(volume)
        assert stored(voltar, volume) < RECORDS
