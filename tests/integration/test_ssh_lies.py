"""An SSH server that lies, and a wire that spoils what it carries: an error in a sentence."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testbed.sshd import Sshd
from transports.errors import ConnectionLost, TransportError
from transports.ssh import Options, open_link


def packet(payload: bytes) -> bytes:
    padding = 4 + -(len(payload) + 9) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def texts(*each: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(text)) + text for text in each)


LIES = {
    "a packet of 4 GB": (struct.pack(">I", 0xFFFFFFF4) + bytes(1 << 16), "4294967280 bytes"),
    "an empty packet": (packet(b""), "no sense"),
    "algorithms that are no text": (packet(b"\x14" + bytes(16) + texts(*[b"\xff\xfe"] * 10)), "no"),
    "a reason that is no text": (packet(b"\1" + struct.pack(">I", 2) + texts(b"\xff\xff")), "no"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_makes_no_sense_is_told_at_once(lie: str, tmp_path: Path) -> None:
    told, said = LIES[lie]
    config = tmp_path / "config"
    config.touch()
    with answering(b"SSH-2.0-liar\r\n" + told) as port:
        began = time.monotonic()

        with pytest.raises(ConnectionLost, match=f"no SSH connection to ssh://\\S+: .*{said}"):
            open_link(f"ssh://somebody@127.0.0.1:{port}", Options(config=config))

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("at", [5, 30, 60, 600, 1100, 1500, 2200, 2500, 3000, 4000, 8000])
def test_a_byte_that_is_spoilt_on_the_way_is_an_error(
    at: int, sftp_server: Sshd, tmp_path: Path
) -> None:
    with spoiling(sftp_server.port, at) as port:
        config = sftp_server.config_for(tmp_path, port=port, more=["ConnectTimeout 2"])

        with pytest.raises(TransportError, match=r"127\.0\.0\.1|far"):
            work(config)


def work(config: Path) -> None:
    link = open_link("ssh://far", Options(config=config))
    try:
        link.run(["cat"], stdin=bytes(20_000))
    finally:
        link.close()


@contextlib.contextmanager
def answering(data: bytes) -> Iterator[int]:
    """A port where whoever comes is told this, and is then listened to."""

    def serve(client: socket.socket) -> None:
        client.sendall(data)
        while client.recv(1 << 16):
            continue

    with listening(serve) as port:
        yield port


@contextlib.contextmanager
def spoiling(target: int, at: int) -> Iterator[int]:
    """A port that leads to another one, and spoils one byte of what comes back."""

    def serve(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", target)) as server:
            up = threading.Thread(target=carry, args=(client, server), daemon=True)
            up.start()
            left = at
            while data := bytearray(server.recv(1 << 16)):
                if 0 <= left < len(data):
                    data[left] ^= 0x40
                left -= len(data)
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            up.join(5)

    with listening(serve) as port:
        yield port


def carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where one client is served."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    serve(client)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
