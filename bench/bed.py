"""What a benchmark works on: an engine, other tools, a place on disk; gone afterwards."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost
from tests.testbed import debian, workspace
from tests.testbed.command import BedFailure, located, run
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch

VOLTAR = (sys.executable, "-c", "from backup.cli.app import main; main()")
"""The command `voltar` of this tree."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Bed:
    """An engine of our own with an empty volume, and a directory for what tools store."""

    engine: Engine
    scratch: Scratch
    place: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all commands: this engine, passwords, no caches of other runs."""
        ours = {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "VOLTAR_PASSWORD": "benchmark",
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(self.place / "restic-cache"),
            "TMPDIR": str(self.place),
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("VOLTAR_", "RESTIC_"))}
        return kept | dict(self.engine.environment) | ours

    def volume(self) -> tuple[str, Path]:
        """A new volume's name, and where its content is."""
        name = self.scratch.volume()
        return name, self.engine.volume_directory(name)

    def fresh(self, name: str) -> Path:
        """A path in `place` where nothing is."""
        path = self.place / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return path

    def with_helpers(self, work: Callable[[], Cost]) -> Cost:
        """The cost of something, the CPU time of engine and containers with it."""
        before = self._engine_cpu_s()
        cost = work()
        helpers_s = self._engine_cpu_s() - before
        return Cost(cost.seconds, cost.cpu_s, cost.peak, helpers_s, cost.stored)

    def _engine_cpu_s(self) -> float:
        """CPU seconds so far: of dockerd, and of all containers that it had."""
        pid = self.engine.daemon.pid()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() if pid else []
        daemon = sum(int(ticks) for ticks in fields[11:13]) / _TICKS
        return daemon + _cgroup_cpu_s(workspace.cgroup_of(self.engine.daemon.directory))


@contextmanager
def bed() -> Iterator[Bed]:
    """Make one; it ends with the `with`, whatever happens."""
    own = workspace.Run()
    os.environ["TMPDIR"] = str(own.tmp)
    try:
        pool = Pool(own)
        try:
            engine = pool.engine()
            with Scratch(engine) as scratch:
                yield Bed(engine, scratch, own.tmp)
        finally:
            pool.close()
    finally:
        own.close()


def restic() -> tuple[Path, str]:
    """Where restic 0.19 of Debian unstable is unpacked, and its version."""
    root = workspace.base() / "roots" / "bench-restic"
    complete = root.with_name("bench-restic.complete")
    with workspace.locked(root.with_name("bench-restic.lock")):
        if not complete.exists():
            shutil.rmtree(root, ignore_errors=True)
            debian.fill(root, "unstable", ["restic"])
            complete.write_text("restic")
    program = root / "usr/bin/restic"
    return program, version(program, "version")


def version(
    program: str | Path, option: str = "--version", env: Mapping[str, str] | None = None
) -> str:
    """The first line of what a program says of itself, shortened."""
    said = run([program, option], env=env).decode().strip().partition("\n")[0]
    return said.strip("* ").split(" compiled")[0]


def need(name: str) -> Path:
    """Where a command of this machine is."""
    found = located(name)
    if found is None:
        raise BedFailure(f"the comparison needs the command {name}, which is not here")
    return found


def require_space(place: Path, wanted: int) -> None:
    """Raise BedFailure where a directory's disk has not `wanted` bytes free."""
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise BedFailure(f"{wanted / 1e9:.0f} GB are needed at {place}, {free / 1e9:.0f} are free")


def _cgroup_cpu_s(cgroup: Path) -> float:
    """CPU seconds of a cgroup and all that ever was below it, in either version of cgroups."""
    first = workspace.CGROUPS / "cpuacct" / cgroup / "cpuacct.usage"
    if first.exists():
        return int(first.read_text()) / 1e9
    second = workspace.CGROUPS / cgroup / "cpu.stat"
    if second.exists():
        return int(second.read_text().split()[1]) / 1e6
    return 0.0
