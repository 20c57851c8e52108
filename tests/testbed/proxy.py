"""A TCP proxy on 127.0.0.1 whose faults a test switches while it runs.

    with Proxy(server_port) as proxy:
        client(proxy.port)
        proxy.cut(1000, times=2)      the next two connections end after 1000 bytes to the client
        proxy.answer(503, times=3)    the next three HTTP requests are answered here

A fault counts from when it is set and applies to connections and requests that begin later; `slow`,
`freeze` and `cut_now` are felt at once by those that live.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

Towards = Literal["client", "server"]
BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a connection ends: after so many bytes in one direction, by a reset or politely."""

    after: int
    towards: Towards
    reset: bool


@dataclass(eq=False, slots=True)
class Connection:
    """One client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    cut: Cut | None
    passed: dict[Towards, int] = field(default_factory=lambda: {"client": 0, "server": 0})

    ended: bool = False

    def end(self, *, reset: bool) -> None:
        """End both sides at once; a reset is seen as such by both.

        A polite end takes what still comes, and drops it: a close that leaves something unread
        would be a reset too.
        """
        self.ended = True
        for writer in (self.client, self.server):
            with suppress(OSError):
                if not reset:
                    writer.write_eof()
                elif (sock := writer.get_extra_info("socket")) is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    writer.transport.abort()

    def close(self) -> None:
        """Let go of both sides."""
        self.client.close()
        self.server.close()


class Proxy:
    """Forwards a port of its own to `target`, a port of 127.0.0.1, until it is closed."""

    def __init__(self, target: int, *, buffers: int | None = None) -> None:
        """`buffers`: size of the sockets' buffers in bytes, and so of the TCP window."""
        self._target = target
        self._buffers = buffers
        self._cuts: deque[Cut] = deque()
        self._answers: deque[int] = deque()
        self._delay_s = 0.0
        self._rate: int | None = None
        self._living: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0
        """How many came."""
        self.carried: dict[Towards, int] = {"client": 0, "server": 0}
        """How many bytes went either way, by all connections together."""
        self.requests: list[str] = []
        """The first lines of the HTTP requests that came since `watch_http` or `answer`."""
        self._http = False
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self.port = 0
        self.accept()

    # Faults.

    def cut(
        self, after: int, *, towards: Towards = "client", reset: bool = True, times: int = 1
    ) -> None:
        """End the next `times` connections when that many bytes went one way."""
        cut = Cut(after=after, towards=towards, reset=reset)
        self._do(lambda: self._cuts.extend([cut] * times))

    def cut_now(self, *, reset: bool = True) -> int:
        """End every connection that lives; returns how many there were."""

        def cut() -> int:
            ended = list(self._living)
            for connection in ended:
                connection.end(reset=reset)
            return len(ended)

        ended: int = self._do(cut)
        return ended

    def delay(self, seconds: float) -> None:
        """Let connections from now on wait before they reach the server."""
        self._delay_s = seconds

    def slow(self, bytes_per_s: int | None) -> None:
        """Forward no more than this in either direction of a connection; None: as it comes."""
        self._rate = bytes_per_s

    def freeze(self) -> None:
        """Forward nothing, in silence: connections stay, and new ones are accepted."""
        self._do(self._open.clear)

    def thaw(self) -> None:
        """Forward again, first what came meanwhile."""
        self._do(self._open.set)

    def refuse(self) -> None:
        """Stop listening: who comes is refused. Connections that live go on."""
        if self._server is not None:
            server, self._server = self._server, None
            self._do(server.close)

    def accept(self) -> None:
        """Listen (again), on the same port."""
        if self._server is None:
            self._server = self._await(self._listen())
            self.port = self._server.sockets[0].getsockname()[1]

    def watch_http(self) -> None:
        """Read what passes as HTTP from now on, and keep the requests' first lines."""
        self._http = True

    def answer(self, status: int, *, times: int = 1) -> None:
        """Answer the next HTTP requests here, with this status, and close their connections."""
        self._http = True
        self._do(lambda: self._answers.extend([status] * times))

    def clear(self) -> None:
        """Forget cuts and answers that did not come up yet."""
        self._do(self._cuts.clear)
        self._do(self._answers.clear)

    # Forwarding.

    async def _listen(self) -> asyncio.Server:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._shrink(listener)
        listener.bind(("127.0.0.1", self.port))
        return await asyncio.start_server(self._serve, sock=listener, limit=BLOCK)

    def _shrink(self, sock: socket.socket) -> None:
        if self._buffers is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffers)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffers)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        cut = self._cuts.popleft() if self._cuts else None
        await asyncio.sleep(self._delay_s)
        sock = socket.socket()
        sock.setblocking(False)
        self._shrink(sock)
        try:
            await self._loop.sock_connect(sock, ("127.0.0.1", self._target))
            answers, server = await asyncio.open_connection(sock=sock, limit=BLOCK)
        except OSError:
            sock.close()
            client.close()
            return
        connection = Connection(client, server, cut)
        self._living.add(connection)
        to_server = self._exchange if self._http else self._pump
        try:
            await asyncio.gather(
                to_server(connection, reader, "server"), self._pump(connection, answers, "client")
            )
        finally:
            self._living.discard(connection)
            connection.close()

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, towards: Towards
    ) -> None:
        with suppress(OSError):
            while block := await reader.read(self._block()):
                await self._forward(connection, block, towards)
            await self._open.wait()
            if connection.ended:
                return
            writer = connection.client if towards == "client" else connection.server
            writer.write_eof()

    def _block(self) -> int:
        return BLOCK if self._rate is None else max(1, min(BLOCK, self._rate // 20))

    async def _forward(self, connection: Connection, block: bytes, towards: Towards) -> None:
        await self._open.wait()
        if connection.ended:
            return
        cut = connection.cut if connection.cut and connection.cut.towards == towards else None
        room = len(block) if cut is None else cut.after - connection.passed[towards]
        writer = connection.client if towards == "client" else connection.server
        writer.write(block[: max(0, room)])
        await writer.drain()
        connection.passed[towards] += len(block)
        self.carried[towards] += len(block)
        if cut is not None and room <= len(block):
            connection.end(reset=cut.reset)
        elif self._rate is not None:
            await asyncio.sleep(len(block) / self._rate)

    # HTTP.

    async def _exchange(
        self, connection: Connection, reader: asyncio.StreamReader, towards: Towards
    ) -> None:
        """Forward requests one by one, but for those that are answered here."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head.partition(b"\r\n")[0].decode(errors="replace"))
                status = self._answers.popleft() if self._answers else None
                if status is None:
                    await self._forward(connection, head, towards)
                await self._body(connection, reader, head, drop=status is not None)
                if status is not None:
                    words = f"HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close"
                    connection.client.write(f"{words}\r\n\r\n".encode())
                    connection.end(reset=False)
                    await reader.read()  # what the client sends although it was told
                    return
        with suppress(OSError):
            connection.server.write_eof()

    async def _body(
        self, connection: Connection, reader: asyncio.StreamReader, head: bytes, *, drop: bool
    ) -> None:
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        fields = {name.lower(): value.strip() for name, _, value in lines}

        async def take(block: bytes) -> None:
            if not drop:
                await self._forward(connection, block, "server")

        if drop and b"expect" in fields:
            return  # the client waits for leave to send it
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            size = -1
            while size:
                line = await reader.readuntil(b"\r\n")
                size = int(line.partition(b";")[0], 16)
                await take(line + await reader.readexactly(size + 2))
            return
        left = int(fields.get(b"content-length", b"0"))
        while left:
            block = await reader.read(min(left, self._block()))
            if not block:
                raise ConnectionAbortedError
            left -= len(block)
            await take(block)

    # Its thread.

    def _do(self, act: Callable[[], Any]) -> Any:
        async def doing() -> Any:
            return act()

        return self._await(doing())

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.refuse()
        self._await(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        for connection in list(self._living):
            connection.end(reset=True)
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
