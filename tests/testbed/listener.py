"""A web server that remembers what it was told, and answers as a test wants.

with Listener() as listener:
    listener.answers = [500, 500]        then 200 for ever
    ...
    listener.heard[0].path
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Heard:
    """One request."""

    path: str
    body: str
    headers: dict[str, str]


class Listener:
    """A server on a free port of this machine, until the end of its context."""

    def __init__(self, before_answer: Callable[[], object] = lambda: None) -> None:
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        self._before_answer = before_answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # they end before the context does
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [each.path for each in self.heard]

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size).decode()
                listener.heard.append(Heard(self.path, body, dict(self.headers.items())))
                listener._before_answer()
                self.send_response(listener.answers.pop(0) if listener.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
