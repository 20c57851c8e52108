"""Servers of the S3 protocol on this machine, as processes that end with this one.

moto's does what Amazon documents; `rclone serve s3`, which calls itself experimental, overwrites
where it was asked not to, and sends whole objects to those who ask for a part.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import boto3  # type: ignore[import-untyped]

from tests.testbed.command import BedFailure

ACCESS_KEY = "AKIDTESTBED"
SECRET_KEY = "not-to-be-shown-7f3a"
STARTS_WITHIN_S = 60


def program(name: str) -> Path:
    """Where a program is that came with the development packages."""
    return Path(sys.executable).with_name(name)


class BucketServer:
    """A server on a free port of 127.0.0.1, from construction to `close`."""

    def __init__(
        self, argv: list[str | Path], port: int, log: Path, certificate: Path | None = None
    ) -> None:
        self.port = port
        self._certificate = certificate
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=os.environ | {"HOME": str(log.parent), "PYTHONWARNINGS": "ignore"},
            )
        self._await()

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self.port}"

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            verify=str(self._certificate) if self._certificate else None,
        )
        with contextlib.closing(client):
            client.create_bucket(Bucket=bucket)

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


def moto(directory: Path, tls: tuple[Path, Path, Path] | None = None) -> BucketServer:
    """Start moto's server; what is in it is in its memory. `tls`: a certificate,
    its key, and the certificate by which it is trusted."""
    port = free_port()
    argv: list[str | Path] = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    if tls:
        argv += ["-c", tls[0], "-k", tls[1]]
    return BucketServer(argv, port, directory / "moto.log", tls and tls[2])


def rclone_s3(directory: Path, port: int | None = None) -> BucketServer:
    """Start `rclone serve s3` on a directory whose directories are the buckets; with the same
    directory and port again, it is the same server."""
    port = port or free_port()
    root = directory / "served"
    root.mkdir(exist_ok=True)
    argv: list[str | Path] = [
        program("rclone"), "--config", "/dev/null", "serve", "s3", root,
        "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}",
    ]  # fmt: skip
    return BucketServer(argv, port, directory / "rclone.log")


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
