"""The stream below an SSH transport: read in large pieces, and ended when the peer is silent.

paramiko reads each packet in two small pieces and polls before each; this reads ahead. And its
keepalives ask for no answer, nor would it miss one: a frozen server, or a cable that was pulled,
would hang for as long as TCP retries, which is a quarter of an hour, or for ever.
"""

import errno
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable
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
        self._heard = self._asked = self._interval_s = 0.0
        self._ask: Callable[[], None] | None = None

    def recv(self, size: int) -> bytes:
        if not self._ahead:
            try:
                self._ahead = memoryview(self._stream.recv(READ_SIZE))
            except TimeoutError:
                self._watch()
                self._inquire()
                raise
            except OSError as error:
                raise _numbered(error) from error
            self._alive = self._heard = time.monotonic()
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

    def watch(self, interval_s: float, limit_s: float, ask: Callable[[], None]) -> None:
        """From now on, ask a peer that is silent, and end the stream when nothing comes so long.

        `ask` has to send something that the peer answers.
        """
        self._alive = self._heard = time.monotonic()
        self._interval_s, self._ask = interval_s, ask
        self._limit_s = limit_s

    def _inquire(self) -> None:
        if self._ask is None:
            return
        now = time.monotonic()
        if now - max(self._heard, self._asked) >= self._interval_s:
            self._asked = now
            self._ask()

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
