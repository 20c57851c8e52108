"""A machine that a systemd of its own runs: see booted.sh for what it is kept from.

    with Machine(directory, engine) as machine:
        machine.run("systemctl", "start", "voltar-job@nightly.service")
        machine.path("/etc/voltar")       that directory, as seen from here

It has this machine's programs and this project, read-only, and the socket of an engine.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.testbed import workspace
from tests.testbed.command import BedFailure, attempt, located, run
from tests.testbed.engine import Engine

SCRIPT = Path(__file__).with_suffix(".sh")
PROJECT = Path(__file__).parents[2]
SYSTEMD = Path("/usr/lib/systemd/systemd")
NOBODY = 700_000
"""Who its root user is on this machine; the same as in the script."""
HIERARCHIES = (workspace.CGROUPS / "unified", workspace.CGROUPS)
OLDEST = 250


def hierarchy() -> Path | None:
    """Where cgroups of version 2 are."""
    return next((path for path in HIERARCHIES if (path / "cgroup.procs").exists()), None)


def missing() -> str | None:
    """Why no such machine can be had here; None if it can."""
    if os.geteuid() != 0:
        return "it needs root"
    if not SYSTEMD.exists() or not located("systemctl"):
        return "systemd is not installed"
    version = int(run(["systemctl", "--version"]).split()[1])
    if version < OLDEST:
        return f"systemd is {version}: too old"
    found = hierarchy()
    if found is None or not (found / "cgroup.subtree_control").exists():
        return "there are no cgroups of version 2"
    if (
        not os.access(found, os.W_OK)
        or attempt(["unshare", "--user", "--mount", "true"]).returncode
    ):
        return "the kernel gives out no cgroups or no user namespaces here"
    return None


class Machine:
    """Booted from construction to `close`."""

    def __init__(self, directory: Path, engine: Engine) -> None:
        """`directory` does not exist yet, and is one that `workspace.remove` can clear."""
        self.directory = directory
        self.engine = engine
        directory.mkdir()
        (directory / "root").mkdir()
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def _boot(self) -> None:
        socket = self.engine.daemon.socket
        run(["setfacl", "-m", f"u:{NOBODY}:rw", socket])
        cgroups = hierarchy()
        assert cgroups
        seen = {PROJECT, Path(sys.prefix), Path(sys.base_prefix).resolve()}
        seen -= {path for path in seen if path.is_relative_to("/usr")}
        seen -= {path for path in seen if path != PROJECT and path.is_relative_to(PROJECT)}
        argv: list[str | Path] = ["unshare", "--mount", "--propagation", "private", "bash", SCRIPT]
        argv += [self.directory / "root", cgroups / workspace.cgroup_of(self.directory), socket]
        with (self.directory / "log").open("ab") as log:
            self._outer = subprocess.Popen(
                [*argv, *sorted(seen), "--", SYSTEMD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        workspace.record(self.directory / "outer.process", self._outer.pid)
        assert self._outer.stdout
        said = self._outer.stdout.readline()
        if not said.strip().isdigit():
            raise BedFailure(f"no machine came up: {self.tail()}")
        self.init = int(said)
        workspace.record(self.directory / "init.process", self.init)
        self._wait()

    def _wait(self, within_s: float = 30) -> None:
        deadline = time.monotonic() + within_s
        while (found := self.attempt("systemctl", "is-system-running").stdout) != b"running\n":
            if self._outer.poll() is not None or time.monotonic() > deadline:
                raise BedFailure(f"the machine is {found!r}: {self.tail()}")
            time.sleep(0.05)

    def attempt(
        self, *words: str | Path, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the machine as its root, which may fail."""
        entered = ["nsenter", "--all", "--target", str(self.init), "--setuid", "0", "--setgid", "0"]
        clean = ["env", "-i", "-C", "/", "PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        return attempt([*entered, *clean, *words], timeout_s=timeout_s)

    def run(self, *words: str | Path) -> str:
        """Run a command on the machine as its root; what it printed."""
        done = self.attempt(*words)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise BedFailure(f"{' '.join(map(str, words))} -> {done.returncode}: {said}")
        return done.stdout.decode()

    def path(self, there: str) -> Path:
        """A path of the machine, as it is reached from here."""
        return Path(f"/proc/{self.init}/root") / there.lstrip("/")

    def write(self, there: str, text: str, mode: int = 0o644) -> None:
        """Put a file of its root user on the machine."""
        path = self.path(there)
        made = [path, *(parent for parent in path.parents if not parent.exists())]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        for one in made:
            os.chown(one, NOBODY, NOBODY)

    def tail(self) -> str:
        """The end of what was said while it came up."""
        return (self.directory / "log").read_text(errors="replace")[-3000:]

    def close(self) -> None:
        """End it, and remove every trace."""
        if outer := self.__dict__.get("_outer"):
            outer.communicate(timeout=30)
        workspace.remove(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
