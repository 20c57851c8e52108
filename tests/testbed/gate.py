"""A gate before an S3 server that lets through what a policy allows, and answers the rest itself.

moto enforces no policies, and knows all that Amazon documents; others are stricter, or know less:

    Gate(port, no_delete=True)       403 AccessDenied to each DELETE
    Gate(port, no_conditions=True)   501 NotImplemented to a put with If-None-Match
    Gate(port, no_ranges=True)       the whole object for a part

A Portal answers everything itself, with the same page, as a network does that wants a login.
"""

import http.client
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

ANSWER = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message></Error>'
HOP = ("connection", "transfer-encoding", "content-length", "date", "server")


class Handler(BaseHTTPRequestHandler):
    """One connection from a client."""

    protocol_version = "HTTP/1.1"
    target: ClassVar[int]
    no_delete: ClassVar[bool]
    no_conditions: ClassVar[bool]
    no_ranges: ClassVar[bool]
    refused: ClassVar[list[str]]

    def handle_request(self) -> None:
        """Answer or forward."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.no_delete and self.command == "DELETE":
            self.refused.append(self.path)
            self.refuse(403, "AccessDenied", "Access Denied")
        elif self.no_conditions and "If-None-Match" in self.headers:
            self.refused.append(self.path)
            self.refuse(501, "NotImplemented", "A header you provided is not implemented")
        else:
            self.forward(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer as S3 does."""
        self.reply(
            status, {"Content-Type": "application/xml"}, ANSWER.format(code, message).encode()
        )

    def forward(self, body: bytes) -> None:
        """Ask the server, and pass its answer on."""
        asked = {
            name: value for name, value in self.headers.items() if name.lower() != "connection"
        }
        if self.no_ranges:
            asked.pop("Range", None)
            asked.pop("range", None)
        with closing(http.client.HTTPConnection("127.0.0.1", self.target, 60)) as connection:
            connection.request(self.command, self.path, body, asked)
            answer = connection.getresponse()
            fields = {n: v for n, v in answer.getheaders() if n.lower() not in HOP}
            length = answer.getheader("Content-Length")
            self.reply(answer.status, fields, answer.read(), length)

    def reply(
        self, status: int, fields: dict[str, str], body: bytes, length: str | None = None
    ) -> None:
        """Send an answer; that to a HEAD has a length and no body."""
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        head = self.command == "HEAD" and length is not None
        self.send_header("Content-Length", str(length) if head else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Page(BaseHTTPRequestHandler):
    """One connection from a client, which gets the same page for everything."""

    protocol_version = "HTTP/1.1"
    page: ClassVar[bytes]
    seen: ClassVar[list[dict[str, str]]]

    def show(self) -> None:
        """Answer."""
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.page)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = show

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Listening:
    """A server on a free port of 127.0.0.1 until it is closed."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(poll_interval=0.01), name="gate"
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Portal(Listening):
    """Shows a page to everybody."""

    def __init__(self, page: bytes) -> None:
        self.seen: list[dict[str, str]] = []
        """The headers of all requests, by names in small letters."""
        super().__init__(type("Shown", (Page,), {"page": page, "seen": self.seen}))


class Gate(Listening):
    """Lets through what a policy allows."""

    def __init__(
        self,
        target: int,
        *,
        no_delete: bool = False,
        no_conditions: bool = False,
        no_ranges: bool = False,
    ) -> None:
        self.refused: list[str] = []
        """The paths of the requests that were refused."""
        rules = {"no_delete": no_delete, "no_conditions": no_conditions, "no_ranges": no_ranges}
        told = {"target": target, "refused": self.refused, **rules}
        super().__init__(type("Told", (Handler,), told))
