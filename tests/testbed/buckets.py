"""Servers of the S3 protocol on this machine, as processes that end with this one.

moto's does what Amazon documents; `rclone serve s3`, which calls itself experimental, overwrites
where it was asked not to, and sends whole objects to those who ask for a part.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.testbed.command import BedFailure

ACCESS_KEY = "AKIDTESTBED"
SECRET_KEY = "not-to-be-shown-7f3a"
STARTS_WITHIN_S = 60


def program(name: str) -> Path:
    """Where a program is that came with the development packages."""
    return Path(sys.executable).with_name(name)


def without_aws(**more: str) -> dict[str, str]:
    """This process's environment without what S3 clients would read of it, and with `more`."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return mine | more


class BucketServer:
    """A server on a free port of 127.0.0.1, from construction to `close`."""

    def __init__(self, argv: list[str | Path], port: int, log: Path, make: Callable[[str], None]):
        """`make` makes a bucket of a name."""
        self.port = port
        self.log = log
        self.make = make
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=without_aws(HOME=str(log.parent), PYTHONWARNINGS="ignore"),
            )
        self._await()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "BucketServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _await(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise BedFailure(f"no S3 server: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)


def moto(directory: Path) -> BucketServer:
    """Start moto's server; what is in it is in its memory."""
    port = free_port()

    def make(name: str) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, 30)) as connection:
            connection.request("PUT", f"/{name}")
            if (status := connection.getresponse().status) != 200:
                raise BedFailure(f"moto made no bucket: {status}")

    argv: list[str | Path] = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return BucketServer(argv, port, directory / "moto.log", make)


def rclone_s3(directory: Path) -> BucketServer:
    """Start `rclone serve s3` on a directory whose directories are the buckets."""
    port = free_port()
    root = directory / "served"
    root.mkdir()
    argv: list[str | Path] = [
        program("rclone"), "--config", "/dev/null", "serve", "s3", root,
        "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}",
        "--dir-cache-time", "0s",  # buckets are made behind its back
    ]  # fmt: skip
    return BucketServer(argv, port, directory / "rclone.log", lambda name: (root / name).mkdir())


def free_port() -> int:
    """A port that nothing listens on, a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
