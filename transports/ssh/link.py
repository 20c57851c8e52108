"""A link by paramiko."""

from collections.abc import Callable, Sequence

import paramiko

from transports.errors import ConnectionLost, Refused
from transports.ssh.command import communicate
from transports.ssh.protocol import Buffer, Finished, Options
from transports.ssh.session import connected, target_of
from transports.ssh.sftp import SftpSession
from transports.ssh.shell import command_line, new_mark
from transports.ssh.stream import PumpedRemote
from transports.ssh.transport import Transport

_OPEN_S = 60.0


class ParamikoLink:
    """One SSH connection; see `transports.ssh.protocol.Link`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = transport.url

    @property
    def cipher(self) -> str:
        """What the connection is encrypted with."""
        return str(self._transport.remote_cipher)  # type: ignore[attr-defined]

    def start(self, argv: Sequence[str]) -> PumpedRemote:
        mark = new_mark()
        line = command_line(argv, mark)
        return self._open(mark, f"run {argv[0]}", lambda channel: channel.exec_command(line))

    def sftp(self) -> SftpSession:
        remote = self._open(None, "offer SFTP", lambda channel: channel.invoke_subsystem("sftp"))
        return SftpSession(remote, self.url)

    def run(self, argv: Sequence[str], *, stdin: Buffer = b"", timeout_s: float = 60) -> Finished:
        return communicate(self.start(argv), f"{argv[0]} on {self.url}", stdin, timeout_s)

    def close(self) -> None:
        self._transport.close()
        self._transport.join(5)

    def _open(
        self, mark: str | None, act: str, begin: Callable[[paramiko.Channel], None]
    ) -> PumpedRemote:
        try:
            channel = self._transport.open_session(timeout=_OPEN_S)
            remote = PumpedRemote(self._transport, channel, mark)
            try:
                remote.begin(begin)
            except BaseException:
                remote.close()
                raise
        except paramiko.ChannelException as error:
            raise Refused(
                f"{self.url} refuses one more session on this connection, perhaps for MaxSessions "
                f"in its sshd_config (10 are enough): {error.args[1]}"
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._transport.has_ended():
                raise ConnectionLost(f"the connection to {self.url} was lost") from error
            raise Refused(f"{self.url} does not {act}: {error}") from error
        return remote


def connect(url: str, options: Options) -> ParamikoLink:
    """Open a link by paramiko. Raises Refused, ConnectionLost."""
    return ParamikoLink(connected(target_of(url, options)))
