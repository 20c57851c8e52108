"""The stream below an SSH transport: read in large pieces, and ended when the peer is silent.

paramiko reads each packet in two small pieces and polls before each; this reads ahead. And it sends
keepalives, but nothing in it notices that no answer comes: a frozen server, or a cable that was
pulled, would hang for as long as TCP retries, which is a quarter of an hour, or for ever.
"""

import errno
import fcntl
import socket
import struct
import termios
import time
from typing import Protocol

READ_SIZE = 1 << 18


class Stream(Protocol):
    """What a transport runs over: a socket, or a channel of another transport."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class PeerSilent(OSError):
    """Nothing came from the peer for too long, though it was asked."""


class Wire:
    """A stream with read-ahead and a limit to silence; one thread reads, another may write."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._limit_s: float | None = None
        self._ahead = memoryview(b"")
        self._closed = False  # paramiko looks at this one
        self._sent = 0
        self._taken = 0
        self._waiting = False
        self._alive = time.monotonic()

    def recv(self, size: int) -> bytes:
        if not self._ahead:
            try:
                self._ahead = memoryview(self._stream.recv(READ_SIZE))
            except TimeoutError:
                self._watch()
                raise
            except OSError as error:
                raise _numbered(error) from error
            self._alive = time.monotonic()
        piece = bytes(self._ahead[:size])
        self._ahead = self._ahead[size:]
        return piece

    def send(self, data: bytes) -> int:
        try:
            sent = self._stream.send(data)
        except TimeoutError:
            self._watch()
            raise
        except OSError as error:
            raise _numbered(error) from error
        self._sent += sent
        return sent

    def settimeout(self, seconds: float | None) -> None:
        self._stream.settimeout(seconds)

    def close(self) -> None:
        self._closed = True
        if isinstance(self._stream, socket.socket):
            try:
                self._stream.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
            except OSError:
                self._closed = True  # it was not connected any more
        self._stream.close()

    def watch(self, limit_s: float) -> None:
        """From now on, end the stream when the peer neither sends nor takes anything so long."""
        self._alive = time.monotonic()
        self._limit_s = limit_s

    def _watch(self) -> None:
        if self._limit_s is None:
            return
        queued = self._queued()
        taken = self._sent - queued
        now = time.monotonic()
        # Much that waits, and becomes less, is a slow link. A few bytes are taken by the system
        # of a host whose server is frozen, and prove nothing.
        slow = self._waiting and taken > self._taken
        self._taken, self._waiting = taken, queued > 0
        if slow:
            self._alive = now
        elif now - self._alive > self._limit_s:
            # paramiko wants both parts of the error
            raise PeerSilent(errno.ETIMEDOUT, f"nothing heard for {self._limit_s:.0f} s")

    def _queued(self) -> int:
        """Return how many bytes the peer's system has not acknowledged; slow is not dead."""
        if not isinstance(self._stream, socket.socket) or self._stream.family == socket.AF_UNIX:
            return 0
        try:
            (queued,) = struct.unpack("i", fcntl.ioctl(self._stream, termios.TIOCOUTQ, b"\0" * 4))
        except OSError:
            return 0
        return int(queued)


def _numbered(error: OSError) -> OSError:
    """Give an error a number and words: paramiko's thread takes both apart, and dies without."""
    return error if error.errno else OSError(errno.ECONNRESET, str(error))
