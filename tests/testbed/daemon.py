"""One private dockerd: started, killed, started again with the same data, and removed.

It and all that it starts live in namespaces whose first process is engine.sh; ending that one ends
them all. That process is also ended by the kernel when this one dies, whatever the cause.
"""

import json
import os
import signal
import socket as network
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.testbed import workspace
from tests.testbed.command import BedFailure, attempt, run
from tests.testbed.workspace import started

SCRIPT = Path(__file__).with_name("engine.sh")
DOCKER_GROUP = 4243
"""The group that may use an engine's socket; a name would have to exist in every release."""


class Daemon:
    """A dockerd with its own data, socket, network and processes; nothing runs until `start`."""

    def __init__(
        self, run: workspace.Run, directory: Path, *, root: Path | None = None, shared: bool = True
    ) -> None:
        """`root` is an unpacked release (None: this machine's own dockerd).

        `shared`: the engine sees the run's directory, at the same path; otherwise only its own.
        """
        self.directory = directory
        self.socket = directory / "s"
        self.data_root = directory / "data"
        self.log = directory / "log"
        self._run = run
        self._argv = [SCRIPT, run.directory, directory, root or "-", "yes" if shared else "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, settings: dict[str, object]) -> None:
        """Make the directory and its daemon.json."""
        self.directory.mkdir()
        (workspace.base() / "stage").mkdir(exist_ok=True)
        os.mkfifo(self.directory / "again")
        configuration: dict[str, object] = {
            "data-root": str(self.data_root),
            "exec-root": str(self.directory / "exec"),
            "pidfile": str(self.directory / "pid"),
            "hosts": [f"unix://{self.socket}"],
            "group": str(DOCKER_GROUP),
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{workspace.cgroup_of(self.directory)}",
        }
        (self.directory / "daemon.json").write_text(json.dumps(configuration | settings))

    def start(self, *, within_s: float = 60) -> None:
        """Start what is not running and wait until the engine answers; its data are still there."""
        if self.pid() is None:
            alive = self._process is not None and self._process.poll() is None
            if alive:
                self._await_end()
            for name in ("ended", "pid", "s"):
                (self.directory / name).unlink(missing_ok=True)
            if alive:
                (self.directory / "again").write_text("again\n")
            else:
                self._run.share()
                self._launch()
        self._wait(time.monotonic() + within_s)

    def _launch(self) -> None:
        # As a reboot empties /run: a pid in it may be that of another process by now.
        run(["rm", "-rf", "--one-file-system", self.directory / "exec"])
        namespaces = [
            "--mount",
            "--net",
            "--pid",
            "--uts",
            "--propagation",
            "slave",
            "--mount-proc",
        ]
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork", "--kill-child"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        workspace.record(self.directory / "engine.process", self._process.pid)
        while self._process.poll() is None and not (init := children(self._process.pid)):
            time.sleep(0.005)
        if self._process.poll() is None:
            workspace.record(self.directory / "init.process", init[0])

    def _wait(self, deadline: float) -> None:
        while not answers(self.socket):
            gone = self._process is None or self._process.poll() is not None
            if gone or (self.directory / "ended").exists() or time.monotonic() > deadline:
                what = "ended" if gone or (self.directory / "ended").exists() else "does not answer"
                raise BedFailure(
                    f"the engine in {self.directory} {what}; its log ends:\n{self.tail()}"
                )
            time.sleep(0.05)

    def pid(self) -> int | None:
        """The pid of dockerd, as seen from here; None when it does not run."""
        if self._process is None:
            return None
        for script in children(self._process.pid):
            for child in children(script):
                with suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text() == "dockerd\n" and started(child):
                        return child
        return None

    def kill_dockerd(self) -> None:
        """Kill dockerd alone with SIGKILL and wait for its end; containers go on."""
        pid = self.pid()
        if pid is None:
            raise BedFailure("dockerd does not run")
        os.kill(pid, signal.SIGKILL)
        self._await_end()

    def _await_end(self) -> None:
        deadline = time.monotonic() + 20
        while not (self.directory / "ended").exists():
            if time.monotonic() > deadline:
                raise BedFailure(f"the dockerd in {self.directory} was killed but did not end")
            time.sleep(0.01)

    def kill(self) -> None:
        """End everything at once with SIGKILL, as a power cut does; the data stay.

        The first process of a pid namespace is gone only when all the others are.
        """
        workspace.thaw(self.directory)
        for record in sorted(self.directory.glob("*.process")):
            workspace.end(record)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def init(self) -> int:
        """The pid of the first process in the engine's namespaces, as seen from here."""
        if self._process is None:
            raise BedFailure("the engine does not run")
        return children(self._process.pid)[0]

    def inside(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of this machine in the mount, network and pid namespaces of the engine."""
        return attempt(["nsenter", "--all", "--target", str(self.init()), *argv])

    def call(self, name: str) -> None:
        """Give the engine's host another name, which no other engine and not this machine has."""
        assert os.readlink("/proc/self/ns/uts") != os.readlink(f"/proc/{self.init()}/ns/uts")
        assert self.inside("hostname", name).returncode == 0

    def network(self, *argv: str) -> bytes:
        """Run a command of this machine in the network namespace of the engine."""
        return run(["nsenter", f"--net=/proc/{self.init()}/ns/net", *argv])

    def trust(self, registry: str, certificate: Path) -> None:
        """Let the engine accept a registry's certificate; nothing but its own mounts change."""
        place = f"/etc/docker/certs.d/{registry}"
        script = """
            mountpoint -q /etc/docker || { mkdir -p /etc/docker; mount -t tmpfs t /etc/docker; }
            mkdir -p "$0"; printf %s "$1" >"$0/ca.crt"
        """
        done = self.inside("bash", "-ec", script, place, certificate.read_text())
        if done.returncode:
            raise BedFailure(f"the engine cannot be told of a certificate: {done.stderr!r}")

    def remove(self) -> None:
        """End everything and remove every trace."""
        self.kill()
        workspace.remove(self.directory)

    def tail(self) -> str:
        """The end of the log of dockerd."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "(no log)"


def answers(socket: Path) -> bool:
    """Whether an engine listens and answers a ping."""
    with suppress(OSError), network.socket(network.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(socket))
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(64)
    return False


def children(pid: int) -> list[int]:
    """The children of a process."""
    with suppress(OSError):
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
