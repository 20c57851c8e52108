"""The keys of an SSH agent."""

import contextlib
import socket
from collections.abc import Iterator

import paramiko
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import PublicBlob


class _Agent(AgentSSH):
    """An agent at a socket of our choice."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connect(connection)  # type: ignore[attr-defined]


@contextlib.contextmanager
def agent_keys(path: str | None) -> Iterator[list[AgentKey]]:
    """Give the agent's keys; none where no agent answers."""
    if path is None:
        yield []
        return
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)  # it may ask its user to confirm
        try:
            connection.connect(path)
            keys = list(_Agent(connection).get_keys())
        except (OSError, paramiko.SSHException):
            keys = []
        for key in keys:
            if "-cert-" in key.get_name():
                key.public_blob = PublicBlob(key.get_name(), key.blob)  # type: ignore[assignment]
        yield keys
