"""A host as somebody who logs in sees it: accounts of its own, in namespaces of its own.

It is the host of a private engine (the same root, network and processes' view, so what a session
makes in /tmp the engine can mount), or this machine. Its /etc/passwd, group and shadow are mounted
over the real ones in its namespace only. Ending its first process ends every session.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.command import BedFailure, run
from tests.testbed.daemon import DOCKER_GROUP, children
from tests.testbed.engine import Engine

SCRIPT = Path(__file__).with_suffix(".sh")
SHELL = "/bin/bash"
TEMPORARY = ("/tmp", "/var/tmp", "/run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who logs in. `docker`: is in the group that may use the engine's socket.

    `bashrc` is what its shell runs first, also for `ssh host command`; commands in `without` are
    not found; without a password only its key opens.
    """

    name: str = "voltar"
    password: str | None = None
    docker: bool = True
    shell: str = SHELL
    bashrc: str = ""
    without: tuple[str, ...] = ()


class FarHost:
    """A host with one account besides root; it exists from construction to `close`."""

    def __init__(self, directory: Path, engine: Engine | None, account: Account) -> None:
        """`directory` is seen at the same path on both sides; everything is made below it."""
        self.directory = directory
        self.account = account
        self.engine = engine
        # Unlike any other's, so that what a session leaves anywhere can be told by its owner.
        self.uid = 0 if account.name == "root" else 20_000 + secrets.randbelow(40_000)
        self.home = directory / "home" / account.name
        self.srv = directory / "srv"
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0
        directory.mkdir()
        try:
            self._furnish()
            self._start()
        except BaseException:
            self.close()
            raise

    def _furnish(self) -> None:
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self.srv.mkdir()
        (self.directory / "etc").mkdir()
        name, uid, shell = self.account.name, self.uid, self.account.shell
        shells = {"root": f"0:0:root:/root:{SHELL}", "nobody": "65534:65534:nobody:/:/bin/false"}
        shells |= {
            "sshd": "101:65534::/run/sshd:/bin/false",
            name: f"{uid}:{uid}::{self.home}:{shell}",
        }
        self._etc("passwd", [f"{who}:x:{rest}" for who, rest in shells.items()])
        groups = {"root": "0:", "nogroup": "65534:", "docker": f"{DOCKER_GROUP}:"}
        groups["docker"] += name if self.account.docker else ""
        if uid:
            groups[name] = f"{uid}:"
        self._etc("group", [f"{who}:x:{rest}" for who, rest in groups.items()])
        # A star is no password; an exclamation mark would lock the account, keys included.
        secret = hashed(self.account.password) if self.account.password is not None else "*"
        self._etc(
            "shadow", [f"{who}:{secret if who == name else '*'}:19000::::::" for who in shells]
        )
        (self.home / ".bashrc").write_text(self.account.bashrc)
        self.give(self.home)

    def _etc(self, name: str, lines: list[str]) -> None:
        path = self.directory / "etc" / name
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600 if name == "shadow" else 0o644)

    def give(self, path: Path) -> None:
        """Make a file, or a directory and all below it, the account's own."""
        run(["chown", "-R", f"{self.uid}:{self.uid}", path])

    def _start(self) -> None:
        argv = ["setpriv", "--pdeathsig", "KILL"]
        if self.engine is not None:
            argv += ["nsenter", "--all", "--target", str(self.engine.daemon.init())]
        argv += ["unshare", "--mount", "--pid", "--propagation", "slave", "--mount-proc"]
        argv += [
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            SCRIPT.read_text(),
            "-",
            str(self.directory),
        ]
        with (self.directory / "log").open("ab") as log:
            self._outer = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 20
        while not (self.directory / "ready").exists():
            if self._outer.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "log").read_text(errors="replace")
                raise BedFailure(f"the far host in {self.directory} did not come up: {said}")
            time.sleep(0.005)
        self.init = self._outer.pid
        for _ in range(1 if self.engine is None else 2):
            (self.init,) = children(self.init)
        self._namespace = os.readlink(f"/proc/{self.init}/ns/pid")

    def path(self, there: str | Path) -> Path:
        """A path of the far host, as it is reached from here."""
        return Path(f"/proc/{self.init}/root") / str(there).lstrip("/")

    def argv(self, *words: str | Path) -> list[str]:
        """The words that run a command on the far host, as root."""
        return ["nsenter", "--all", "--target", str(self.init), *map(str, words)]

    def search_path(self) -> str:
        """The PATH of sessions: links to what is there, but for what the account is `without`."""
        usual = [Path("/usr/local/bin"), Path("/usr/bin"), Path("/bin")]
        if not self.account.without:
            return ":".join(map(str, usual))
        (self.directory / "bin").mkdir(exist_ok=True)
        for place in reversed(usual):
            found = self.path(place).iterdir() if self.path(place).is_dir() else ()
            for name in {one.name for one in found} - set(self.account.without):
                link = self.directory / "bin" / name
                link.unlink(missing_ok=True)
                link.symlink_to(place / name)
        return str(self.directory / "bin")

    def pids(self) -> Iterator[int]:
        """Every process of the far host but its first and that one's `sleep`."""
        own = {self.init, *(p for p in children(self.init) if comm(p) == "sleep" and owner(p) == 0)}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and int(entry.name) not in own
                    and os.readlink(entry / "ns/pid") == self._namespace
                ):
                    yield int(entry.name)

    def servers(self) -> list[int]:
        """The processes of sshd that serve sessions."""
        return [pid for pid in self.pids() if comm(pid).startswith("sshd")]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of sshd, and to nothing that sessions started."""
        for pid in self.servers():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def left(self) -> list[Path]:
        """What the account owns in directories for temporary files, as seen there; not for root."""
        found = (one for place in TEMPORARY for one in entries(self.path(place)))
        return [path for path in found if self.uid and owner_of(path) == self.uid]

    def close(self) -> None:
        """End every session and whatever it started; remove the directory."""
        if self._outer is not None:
            if self.init:
                with suppress(ProcessLookupError):
                    os.kill(self.init, signal.SIGKILL)
            self._outer.kill()
            self._outer.wait()
            self._outer = None
        shutil.rmtree(self.directory, ignore_errors=True)


def hashed(password: str) -> str:
    """A password as /etc/shadow has it."""
    argv = ["openssl", "passwd", "-6", "-stdin"]
    return run(argv, stdin=password.encode() + b"\n").decode().strip()


def comm(pid: int) -> str:
    """The name of a process; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def owner(pid: int) -> int:
    """The user of a process; -1 when it is gone."""
    return owner_of(Path(f"/proc/{pid}"))


def owner_of(path: Path) -> int:
    """The owner of a file; -1 when it is gone."""
    with suppress(OSError):
        return path.lstat().st_uid
    return -1


def entries(directory: Path) -> list[Path]:
    """What is in a directory; nothing when there is none."""
    with suppress(OSError):
        return sorted(directory.iterdir())
    return []
