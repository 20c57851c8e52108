"""One directory per test run, and the removal of what killed runs left.

    <base>/lock              taken while runs are made and swept
    <base>/runs/<id>/lock    held by its run for as long as it lives, whatever its end
    <base>/runs/<id>/tmp     temporary files of the tests: visible to every engine at the same path
    <base>/runs/<id>/<n>     one private engine: its socket, data, log
    <base>/roots/<suite>-*   packages of another release (testbed.debian)

`<base>` is VOLTAR_TESTBED_DIR, or /var/tmp/voltar-testbed. A run whose lock can be taken is dead.
What it may have left: processes (recorded with their start time, for pids are used again), mounts
under its directory, cgroups, files.
"""

import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.testbed.command import BedFailure, attempt, run

LONGEST_BASE = 45
"""The longest base directory, in bytes: below it are sockets, whose names may have 107."""
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_PARENT = "voltar-testbed"


def base() -> Path:
    """The directory of the test bed on this machine."""
    directory = Path(os.environ.get("VOLTAR_TESTBED_DIR", "/var/tmp/voltar-testbed")).absolute()
    if len(os.fsencode(directory)) > LONGEST_BASE:
        raise BedFailure(f"VOLTAR_TESTBED_DIR={directory}: more than {LONGEST_BASE} bytes")
    return directory


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, made if need be; waits for its turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Run:
    """A test run: its directory exists, and its lock is held, from construction to `close`."""

    def __init__(self) -> None:
        with locked(base() / "lock"):
            sweep()
            self.id = f"{os.getpid()}-{secrets.token_hex(3)}"
            self.directory = base() / "runs" / self.id
            self.tmp = self.directory / "tmp"
            self.tmp.mkdir(parents=True)
            self._lock = (self.directory / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._shared = False

    def share(self) -> None:
        """Let engines see what is mounted under the directory after they were started."""
        if not self._shared:
            run(["mount", "--bind", self.directory, self.directory])
            run(["mount", "--make-private", self.directory])
            run(["mount", "--make-shared", self.directory])
            self._shared = True

    def close(self) -> None:
        """Remove the directory and everything in it."""
        remove(self.directory)
        self._lock.close()


def sweep() -> None:
    """Remove what dead runs left; the caller holds the lock of the base directory."""
    for directory in sorted((base() / "runs").glob("*")):
        if not alive(directory):
            remove(directory)


def alive(directory: Path) -> bool:
    """Whether the run of that directory still holds its lock."""
    try:
        with (directory / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def remove(directory: Path) -> None:
    """Remove what a run or one of its engines left: processes, mounts, cgroups, files."""
    thaw(directory)
    for record in (*directory.glob("*.process"), *directory.glob("*/*.process")):
        end(record)
    for mount in mounts_under(directory):
        run(["umount", "--lazy", mount])
    for cgroup in (CGROUPS, *CGROUPS.glob("*")):
        remove_cgroup(cgroup / cgroup_of(directory))
    if attempt(["rm", "-rf", "--one-file-system", directory]).returncode:
        attempt(["chattr", "-R", "-ia", directory])
        run(["rm", "-rf", "--one-file-system", directory])


def thaw(directory: Path) -> None:
    """Let the paused containers of a run or an engine go on: what is frozen does not end when it is
    killed, and with it not the first process of its pid namespace."""
    for hierarchy in (CGROUPS / "freezer", CGROUPS):
        for parent, _, files in os.walk(hierarchy / cgroup_of(directory)):
            for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if name in files:
                    with suppress(OSError):  # it has just gone
                        (Path(parent) / name).write_text(word)


def cgroup_of(directory: Path) -> Path:
    """The cgroup of a run or of one of its engines, relative to the root of a hierarchy."""
    return Path(CGROUP_PARENT) / directory.relative_to(base() / "runs")


def record(file: Path, pid: int) -> None:
    """Write down a process so that a later run can end it, and only it."""
    file.write_text(f"{pid} {started(pid)}\n")


def end(record: Path, *, within_s: float = 20) -> None:
    """Kill a recorded process, if it is still the same one, and wait until it is gone."""
    with suppress(FileNotFoundError, ValueError):
        pid, start = (int(word) for word in record.read_text().split())
        deadline = time.monotonic() + within_s
        while start and started(pid) == start:
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                raise BedFailure(f"process {pid} does not end although it was killed")
            time.sleep(0.02)
        record.unlink()


def started(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def mounts_under(directory: Path) -> list[str]:
    """Mount points at or below a directory, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = (point.encode().decode("unicode_escape") for point in points)
    return [p for p in reversed(list(decoded)) if Path(p).is_relative_to(directory)]


def remove_cgroup(directory: Path) -> None:
    """Remove a cgroup and those below it; what was just killed may need a moment to leave."""
    for parent, _, _ in os.walk(directory, topdown=False):
        for _ in range(50):
            try:
                Path(parent).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
