"""The way to a host: directly, by the command of ProxyCommand, or through others by ProxyJump."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from typing import Final

import paramiko

from transports.errors import ConnectionLost, Refused
from transports.ssh.settings import Settings, expand, local_user
from transports.ssh.transport import Transport
from transports.ssh.wire import Stream

_GRACE_S: Final = 2.0


def direct(settings: Settings, url: str, timeout_s: float) -> socket.socket:
    """Connect over TCP. Raises ConnectionLost, Refused."""
    try:
        found = socket.getaddrinfo(
            settings.hostname, settings.port, settings.family, socket.SOCK_STREAM
        )
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise ConnectionLost(f"cannot reach {url}: {error.strerror}") from error
        raise Refused(
            f"cannot reach {url}: there is no host {settings.hostname!r} ({error.strerror})"
        ) from error
    except UnicodeError as error:
        raise Refused(f"cannot reach {url}: {settings.hostname!r} is no host name") from error
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        stream = socket.socket(family, kind, protocol)
        try:
            _tune(stream)
            stream.settimeout(timeout_s)
            if settings.bind_address:
                stream.bind((settings.bind_address, 0))
            stream.connect(address)
        except OSError as error:
            stream.close()
            last = error
        else:
            return stream
    reason = "no answer" if isinstance(last, TimeoutError) else (last and last.strerror) or last
    raise ConnectionLost(
        f"cannot reach {url} ({settings.hostname}, port {settings.port}): {reason}"
    ) from last


def _tune(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class CommandStream:
    """The standard input and output of a ProxyCommand; it ends when this is closed."""

    def __init__(self, command: str) -> None:
        self._sock, other = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_end`
        shell = os.environ.get("SHELL") or "/bin/sh"
        with other:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=other.fileno(),
                stdout=other.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        self._closed = False

    def recv(self, size: int, /) -> bytes:
        return self._sock.recv(size)

    def send(self, data: bytes, /) -> int:
        return self._sock.send(data)

    def settimeout(self, seconds: float | None, /) -> None:
        self._sock.settimeout(seconds)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._end()

    def complaint(self) -> str:
        """Return what the command said on stderr; it is ended."""
        self.close()
        return self._complaint or f"it ended with {self._process.returncode}"

    def _end(self) -> None:
        try:
            self._process.wait(_GRACE_S / 20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        with self._said as said:
            said.seek(0)
            self._complaint = " ".join(said.read(4096).decode(errors="replace").split())

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def by_command(settings: Settings, url: str) -> CommandStream:
    """Run the ProxyCommand. Raises ConnectionLost."""
    letters = {
        "%": "%",
        "h": settings.hostname,
        "n": settings.name,
        "p": str(settings.port),
        "r": settings.user,
        "u": local_user(),
    }
    command = expand(settings.proxy_command or "", letters)
    try:
        return CommandStream(command)
    except OSError as error:
        raise ConnectionLost(f"cannot reach {url}: ProxyCommand: {error.strerror}") from error


class JumpStream:
    """A connection that another host makes for us; ends with the connection to that host."""

    def __init__(self, through: Transport, channel: paramiko.Channel) -> None:
        self._through = through
        self._channel = channel

    def recv(self, size: int, /) -> bytes:
        return self._channel.recv(size)

    def send(self, data: bytes, /) -> int:
        return self._channel.send(data)

    def settimeout(self, seconds: float | None, /) -> None:
        self._channel.settimeout(seconds)

    def close(self) -> None:
        # Two threads of the transport above close it: the second may find the way there closed.
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
            self._channel.close()
        self._through.close()


def by_jump(settings: Settings, url: str, through: Transport, timeout_s: float) -> Stream:
    """Let another host connect. Raises Refused, ConnectionLost."""
    target = (settings.hostname, settings.port)
    try:
        channel = through.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout_s)
    except paramiko.ChannelException as error:
        raise ConnectionLost(
            f"cannot reach {url} through {through.url}: {error.args[1]}",
            hint=f"may {through.url} forward connections (AllowTcpForwarding)?",
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise ConnectionLost(f"cannot reach {url} through {through.url}: {error}") from error
    return JumpStream(through, channel)
