"""The streams that the engine hands over on its connections.

The engine turns some requests (attach, exec) into a two-way byte stream: the connection is
*hijacked*. docker-py gives its socket out, but its HTTP reader may already have swallowed the first
bytes of the stream (docker-py issues 425 and 3332), and over TLS its object cannot be written to.
So the request is written and the reply read here, on a socket of our own: nothing is lost.
"""

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from backup.engine.door import Declined
from backup.engine.route import Route

HEADERS_AT_MOST = 64 << 10


@dataclass(slots=True)
class Wire:
    """A hijacked connection. `early` holds what arrived together with the reply's headers."""

    sock: socket.socket
    early: bytes

    def fileno(self) -> int:
        """For selectors."""
        return self.sock.fileno()

    def receive(self, buffer: memoryview) -> int | None:
        """Read once into `buffer`; 0 is the end, None means that nothing is there now."""
        if self.early:
            size = min(len(self.early), len(buffer))
            buffer[:size] = self.early[:size]
            self.early = self.early[size:]
            return size
        try:
            return self.sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except (
            OSError
        ):  # reset, broken: for a reader that is the end; the caller asks the engine why
            return 0

    def send(self, data: memoryview) -> int | None:
        """Write once; 0 means that the other side is gone, None that it takes nothing now."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError:
            return 0

    def close(self) -> None:
        """Close the connection; the engine closes the command's stdin then."""
        self.sock.close()


def hijack(
    route: Route, target: str, params: Mapping[str, Any], body: Mapping[str, Any] | None
) -> Wire:
    """Post a request whose reply is a stream. `target` is the path with the API version.

    Raises EngineUnavailable, and Declined when the engine answers with an error.
    """
    payload = json.dumps(body or {}).encode()
    query = f"?{urlencode(params)}" if params else ""
    request = (
        f"POST {target}{query} HTTP/1.1\r\nHost: docker\r\nUser-Agent: voltar\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    sock = route.dial()
    try:
        with route.reaching():
            sock.settimeout(60)
            sock.sendall(request.encode() + payload)
            head, rest = _headers(sock)
        _require_stream(sock, head, rest)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Wire(sock, rest)


def _headers(sock: socket.socket) -> tuple[bytes, bytes]:
    """The reply's headers, and what came after them."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(4096)
        if not piece or len(received) > HEADERS_AT_MOST:
            raise ConnectionResetError("the engine closed the connection without an answer")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _require_stream(sock: socket.socket, head: bytes, rest: bytes) -> None:
    status = int(head.split(None, 2)[1])
    if status not in (101, 200):
        raise Declined(status, _complaint(sock, rest))


def _complaint(sock: socket.socket, received: bytes) -> str:
    """The message in an error reply, whatever its framing."""
    sock.settimeout(2)
    try:
        while b"}" not in received and (piece := sock.recv(4096)):
            received += piece
        found = received[received.index(b"{") : received.rindex(b"}") + 1]
        return str(json.loads(found)["message"])
    except (OSError, ValueError, KeyError):
        return received.decode(errors="replace").strip() or "no reason given"
