"""Seconds, CPU seconds and peak memory of commands; rounds that alternate; medians.

Memory is VmHWM, the kernel's own high-water mark of a process, read until it ends: rusage would
show that of the process that started it as well. Several processes at work at once are added up.
"""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
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
    output: Path | None = None,
) -> Cost:
    """Run commands, each reading what the one before writes; the last writes to `output`.

    Raises BedFailure when one fails.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with (output or Path(os.devnull)).open("wb") as sink:
        started = time.monotonic()
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            processes.append(
                subprocess.Popen(
                    [str(word) for word in command],
                    stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                    stdout=sink if last else subprocess.PIPE,
                    stderr=subprocess.PIPE if last else subprocess.DEVNULL,
                    env=dict(env),
                )
            )
            if number:
                _close(processes[-2].stdout)
        cpu_s, peak = _outlast(processes)
        seconds = time.monotonic() - started
    _judge(processes)
    return Cost(seconds, cpu_s, peak)


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


def _outlast(processes: Sequence["subprocess.Popen[bytes]"]) -> tuple[float, int]:
    """Wait for all; returns their CPU seconds and the sum of their peaks."""
    peaks = dict.fromkeys((process.pid for process in processes), 0)
    left = list(peaks)
    cpu_s = 0.0
    while left:
        for pid in list(left):
            peaks[pid] = max(peaks[pid], _high_water(pid))
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                left.remove(pid)
                cpu_s += usage.ru_utime + usage.ru_stime
                _tell(processes, pid, status)
        time.sleep(_LOOK_EVERY_S if left else 0)
    return cpu_s, sum(peaks.values())


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


def _judge(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    said = processes[-1].stderr
    text = said.read().decode(errors="replace") if said else ""
    _close(said)
    for process in processes:
        if process.returncode:
            raise BedFailure(f"{process.args!r}: exit status {process.returncode}: {text[-2000:]}")


def _close(stream: object) -> None:
    if hasattr(stream, "close"):
        stream.close()


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
