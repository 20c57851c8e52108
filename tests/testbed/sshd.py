"""A real OpenSSH server for tests, on a port of 127.0.0.1.

    with Sshd(run_directory, engine, Account(bashrc="echo hello")) as host:
        host.config_for(home)             home/.ssh has what a client needs, by the name `far` too
        Voltar(url=host.url, home=home)   ssh://voltar@127.0.0.1:PORT

With an engine it serves that engine's host, otherwise this machine: see testbed.farhost. Every
connection gets an sshd of its own, which reads the configuration afresh.
"""

import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.testbed import debian
from tests.testbed.command import BedFailure, located, run
from tests.testbed.engine import Engine
from tests.testbed.farhost import Account, FarHost

SERVER = "/usr/sbin/sshd"
TOOLS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",  # makes what /etc/shadow has of a password
}


class Sshd:
    """A server that accepts connections until it is closed, and the host behind it.

    `host_key` is the text of its public key, `client_key` the file of a private key that opens the
    account. `options` are lines of sshd_config; they come first and so win.
    """

    def __init__(
        self,
        run_directory: Path,
        engine: Engine | None = None,
        account: Account | None = None,
        *,
        options: Sequence[str] = (),
        banner: str = "",
    ) -> None:
        """`run_directory` is used only without an engine, which has a directory of its own."""
        if os.geteuid() != 0:
            raise BedFailure("an sshd that serves other accounts needs root")
        debian.require(TOOLS)
        parent = engine.daemon.directory if engine else run_directory
        self.far = FarHost(parent / f"far-{secrets.token_hex(3)}", engine, account or Account())
        self.directory = self.far.directory
        self.user = self.far.account.name
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ssh://{self.user}@127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, name=f"sshd {self.port}")
        try:
            self._furnish(banner)
            self.configure(options)
        except BaseException:
            self._listener.close()
            self.far.close()
            raise
        self._thread.start()

    def _furnish(self, banner: str) -> None:
        self.change_host_key()
        self.client_key = make_key(self.directory / "client_key")
        self.authorize(public(self.client_key))
        (self.directory / "banner").write_text(banner)

    def configure(self, options: Sequence[str] = ()) -> None:
        """Write sshd_config anew; connections from now on obey it."""
        matching = next((n for n, o in enumerate(options) if o.startswith("Match")), len(options))
        engine = self.far.engine
        environment = [f"SetEnv DOCKER_HOST=unix://{engine.daemon.socket}"] if engine else []
        by_password = "no" if self.far.account.password is None else "yes"
        lines = [
            *options[:matching],
            f"HostKey {self.directory}/host_key",
            f"Banner {self.directory}/banner",
            *environment,
            f"PasswordAuthentication {by_password}",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "PermitRootLogin yes",
            "AuthorizedKeysFile .ssh/authorized_keys",
            "Subsystem sftp internal-sftp",
            "LogLevel VERBOSE",
            *options[matching:],
        ]
        (self.directory / "sshd_config").write_text("".join(f"{line}\n" for line in lines))
        run(self.far.argv(SERVER, "-t", "-f", self.directory / "sshd_config"))

    def change_host_key(self, kind: str = "ed25519") -> None:
        """Give the server another host key; connections from now on see it."""
        self.host_key = public(make_key(self.directory / "host_key", kind))

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the host key, as everybody shows it: SHA256:…"""
        shown = run(["ssh-keygen", "-l", "-f", self.directory / "host_key.pub"])
        return shown.decode().split()[1]

    def known_hosts(self, port: int | None = None) -> str:
        """The line of known_hosts for the present host key, here or behind a proxy's port."""
        return f"[127.0.0.1]:{port or self.port} {self.host_key}\n"

    def authorize(self, *keys: str) -> None:
        """Let these public keys, and no others, open the account; options may precede a key."""
        path = self.far.home / ".ssh" / "authorized_keys"
        path.write_text("".join(f"{key}\n" for key in keys))
        path.chmod(0o600)
        self.far.give(path)

    def config_for(
        self,
        home: Path,
        name: str = "far",
        more: Sequence[str] = (),
        *,
        known: bool = True,
        port: int | None = None,
    ) -> Path:
        """Let a client whose home this is reach the host, by address or name; its ssh config.

        For several hosts call it on each with the same home. `more` are lines for this host; `port`
        is that of a proxy in between.
        OpenSSH's client does not look at HOME: it needs `-F` and the path returned.
        """
        directory = home / ".ssh"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = directory / f"key-{self.port}"
        key.write_bytes(self.client_key.read_bytes())
        key.chmod(0o600)
        access = [f"IdentityFile {key}", "IdentitiesOnly yes", *more]
        access += [f"UserKnownHostsFile {directory}/known_hosts", "GlobalKnownHostsFile /dev/null"]
        named = ["HostName 127.0.0.1", f"Port {port or self.port}", f"User {self.user}"]
        with (directory / "config").open("a") as config:
            config.write("\n  ".join([f"Host {name}", *named, *access]) + "\n")
            config.write("\n  ".join(["Host 127.0.0.1", *access]) + "\n")
        with (directory / "known_hosts").open("a") as file:
            file.write(self.known_hosts(port) if known else "")
        return directory / "config"

    def _serve(self) -> None:
        config = self.directory / "sshd_config"
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            argv = self.far.argv(SERVER, "-i", "-f", config, "-E", self.directory / "sshd.log")
            with connection, (self.directory / "log").open("ab") as log:
                both = connection.fileno()
                session = subprocess.Popen(argv, stdin=both, stdout=both, stderr=log)
            self._sessions = [one for one in self._sessions if one.poll() is None]
            self._sessions.append(session)

    @property
    def log(self) -> str:
        """What the server wrote down: who came, by which key, from where."""
        path = self.directory / "sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill_sessions(self) -> None:
        """Kill every connection's sshd; what sessions started sees its pipes closed."""
        self.far.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop every connection's sshd without a word: the link is half open, and silent."""
        self.far.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self.far.signal(signal.SIGCONT)
        for session in self._sessions:
            session.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server, its sessions and all they started, and remove every trace."""
        if self._thread.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.far.close()
        for session in self._sessions:
            session.kill()  # nsenter stops itself when what it started is stopped
            session.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def make_key(path: Path, kind: str = "ed25519", *, passphrase: str = "") -> Path:
    """Make a key pair over whatever was there; the file of the private key."""
    path.unlink(missing_ok=True)
    keygen = located("ssh-keygen") or "ssh-keygen"
    bits = ["-b", "2048"] if kind == "rsa" else []  # longer ones take seconds to find
    run([keygen, "-q", "-t", kind, *bits, "-N", passphrase, "-C", "voltar test", "-f", path])
    return path


def public(key: Path) -> str:
    """The public half of a private key's file."""
    return Path(f"{key}.pub").read_text().strip()
