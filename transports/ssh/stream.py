"""A command's channel of paramiko as a real socket.

Of a pair of sockets, the command's user has one end. What arrives from the server is written into
the other end by the transport's own thread, without waiting; what does not fit is queued, and a
thread of this command writes it. So a user who does not read stalls its own channel, whose window
fills up, and no other. A second thread carries what the user sends.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from transports.errors import ConnectionLost
from transports.ssh.protocol import Finished

if TYPE_CHECKING:
    from paramiko.channel import Channel

    from transports.ssh.transport import Transport

PIPE_SIZE: Final = 1 << 20
SEND_SIZE: Final = 1 << 18
TAIL_SIZE: Final = 16 << 10
_KILLED: Final = 255  # what OpenSSH's client says of a command that a signal ended
_GRACE_S: Final = 2.0
_NOISE_SIZE: Final = 1 << 20


class Unmarked:
    """Drops what comes before a mark; without one, nothing."""

    def __init__(self, mark: str | None) -> None:
        self._mark = f"{mark}\n".encode()
        self.noise = b""
        self.found = mark is None

    def pass_on(self, data: bytes) -> bytes:
        """Return what of `data` is the command's own."""
        if self.found:
            return data
        before, mark, after = (self.noise + data).partition(self._mark)
        self.found = bool(mark)
        self.noise = before[-_NOISE_SIZE:]
        return after


class Outlet:
    """Where a channel's stdout goes: stands in for the buffer of a paramiko channel."""

    def __init__(self, sock: socket.socket, unmarked: Unmarked, took: Callable[[int], None]):
        self._sock = sock
        self._unmarked = unmarked
        self._took = took
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._ended = False
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Take what arrived; called by the transport's thread, which must not wait.

        Nothing is called while the lock is held: paramiko calls `close` with a lock of its own.
        """
        size = len(data)
        if not self._unmarked.found:
            data = self._unmarked.pass_on(data)
        with self._changed:
            if not self._queue and not self._broken:
                data = data[self._send_now(data) :]
            if self._broken:
                data = b""
            if data:
                self._queue.append(data)
                self._start_writer()
                self._changed.notify()
        self._took(size - len(data))

    def close(self) -> None:
        """Take note that no more comes; the user sees the end after what is queued."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            if self._writer is None:
                self._end()
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread that writes, if there is one."""
        if self._writer is not None:
            self._writer.join(timeout_s)

    def _send_now(self, data: bytes) -> int:
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT) if data else 0
        except BlockingIOError:
            return 0
        except OSError:
            self._broken = True  # the user is gone
            return len(data)

    def _start_writer(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="voltar-ssh", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._ended:
                    self._changed.wait()
                if not self._queue:
                    self._end()
                    return
                data = self._queue[0]
            try:
                self._sock.sendall(data)
            except OSError:
                self._broken = True
            self._took(len(data))
            with self._changed:
                self._queue.popleft()
                if self._broken:
                    self._queue.clear()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)


class Tail:
    """Where a channel's stderr goes: of what comes after the mark, the end is kept."""

    def __init__(self, unmarked: Unmarked, took: Callable[[int], None]) -> None:
        self._unmarked = unmarked
        self._took = took
        self._kept = b""
        self._is_over = threading.Event()

    def feed(self, data: bytes) -> None:
        self._took(len(data))
        self._kept = (self._kept + self._unmarked.pass_on(data))[-TAIL_SIZE:]

    def close(self) -> None:
        """Keep what there is."""
        self._is_over.set()

    def await_end(self, timeout_s: float) -> None:
        self._is_over.wait(timeout_s)

    @property
    def text(self) -> str:
        kept = self._kept if self._unmarked.found else self._unmarked.noise[-TAIL_SIZE:]
        return kept.decode(errors="replace").strip()


class PumpedRemote:
    """A command on a channel of paramiko; see `transports.ssh.protocol.Remote`."""

    def __init__(self, transport: "Transport", channel: "Channel", mark: str | None) -> None:
        self._transport = transport
        self._channel = channel
        self.sock, self._inner = socket.socketpair()
        for end in (self.sock, self._inner):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_SIZE)
        self._owed = 0
        self._counting = threading.Lock()
        self._unmarked = Unmarked(mark)
        self._tail = Tail(Unmarked(mark), self._took)
        self._outlet = Outlet(self._inner, self._unmarked, self._took)
        channel.in_buffer = self._outlet  # type: ignore[assignment]
        channel.in_stderr_buffer = self._tail  # type: ignore[assignment]
        self._sender = threading.Thread(target=self._send, name="voltar-ssh", daemon=True)

    def begin(self, start: "Callable[[Channel], None]") -> None:
        """Start what is to run. Raises what paramiko does."""
        start(self._channel)
        self._sender.start()

    def finished(self, timeout_s: float | None = None) -> Finished | None:
        if not self._channel.status_event.wait(timeout_s):
            return None
        status = self._channel.exit_status
        if status:  # the server tells it before what the command has said of it
            self._tail.await_end(_GRACE_S / 4)
        if (status < 0 or self._is_cut_off()) and self._transport.has_ended():
            raise ConnectionLost(f"the connection to {self._transport.url} was lost")
        said = [self._tail.text]
        if not self._unmarked.found:
            said.insert(0, self._unmarked.noise[-TAIL_SIZE:].decode(errors="replace").strip())
        return Finished(_KILLED if status < 0 else status, b"", "\n".join(filter(None, said)))

    def close(self) -> None:
        self.sock.close()
        self._channel.close()
        with contextlib.suppress(OSError):
            self._inner.shutdown(socket.SHUT_RDWR)  # wakes the threads
        if self._sender.is_alive():
            self._sender.join(_GRACE_S)
        self._outlet.join(_GRACE_S)
        self._inner.close()

    def _is_cut_off(self) -> bool:
        """Whether stdout ended without the server's saying so.

        Servers tell a command's status as soon as it ends, and what it wrote comes after that.
        """
        return self._channel.closed and not self._channel.eof_received

    def _send(self) -> None:
        """Carry what the user sends, until the user or the link ends."""
        buffer = memoryview(bytearray(SEND_SIZE))
        try:
            while size := self._inner.recv_into(buffer):
                self._transport.send_data(self._channel, buffer[:size])
            self._transport.end_data(self._channel)
        except (OSError, EOFError):
            # the command or the link has ended: whoever writes shall see it
            with contextlib.suppress(OSError):
                self._inner.shutdown(socket.SHUT_RD)

    def _took(self, size: int) -> None:
        """Let the server send as much as was taken."""
        with self._counting:
            self._owed += size
            if self._owed < self._channel.in_window_threshold:
                return
            due, self._owed = self._owed, 0
        if not self._channel.closed and not self._channel.eof_received:
            self._transport.widen(self._channel, due)
