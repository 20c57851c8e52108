"""What a link over SSH is; two modules make one: `link` (paramiko) and `binary` (OpenSSH's client).

Both keep the same promises, and the tests run over both:

- What a command prints is its own: what a login shell prints before is dropped.
- `Remote.sock` is a real socket, so poll, select and `recv_into` work.
- A lost link ends every socket, and `finished` raises ConnectionLost, never a status.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transports.ssh.sftp import SftpSession

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator says beside the address; all else is in ssh_config."""

    binary: str | None = None  # path of OpenSSH's client: use it instead of paramiko
    host_keys: Sequence[str] = ()  # "SHA256:…": where there are some, no others are accepted
    ask: Callable[[str], str | None] | None = None  # question -> secret; None: nobody can be asked
    passphrase: str | None = None  # for encrypted keys
    config: Path | None = None  # instead of the user's and the system's ssh_config
    connect_timeout_s: float = 15.0  # where ssh_config has no ConnectTimeout
    alive_interval_s: float = 15.0  # where ssh_config has no ServerAliveInterval
    alive_count: int = 3  # so many intervals of silence end the link

    def __repr__(self) -> str:
        return f"Options(binary={self.binary!r}, host_keys={self.host_keys!r})"  # no secrets


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended; of stderr, the last lines."""

    status: int
    stdout: bytes
    stderr: str


class Remote(Protocol):
    """A running remote command. Whoever started it closes it."""

    @property
    def sock(self) -> socket.socket:
        """What is sent goes to its stdin, `shutdown(SHUT_WR)` ends that; its stdout comes back.

        At the end of a command that has not read everything, a ConnectionResetError may come.
        """
        ...

    def finished(self, timeout_s: float | None = None) -> Finished | None:
        """Return how it ended, without stdout; None if it still runs after `timeout_s`.

        Read `sock` to its end first: what nobody reads keeps a command running.
        Raises ConnectionLost.
        """
        ...

    def close(self) -> None:
        """Let go of the command, which loses its stdin and stdout if it still runs."""
        ...


class Link(Protocol):
    """One SSH connection to one host; several threads may use it."""

    @property
    def url(self) -> str:
        """The address as shown to the operator, without secrets."""
        ...

    def start(self, argv: Sequence[str]) -> Remote:
        """Start a command. Raises Refused, ConnectionLost."""
        ...

    def run(self, argv: Sequence[str], *, stdin: Buffer = b"", timeout_s: float = 60) -> Finished:
        """Run a command to its end. Raises Refused, ConnectionLost, TransportError (too slow)."""
        ...

    def sftp(self) -> "SftpSession":
        """Open an SFTP session over this connection. Raises Refused, ConnectionLost."""
        ...

    def close(self) -> None:
        """End the connection and every command."""
        ...


def blocks(remote: Remote, size: int = 1 << 18) -> Iterator[bytes]:
    """Yield what a command prints until its end."""
    while block := remote.sock.recv(size):
        yield block
