"""The test bed's proxy: what passes unharmed is the same, and each fault is what it is called."""

import http.client
import http.server
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.testbed.command import attempt
from tests.testbed.proxy import Proxy
from tests.testbed.sshd import Sshd

MIB = bytes(range(256)) * 4096


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, up to the end."""

    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


class Store(http.server.BaseHTTPRequestHandler):
    """Says how long the body was."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(size))))
        self.end_headers()
        self.wfile.write(str(size).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A server with this handler, on a port of its own."""

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing: connections end as they please here."""

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with serving(Echo) as port, Proxy(port) as proxy:
        yield proxy


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as sock:
        yield sock


def everything(sock: socket.socket) -> bytes:
    found = b""
    while block := sock.recv(1 << 16):
        found += block
    return found


def echoed(proxy: Proxy, data: bytes) -> bytes:
    """What comes back for this, to the end."""
    with connected(proxy) as sock, ThreadPoolExecutor(1) as pool:
        returned = pool.submit(everything, sock)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return returned.result()


def test_what_passes_unharmed_is_the_same(proxy: Proxy) -> None:
    assert echoed(proxy, MIB * 4) == MIB * 4
    assert proxy.connections == 1


def test_small_buffers_lose_nothing() -> None:
    with serving(Echo) as port, Proxy(port, buffers=2048) as proxy:
        assert echoed(proxy, MIB) == MIB


def test_a_polite_cut_truncates(proxy: Proxy) -> None:
    proxy.cut(70_000, reset=False)

    cut, next_one = echoed(proxy, MIB), echoed(proxy, MIB)

    assert cut == MIB[:70_000]
    assert next_one == MIB


def test_a_reset_is_seen_as_one(proxy: Proxy) -> None:
    proxy.cut(1000, towards="server")

    with connected(proxy) as sock:
        sock.sendall(MIB[:1000])
        with pytest.raises(ConnectionResetError):
            everything(sock)


def test_every_connection_is_cut_now(proxy: Proxy) -> None:
    with connected(proxy) as sock:
        sock.sendall(b"x")
        sock.recv(1)

        ended = proxy.cut_now()

        assert ended == 1
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_frozen_connection_is_silent_and_loses_nothing(proxy: Proxy) -> None:
    with connected(proxy) as sock:
        proxy.freeze()
        sock.sendall(b"hello")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(5)
        proxy.thaw()
        sock.settimeout(20)

        assert sock.recv(5) == b"hello"


def test_who_comes_is_refused_until_it_listens_again(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        echoed(proxy, b"x")
    proxy.accept()

    assert echoed(proxy, b"x") == b"x"


@pytest.mark.parametrize(
    ("fault", "at_least_s"),
    [(lambda proxy: proxy.slow(100_000), 0.5), (lambda proxy: proxy.delay(0.3), 0.3)],
    ids=["slow", "delay"],
)
def test_it_takes_its_time(fault: Callable[[Proxy], None], at_least_s: float, proxy: Proxy) -> None:
    fault(proxy)
    began = time.monotonic()

    returned = echoed(proxy, MIB[:60_000])

    assert returned == MIB[:60_000]
    assert time.monotonic() - began >= at_least_s


def put(client: http.client.HTTPConnection, size: int) -> tuple[int, bytes]:
    client.request("PUT", "/o", body=b"x" * size)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_so_many_http_requests_are_answered_here_and_no_more() -> None:
    with (
        serving(Store) as port,
        Proxy(port) as proxy,
        closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)) as client,
    ):
        proxy.watch_http()
        before = put(client, 100_000)
        proxy.answer(503, times=2)
        answers = [put(client, 100_000) for _ in range(3)]

    assert before == (200, b"100000")
    assert answers == [(503, b""), (503, b""), (200, b"100000")]
    assert proxy.requests == ["PUT /o HTTP/1.1"] * 4


def test_it_carries_ssh(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    host = start_sshd()
    with Proxy(host.port, buffers=4096) as proxy:
        options = ["-o", f"HostKeyAlias=[127.0.0.1]:{host.port}", "-p", str(proxy.port)]
        said = attempt(
            ["ssh", "-F", host.config_for(tmp_path), *options, "far", "head -c 300000 /dev/zero"]
        )

    assert len(said.stdout) == 300_000, said.stderr
