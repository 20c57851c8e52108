"""The data plane: how fast bytes leave a volume and come into one, in each way that there is.

FIFO and attach are voltar's own, by the functions that it uses itself; the others are what it does
not use. Nothing is done with the bytes.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from backup.engine import Access, Attached, Engine, Helper, connect, helper
from bench import data, measure, table
from bench.asked import Asked
from bench.bed import Bed, bed, require_space
from bench.measure import Contestant, Cost, Series
from bench.programs import need, version
from tests.testbed import images
from tests.testbed.command import run as command

SIZE = 1500 * data.MB
OUT, IN = 3.0, 2.0
"""How many times faster than attach FIFOs are to be."""
_CREATE = ("tar", "--create", "--file=-", "--blocking-factor=512", "--directory=/v", ".")
_EXTRACT = ("tar", "--extract", "--file=-", "--blocking-factor=512", "--directory=/v")
_MEBIBYTE = 1 << 20
_FIFO = "voltar, FIFO"
_ATTACH = "voltar, attach"
_RUN = "docker run, attached"
_CP = "docker cp (archive endpoint)"


def run(asked: Asked) -> table.Report:
    """Compare; returns the tables."""
    size, rounds = asked.size or SIZE, asked.rounds
    with bed() as where:
        require_space(where.place, 4 * size)
        volume, directory = where.volume()
        target, target_directory = where.volume()
        content = data.large(directory, size)
        archive = where.place / "archive.tar"
        command([need("tar"), "-cf", archive, "-C", directory, "."])
        image = images.tools(where.engine)
        holder = where.scratch.container(image, "true", options=["-v", f"{volume}:/v"])
        sink = where.scratch.container(image, "true", options=["-v", f"{target}:/v"])
        with _engine(where, "fifo") as fifo, _engine(where, "attach") as attach:
            outward: dict[str, Contestant] = {
                "local tar": own(_local_out, directory),
                _FIFO: partial(_out, fifo, volume),
                _ATTACH: partial(_out, attach, volume),
                _RUN: own(_docker_run, where, image, volume),
                _CP: own(_get_archive, where, holder),
            }
            inward: dict[str, Contestant] = {
                "local tar": own(_local_in, archive, target_directory),
                _FIFO: partial(_in, fifo, target, archive),
                _ATTACH: partial(_in, attach, target, archive),
                _RUN: own(_docker_run_in, where, image, target, archive),
                _CP: own(_put_archive, where, sink, archive),
            }
            data.warm(directory)
            start = measure.rounds({"helper": own(_no_work, fifo, volume)}, rounds)["helper"]
            out_of = measure.rounds(
                {k: partial(_measured, where, v, None) for k, v in outward.items()}, rounds
            )
            into = measure.rounds(
                {k: partial(_measured, where, v, target_directory) for k, v in inward.items()},
                rounds,
            )
        facts = [
            f"data: {content}, in a volume of Docker {where.engine.kind}; the bytes are "
            "counted and thrown away, or come from a tar in the page cache",
            f"{version(need('docker'))}, {version('tar')}; voltar's helper is made before the "
            f"clock starts (making and removing one takes {start.median():.2f} s); `docker run` "
            "makes its own",
            f"{rounds} rounds, A B C A B C …; medians, (least..greatest); the page cache is warm, "
            "the target is empty and the disk synced before each execution",
        ]
        return _report(facts, out_of, into, archive.stat().st_size, rounds)


def own(work: Callable[..., object], *arguments: object) -> Contestant:
    """A contestant that is timed from its first to its last line."""
    return partial(measure.own, partial(work, *arguments))


def _measured(where: Bed, work: Contestant, target: Path | None) -> Cost:
    if target is not None:
        command(["find", target, "-mindepth", "1", "-delete"])
    command(["sync"])
    return where.with_helpers(work)


def _engine(where: Bed, plane: str) -> Engine:
    environment = where.environment | {"VOLTAR_DATA_PLANE": plane}
    return connect(environ=environment)


def _out(engine: Engine, volume: str) -> Cost:
    mounts = (Attached(volume, "/v"),)
    with helper(engine, mounts, access=Access.READ, run="bench") as h:
        return measure.own(lambda: _stream(h))


def _stream(h: Helper) -> int:
    with h.reading(_CREATE) as stream:
        return sum(map(len, stream))


def _in(engine: Engine, volume: str, archive: Path) -> Cost:
    mounts = (Attached(volume, "/v"),)
    with helper(engine, mounts, access=Access.WRITE, run="bench") as h:
        return measure.own(lambda: h.writing(_EXTRACT, _blocks(archive)))


def _no_work(engine: Engine, volume: str) -> None:
    with helper(engine, (Attached(volume, "/v"),), access=Access.READ, run="bench"):
        pass


def _blocks(archive: Path) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_MEBIBYTE))
    with archive.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            yield buffer[:size]


def _local_out(directory: Path) -> int:
    argv: list[str | Path] = [
        need("tar"),
        "--create",
        "--file=-",
        "--blocking-factor=512",
        "-C",
        directory,
        ".",
    ]
    return _counted(argv, None)


def _local_in(archive: Path, directory: Path) -> None:
    with archive.open("rb") as source:
        subprocess.run(
            [need("tar"), "--extract", "--file=-", "-C", directory], stdin=source, check=True
        )


def _docker_run(where: Bed, image: str, volume: str) -> int:
    argv: list[str | Path] = [
        need("docker"),
        "run",
        "--rm",
        "--log-driver=none",
        "-v",
        f"{volume}:/v:ro",
        image,
    ]
    return _counted([*argv, *_CREATE], where)


def _docker_run_in(where: Bed, image: str, volume: str, archive: Path) -> None:
    argv: list[str | Path] = [
        need("docker"),
        "run",
        "--rm",
        "-i",
        "--log-driver=none",
        "-v",
        f"{volume}:/v",
        image,
    ]
    with archive.open("rb") as source:
        subprocess.run([*argv, *_EXTRACT], stdin=source, env=where.environment, check=True)


def _counted(argv: Sequence[str | Path], where: Bed | None) -> int:
    """Run a command and count what it writes."""
    buffer = bytearray(_MEBIBYTE)
    size = 0
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, bufsize=0, env=where.environment if where else None
    ) as process:
        assert process.stdout  # it is a pipe
        while got := process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            size += got
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return size


def _get_archive(where: Bed, container: str) -> int:
    blocks, _ = where.engine.client.api.get_archive(container, "/v", chunk_size=_MEBIBYTE)
    return sum(map(len, blocks))


def _put_archive(where: Bed, container: str, archive: Path) -> None:
    where.engine.client.api.put_archive(container, "/v", _blocks(archive))


def _report(
    facts: list[str], out_of: dict[str, Series], into: dict[str, Series], size: int, rounds: int
) -> table.Report:
    verdicts = [
        table.verdict("out: FIFO against the faster attach", _ratio(out_of, _ATTACH, _RUN), OUT),
        table.verdict("out: FIFO against docker cp", _ratio(out_of, _CP), 2.5),
        table.verdict("in: FIFO against the faster attach", _ratio(into, _ATTACH, _RUN), IN),
    ]
    tables = [
        _table("Out of a volume", out_of, size),
        _table("Into a volume", into, size),
    ]
    repeat = f"python -m bench dataplane --rounds {rounds}"
    return table.Report("Data plane", repeat, facts, tables, verdicts)


def _ratio(series: dict[str, Series], *others: str) -> float:
    return min(series[other].median() for other in others) / series[_FIFO].median()


def _table(title: str, series: dict[str, Series], size: int) -> table.Table:
    rows = [
        [
            each.name,
            f"{size / each.median() / 1e6:.0f}",
            f"({table.spread([size / seconds / 1e6 for seconds in each.seconds], 0)})",
            f"{each.median():.2f}",
            f"{each.median(lambda cost: cost.cpu_s):.2f}",
            f"{each.median(lambda cost: cost.helpers_s):.2f}",
            f"{each.median() / series[_FIFO].median():.2f} x",
        ]
        for each in series.values()
    ]
    head = ["", "MB/s", "(spread)", "seconds", "CPU s here", "CPU s there", "FIFO is"]
    return table.Table(title, head, rows)
