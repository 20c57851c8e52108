"""Seconds, CPU seconds and peak memory of commands; rounds that alternate; medians.

Memory is VmHWM, the kernel's own high-water mark of a process's resident memory, looked at until it
ends (rusage would show that of the process that started it as well). The marks of all processes
that a command has at the same moment are added up: exact for one process, at most too high for
several. The page cache is not in it, libraries are in each mark that uses them.
"""

import os
import resource
import select
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.command import BedFailure

_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Cost:
    """What one execution took. `helpers_s` is CPU time of containers and engine, 0 without them.

    `stored` is what it left on disk, in bytes.
    """

    seconds: float
    cpu_s: float = 0.0
    peak: int = 0
    helpers_s: float = 0.0
    stored: int = 0


@dataclass(slots=True)
class Series:
    """What one contestant took, round by round."""

    name: str
    costs: list[Cost] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [cost.seconds for cost in self.costs]

    def median(self, pick: Callable[[Cost], float] = lambda cost: cost.seconds) -> float:
        """The median of one property; of the seconds, if none is named."""
        return statistics.median(pick(cost) for cost in self.costs)


Contestant = Callable[[], Cost]


def rounds(contestants: Mapping[str, Contestant], count: int) -> dict[str, Series]:
    """Run all contestants `count` times, A B C A B C …"""
    series = {name: Series(name) for name in contestants}
    for number in range(count):
        for name, contestant in contestants.items():
            series[name].costs.append(contestant())
            took = series[name].costs[-1].seconds
            print(f"  round {number + 1}/{count}  {name}: {took:.2f} s", flush=True)
    return series


def pipeline(
    commands: Sequence[Sequence[str | Path]],
    *,
    env: Mapping[str, str],
    directory: Path | None = None,
    output: Path | None = None,
    others: Callable[[], Iterable[int]] = tuple,
) -> Cost:
    """Run commands, each reading what the one before writes; the last writes to `output`.

    `others` names processes whose memory counts too, beside all that the commands start. Raises
    BedFailure when a command fails.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with (output or Path(os.devnull)).open("wb") as sink, tempfile.TemporaryFile() as complaints:
        started = time.monotonic()
        for number, command in enumerate(commands):
            processes.append(
                subprocess.Popen(
                    [str(word) for word in command],
                    stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                    stdout=sink if number == len(commands) - 1 else subprocess.PIPE,
                    stderr=complaints,
                    cwd=directory,
                    env=dict(env),
                )
            )
            if number:
                _close(processes[-2].stdout)
        cpu_s, peak = _outlast(processes, others)
        seconds = time.monotonic() - started
        complaints.seek(0)
        _judge(processes, complaints.read().decode(errors="replace"))
    return Cost(seconds, cpu_s, peak)


def in_turn(costs: Sequence[Cost]) -> Cost:
    """The cost of several executions one after the other."""
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.cpu_s for cost in costs),
        max((cost.peak for cost in costs), default=0),
    )


def own(work: Callable[[], object]) -> Cost:
    """Run something in this process; its CPU time counts children too, its memory is not told."""
    before = _cpu_s()
    started = time.monotonic()
    work()
    return Cost(time.monotonic() - started, _cpu_s() - before)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(Path(parent, n).lstat().st_size for parent, _, names in os.walk(path) for n in names)


def parent(pid: int) -> int:
    """The process that a process is a child of."""
    return int(_stat(pid)[1])


def cpu_of_tree_s(pid: int) -> float:
    """CPU seconds of a process and all below it, those included that ended and were waited for."""
    ticks = 0
    for each in _tree(pid):
        with suppress(OSError):
            ticks += sum(map(int, _stat(each)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def _outlast(
    processes: Sequence["subprocess.Popen[bytes]"], others: Callable[[], Iterable[int]]
) -> tuple[float, int]:
    """Wait for all; returns their CPU seconds and the highest sum of their memory."""
    left = {process.pid: os.pidfd_open(process.pid) for process in processes}
    cpu_s, peak = 0.0, 0
    marks: dict[int, int] = {}
    while left:
        alive = {each for pid in left for each in _tree(pid)} | set(others())
        marks = {pid: max(_high_water(pid), marks.get(pid, 0)) for pid in alive}
        peak = max(peak, sum(marks.values()))
        ended, _, _ = select.select(left.values(), [], [], _LOOK_EVERY_S)
        for pid in [pid for pid, descriptor in left.items() if descriptor in ended]:
            os.close(left.pop(pid))
            _, status, usage = os.wait4(pid, 0)
            cpu_s += usage.ru_utime + usage.ru_stime
            _tell(processes, pid, status)
    return cpu_s, peak


def _tell(processes: Sequence["subprocess.Popen[bytes]"], pid: int, status: int) -> None:
    for process in processes:
        if process.pid == pid:
            process.returncode = os.waitstatus_to_exitcode(status)


def _high_water(pid: int) -> int:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def _judge(processes: Sequence["subprocess.Popen[bytes]"], said: str) -> None:
    for process in processes:
        if process.returncode:
            raise BedFailure(f"{process.args!r}: exit status {process.returncode}: {said[-2000:]}")


def _close(stream: object) -> None:
    if hasattr(stream, "close"):
        stream.close()


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
