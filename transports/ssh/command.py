"""Running a remote command to its end."""

import socket
import threading
import time

from transports.errors import TransportError
from transports.ssh.protocol import Buffer, Finished, Remote


def communicate(remote: Remote, what: str, stdin: Buffer, timeout_s: float) -> Finished:
    """Give a command its input, take its output, and close it.

    Raises ConnectionLost; TransportError when it takes too long.
    """
    deadline = time.monotonic() + timeout_s
    too_slow = TransportError(f"{what} has not ended within {timeout_s:g} s")
    writer = threading.Thread(target=_write, args=(remote.sock, stdin), daemon=True)
    try:
        writer.start()
        output = _read(remote.sock, deadline)
        finished = remote.finished(max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise too_slow from error
    finally:
        remote.close()
        writer.join()
    if finished is None:
        raise too_slow
    return Finished(finished.status, output, finished.stderr)


def _read(sock: socket.socket, deadline: float) -> bytes:
    blocks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        try:
            block = sock.recv(1 << 18)
        except ConnectionResetError:
            block = b""  # it ended, and had not read everything
        if not block:
            return b"".join(blocks)
        blocks.append(block)


def _write(sock: socket.socket, data: Buffer) -> None:
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the command ended before it had read everything, which is its right
