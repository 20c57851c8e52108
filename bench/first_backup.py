"""A first backup: voltar, restic and tar | zstd on the same volume, into an empty place each time.

voltar reads the volume as it always does, through a helper container, and stores it deduplicated,
compressed and encrypted. The others are given the volume's directory on the host, which only root
of the engine's machine can read; they start no container.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from backup import __version__
from bench import data, measure, table
from bench.bed import VOLTAR, Bed, bed, need, require_space, restic, version
from bench.measure import Cost, Series
from tests.testbed.command import run as command

AGAINST_RESTIC = 2.2
AGAINST_TAR = 0.85


def run(*, size: int | None = None, rounds: int) -> table.Report:
    """Compare; returns the tables."""
    size = size or data.MIXED
    with bed() as where:
        require_space(where.place, 4 * size)
        volume, directory = where.volume()
        print(f"copying {size / 1e9:.1f} GB of mixed data into a volume …", flush=True)
        content = data.mixed(directory, size)
        restic_program, restic_version = restic()
        contestants = {
            "voltar backup": lambda: _voltar(where, volume),
            "restic backup": lambda: _restic(where, restic_program, directory),
            "tar | zstd -3 -T2": lambda: _tar(where, directory),
        }
        _rehearse(where, directory)
        series = measure.rounds(contestants, rounds)
        facts = [
            f"data: {content}: programs, libraries, text, byte code, archives; 8 % made up, "
            "of which most does not compress; the same for all, in a volume of Docker 20.10",
            f"voltar {__version__} (AES-256-GCM), {restic_version} (defaults), "
            f"{version('tar')}, {version('zstd')}",
            "every repository is new and on the disk that the volume is on; everything was read "
            "once before, so the page cache is warm for all; the disk is synced before each round",
            "voltar syncs each pack to disk, restic too, tar | zstd does not",
            "restic and tar read a directory on the host; voltar reads a volume through a "
            "container, starting which is part of its time",
            f"{rounds} rounds, A B C A B C …; medians, (least..greatest); memory is the sum over "
            "the processes of the tool; helper CPU is what runs in the container, and dockerd",
        ]
    return _report(facts, series, content.size, f"python -m bench first-backup --rounds {rounds}")


def _rehearse(where: Bed, directory: Path) -> None:
    """Fill the page cache; let the engine import the helper image, which it keeps."""
    data.warm(directory)
    small, _ = where.volume()
    _voltar(where, small)


def _timed(where: Bed, work: Callable[[], Cost], stored: Path) -> Cost:
    """Sync, work, measure what was stored, and remove it."""
    command(["sync"])
    cost = where.with_helpers(work)
    size = measure.size_of(stored)
    where.fresh(stored.name)
    return Cost(cost.seconds, cost.cpu_s, cost.peak, cost.helpers_s, size)


def _voltar(where: Bed, volume: str) -> Cost:
    repository = where.fresh("voltar")
    program: list[str | Path] = [*VOLTAR, "--repository", repository, "--quiet"]
    command([*program, "init"], env=where.environment)
    argv = [*program, "backup", f"volume:{volume}"]
    return _timed(where, lambda: measure.pipeline([argv], env=where.environment), repository)


def _restic(where: Bed, program: Path, directory: Path) -> Cost:
    repository = where.fresh("restic")
    shutil.rmtree(where.environment["RESTIC_CACHE_DIR"], ignore_errors=True)
    command([program, "-q", "-r", repository, "init"], env=where.environment)
    argv: list[str | Path] = [program, "-r", repository, "backup", directory]
    return _timed(where, lambda: measure.pipeline([argv], env=where.environment), repository)


def _tar(where: Bed, directory: Path) -> Cost:
    archive = where.fresh("archive.tar.zst")
    pack: list[str | Path] = [need("tar"), "--create", "--file=-", "--directory", directory, "."]
    squeeze: list[str | Path] = [need("zstd"), "-q", "-3", "-T2"]
    return _timed(
        where,
        lambda: measure.pipeline([pack, squeeze], env=where.environment, output=archive),
        archive,
    )


def _report(facts: list[str], series: dict[str, Series], size: int, repeat: str) -> table.Report:
    ours, peer, plain = series.values()
    rows = [_row(each, size, ours) for each in series.values()]
    head = ["", "seconds", "(spread)", "MB/s", "CPU s", "helper CPU s", "peak MB", "stored MB"]
    result = table.Table("First backup", [*head, "voltar is"], rows)
    verdicts = [
        table.verdict("voltar against restic", peer.median() / ours.median(), AGAINST_RESTIC),
        table.verdict("voltar against tar | zstd", plain.median() / ours.median(), AGAINST_TAR),
    ]
    return table.Report("First backup of mixed data", repeat, facts, [result], verdicts)


def _row(each: Series, size: int, ours: Series) -> list[str]:
    return [
        each.name,
        f"{each.median():.2f}",
        f"({table.spread(each.seconds)})",
        f"{size / each.median() / 1e6:.0f}",
        f"{each.median(lambda cost: cost.cpu_s):.1f}",
        f"{each.median(lambda cost: cost.helpers_s):.1f}" if each is ours else "-",
        f"{each.median(lambda cost: cost.peak) / 1e6:.0f}",
        f"{each.median(lambda cost: cost.stored) / 1e6:.0f}",
        "" if each is ours else f"{each.median() / ours.median():.2f} x as fast",
    ]
