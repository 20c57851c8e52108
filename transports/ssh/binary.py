"""A link by OpenSSH's own client, for what paramiko cannot do: Kerberos, security keys, and more.

One client process is the master, which connects and logs in; each command is a further process
that goes through it and whose stdin and stdout are the socket itself. So nothing is copied here,
and what a user's ssh_config says is obeyed by the program it was written for. Two things are
demanded in any case: a host key that is known (or `accept-new`, where the configuration says so),
and that a silent server ends the link.
"""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from transports.errors import ConnectionLost, HostKeyRefused, Refused, TransportError
from transports.ssh.address import Address, parse_address
from transports.ssh.command import communicate
from transports.ssh.protocol import Buffer, Finished, Options
from transports.ssh.settings import home_directory
from transports.ssh.sftp import SftpSession
from transports.ssh.shell import command_line, new_mark
from transports.ssh.stream import PIPE_SIZE, TAIL_SIZE, Unmarked

_OWN_FAILURE: Final = 255  # what the client says of itself, and of commands that a signal ended
_GRACE_S: Final = 2.0
_SOCKET_PATH_SIZE: Final = 107
_START_S: Final = 60.0
_LOST: Final = re.compile(
    r"timed out|timeout|refused|reset|broken pipe|unreachable|no route|closed by|not responding"
    r"|mux_client|control socket|temporary failure|kex_exchange|banner|connection closed",
    re.IGNORECASE,
)
_HOST_KEY: Final = re.compile(r"host key verification failed|identification has changed", re.I)
_FACT: Final = re.compile(r"host key is known for|host key for|offending .* key in|SHA256:", re.I)
_ON_THE_WAY: Final = re.compile(r"kex_exchange_identification|closed by UNKNOWN", re.IGNORECASE)
_NOISE: Final = re.compile(r"^(warning: permanently added|\*\*|@+$|debug)", re.IGNORECASE)


class BinaryLink:
    """One SSH connection by a master process; see `transports.ssh.protocol.Link`."""

    def __init__(self, address: Address, options: Options, directory: Path, known: str | None):
        """Connect; `directory` is ours, and removed when the link is closed."""
        self.url = address.url
        self._host = address.host
        self._directory = directory
        self._words = _words(address, options, directory, known)
        self._log = (directory / "log").open("w+b")
        self._said = ""
        self._closed = False
        # a master of its own, which no other program finds; it ends with us, for it reads from us
        self._master = subprocess.Popen(
            [*self._words, "-M", "-N", "-o", "ControlPersist=no", "--", address.host],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=_environment(),
            start_new_session=options.ask is None,  # no terminal to ask at
        )
        try:
            self._await_master(options)
        except BaseException:
            self.close()
            raise

    def start(self, argv: Sequence[str]) -> "BinaryRemote":
        mark = new_mark()
        remote = self._begin(["--", self._host, command_line(argv, mark)])
        remote.await_mark(mark, f"{self.url} does not run {argv[0]}")
        return remote

    def run(self, argv: Sequence[str], *, stdin: Buffer = b"", timeout_s: float = 60) -> Finished:
        return communicate(self.start(argv), f"{argv[0]} on {self.url}", stdin, timeout_s)

    def sftp(self) -> SftpSession:
        return SftpSession(self._begin(["-s", "--", self._host, "sftp"]), self.url)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        self._text()  # whoever asks later shall be told, too
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def is_active(self) -> bool:
        """Return whether the master is connected, as far as it knows."""
        return self._master.poll() is None

    def answers(self) -> bool:
        """Return whether the master is there; its end cannot be missed, as it can by `is_active`.

        It opened the way to it before its sessions, and so it closes that first.
        """
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            try:
                sock.connect(str(self._directory / "control"))
            except BlockingIOError:
                return True  # it is busy
            except OSError:
                return False
        return True

    def lost(self, text: str) -> ConnectionLost:
        """Return the error for a connection that broke; `text` is what a client said, if it did."""
        said = sentence(text)
        return ConnectionLost(
            f"the connection to {self.url} was lost" + (f": {said}" if said else "")
        )

    def _begin(self, words: list[str]) -> "BinaryRemote":
        if not self.is_active():
            raise self.lost(self._text())
        return BinaryRemote(self, [*self._words, "-o", "ControlMaster=no", *words])

    def _await_master(self, options: Options) -> None:
        """Wait until the master is in, for as long as its user may need to answer."""
        control = self._directory / "control"
        limit_s = 600.0 if options.ask else options.connect_timeout_s * 4
        deadline = time.monotonic() + limit_s
        while not control.exists():
            if self._master.poll() is not None:
                raise refusal(self.url, self._text())
            if time.monotonic() > deadline:
                raise ConnectionLost(f"no SSH connection to {self.url} within {limit_s:.0f} s")
            time.sleep(0.02)

    def _text(self) -> str:
        if not self._log.closed:
            self._log.seek(0)
            self._said = self._log.read().decode(errors="replace")
        return self._said


class BinaryRemote:
    """A command of one client process; see `transports.ssh.protocol.Remote`."""

    def __init__(self, link: BinaryLink, argv: list[str]) -> None:
        self._link = link
        self.sock, other = socket.socketpair()
        for end in (self.sock, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_SIZE)
        # not a pipe: the master has this end too, and may keep it for longer than we read
        self._stderr, complaints = socket.socketpair()
        with other, complaints:
            self._process = subprocess.Popen(
                argv,
                stdin=other.fileno(),
                stdout=other.fileno(),
                stderr=complaints.fileno(),
                env=_environment(),
                start_new_session=True,
            )
        self._unmarked = Unmarked(None)
        self._kept = b""
        self._reader = threading.Thread(target=self._read_stderr, name="voltar-ssh", daemon=True)

    def await_mark(self, mark: str, failure: str) -> None:
        """Drop what the login shell prints. Raises Refused when the command does not start."""
        self._unmarked = Unmarked(mark)
        self._reader.start()
        try:
            self._drop_until(f"{mark}\n".encode(), failure)
        except BaseException:
            self.close()
            raise

    def finished(self, timeout_s: float | None = None) -> Finished | None:
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._join()
        text = self._text()
        # of any other status, the client is told before the command's output has come
        if self._is_lost() if status == _OWN_FAILURE else not self._link.answers():
            raise self._link.lost(text)
        return Finished(status if status >= 0 else _OWN_FAILURE, b"", text)

    def close(self) -> None:
        self.sock.close()
        if self._process.poll() is None:
            try:
                self._process.wait(_GRACE_S / 4)  # it ends by itself when its command does
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._join()

    def _is_lost(self) -> bool:
        # the master may need a moment to notice what its client has
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._link._master.wait(_GRACE_S)
        return not self._link.is_active()

    def _join(self) -> None:
        """Wait for the end of stderr, or for a moment."""
        if self._reader.ident is None:
            self._reader.start()
        self._reader.join(_GRACE_S / 4)
        with contextlib.suppress(OSError):
            self._stderr.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._stderr.close()

    def _read_stderr(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._stderr.recv(1 << 16):
                self._kept = (self._kept + self._unmarked.pass_on(data))[-TAIL_SIZE:]

    def _text(self) -> str:
        kept = self._kept if self._unmarked.found else self._unmarked.noise[-TAIL_SIZE:]
        return kept.decode(errors="replace").strip()

    def _drop_until(self, mark: bytes, failure: str) -> None:
        seen = b""
        deadline = time.monotonic() + _START_S
        while mark not in seen:
            try:
                self.sock.settimeout(max(1e-3, deadline - time.monotonic()))
                peeked = self.sock.recv(1 << 16, socket.MSG_PEEK)
            except TimeoutError as error:
                raise TransportError(f"{failure}: it has not started") from error
            except OSError:
                peeked = b""
            if not peeked or time.monotonic() > deadline:
                raise self._not_started(seen, failure)
            whole = seen + peeked
            end = whole.find(mark)
            take = len(peeked) if end < 0 else end + len(mark) - len(seen)
            seen = (seen + self.sock.recv(take))[-(1 << 16) :] if end < 0 else whole
            if end >= 0:
                self.sock.recv(take)
        self.sock.settimeout(None)

    def _not_started(self, seen: bytes, failure: str) -> TransportError:
        finished = self.finished(_GRACE_S)
        said = seen.decode(errors="replace").strip()
        stderr = finished.stderr if finished else ""
        why = sentence(said + "\n" + stderr) or "it ended at once"
        return Refused(f"{failure}: {why}")


def connect(url: str, options: Options) -> BinaryLink:
    """Open a link by OpenSSH's client. Raises Refused, ConnectionLost."""
    address = parse_address(url)
    binary = shutil.which(options.binary or "ssh")
    if binary is None:
        raise Refused(
            f"there is no program {options.binary!r} here", hint="--ssh-binary names OpenSSH's ssh"
        )
    known = _pinned(url, options)
    directory = Path(tempfile.mkdtemp(prefix="voltar-ssh-", dir=_place()))
    try:
        return BinaryLink(address, options, directory, known)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise Refused(f"cannot run {binary}: {error.strerror}") from error


def _place() -> str:
    """Return where the master's socket is: the path of one may have 107 bytes."""
    place = tempfile.gettempdir()
    longest = f"{place}/voltar-ssh-12345678/control.1234567890123456"  # as the client makes it
    return place if len(os.fsencode(longest)) <= _SOCKET_PATH_SIZE else "/tmp"  # noqa: S108


def _words(address: Address, options: Options, directory: Path, known: str | None) -> list[str]:
    """Return the client and its options, without the host."""
    words = _address_words(address, options)
    settings = [
        f"ControlPath={directory}/control",
        "EscapeChar=none",
        "RequestTTY=no",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "LogLevel=ERROR",
        *_missing(words, address.host, options),
    ]
    if options.ask is None:
        settings.append("BatchMode=yes")
    if known is not None:
        file = directory / "known_hosts"
        file.write_text(known)
        settings += [
            f"UserKnownHostsFile={file}",
            "GlobalKnownHostsFile=none",
            "HostKeyAlias=pinned",
        ]
    return words + [word for setting in settings for word in ("-o", setting)]


def _address_words(address: Address, options: Options) -> list[str]:
    words = [options.binary or "ssh"]
    config = options.config
    if config is None and home_directory() != Path(pwd.getpwuid(os.getuid()).pw_dir):
        config = home_directory() / ".ssh/config"  # the client does not look at HOME
    if config is not None and config.exists():
        words += ["-F", str(config)]
    if address.user:
        words += ["-l", address.user]
    if address.port:
        words += ["-p", str(address.port)]
    return words


def _missing(words: list[str], host: str, options: Options) -> list[str]:
    """Return what the user's configuration leaves open and we demand. Raises Refused."""
    done = subprocess.run(
        [*words, "-G", "--", host],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=_environment(),
    )
    if done.returncode:
        raise Refused(f"ssh_config: {sentence(done.stderr.decode(errors='replace'))}")
    lines = done.stdout.decode(errors="replace").splitlines()
    says = dict(line.split(" ", 1) for line in lines if " " in line)
    demanded = []
    if says.get("stricthostkeychecking") != "accept-new":
        demanded.append("StrictHostKeyChecking=yes")
    if says.get("connecttimeout", "none") == "none":
        demanded.append(f"ConnectTimeout={max(1, round(options.connect_timeout_s))}")
    if says.get("serveraliveinterval", "0") == "0":
        demanded.append(f"ServerAliveInterval={max(1, round(options.alive_interval_s))}")
        demanded.append(f"ServerAliveCountMax={options.alive_count}")
    return demanded


def _pinned(url: str, options: Options) -> str | None:
    """Return known_hosts for a pinned key, which the host is asked for. Raises HostKeyRefused."""
    if not options.host_keys:
        return None
    from transports.ssh.hostkeys import known_host  # noqa: PLC0415
    from transports.ssh.knownhosts import line_for  # noqa: PLC0415
    from transports.ssh.session import pinned_key, target_of  # noqa: PLC0415 - loads paramiko

    target = target_of(url, options)
    key = pinned_key(target, known_host(target.settings, target.url, options.host_keys))
    return line_for("pinned", key, hashed=False) + "\n"


def _environment() -> dict[str, str]:
    return os.environ | {"LC_ALL": "C"}


def refusal(url: str, text: str) -> TransportError:
    """Return the error for what the client said when it could not connect."""
    said = sentence(text)
    if _HOST_KEY.search(text):
        return _host_key_refusal(url, text)
    if "permission denied" in text.lower() or "too many authentication" in text.lower():
        return Refused(f"{url} does not let us in: {said}")
    if _LOST.search(text):
        return ConnectionLost(f"no SSH connection to {url}: {said}")
    return Refused(f"no SSH connection to {url}: {said or 'ssh said nothing'}")


def _host_key_refusal(url: str, text: str) -> HostKeyRefused:
    """Return the error for a host key, perhaps of a host on the way."""
    whose = f"a host on the way to {url}" if _ON_THE_WAY.search(text) else url
    changed = "has changed" in text.lower()
    what = (
        f"THE HOST KEY OF {whose} HAS CHANGED" if changed else f"the host key of {whose} is unknown"
    )
    facts = [line.strip().rstrip(".") for line in text.splitlines() if _FACT.search(line)]
    said = "; ".join(facts).replace("SHA256:", "it shows SHA256:", 1) or sentence(text)
    return HostKeyRefused(f"{what}: {said}", hint=f"`voltar host trust {url}` shows the key")


def sentence(text: str) -> str:
    """Return what a client said as one line, the last that says something."""
    lines = [line.strip().rstrip(".") for line in text.splitlines()]
    lines = [line for line in lines if line and not _NOISE.match(line)]
    return "; ".join(lines[-2:])
