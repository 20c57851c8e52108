"""What a benchmark works on: an engine, other tools, a place on disk; gone afterwards."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import measure
from bench.measure import Cost
from tests.testbed import workspace
from tests.testbed.command import BedFailure
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch

VOLTAR = (sys.executable, "-c", "from backup.cli.app import main; main()")
"""The command `voltar` of this tree."""


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
            "VOLTAR_PASSWORD": "benchmark",
            "XDG_CACHE_HOME": str(self.place / "voltar/cache"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(self.place / "restic/cache"),
            "BORG_PASSPHRASE": "benchmark",
            "BORG_BASE_DIR": str(self.place / "borg/base"),
            "TMPDIR": str(self.place),
        }
        others = ("VOLTAR_", "RESTIC_", "BORG_")
        plain = environment_of(self.engine)
        return {k: v for k, v in plain.items() if not k.startswith(others)} | ours

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
        return replace(cost, helpers_s=self._engine_cpu_s() - before)

    def in_containers(self) -> list[int]:
        """The processes that run in containers now."""
        cgroup = workspace.cgroup_of(self.engine.daemon.directory)
        first, second = workspace.CGROUPS / "cpuacct" / cgroup, workspace.CGROUPS / cgroup
        lists = (first if first.exists() else second).glob("**/cgroup.procs")
        found: list[int] = []
        for file in lists:
            with suppress(OSError):  # a container that has just gone
                found += map(int, file.read_text().split())
        return found

    def _engine_cpu_s(self) -> float:
        """CPU seconds so far of the engine and of all that it ever started."""
        dockerd = self.engine.daemon.pid()
        return measure.cpu_of_tree_s(measure.parent(dockerd)) if dockerd else 0.0


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


def environment_of(engine: Engine) -> dict[str, str]:
    """The environment in which commands use an engine, and `VOLTAR` is this tree's.

    Python keeps byte code, as it does of what is installed, whatever it is told here.
    """
    kept = engine.environment | {"PYTHONPATH": str(Path(__file__).parents[1])}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def require_space(place: Path, wanted: int) -> None:
    """Raise BedFailure where a directory's disk has not `wanted` bytes free."""
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise BedFailure(f"{wanted / 1e9:.0f} GB are needed at {place}, {free / 1e9:.0f} are free")
