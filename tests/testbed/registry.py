"""A real registry (Debian's `docker-registry`) that one engine reaches on its own loopback.

    with Registry(engine, directory) as registry:
        engine.docker("push", f"{registry.address}/name:tag")

It lives in the network namespace of a private engine, so ports are free there and nothing else sees
it. What it holds is in plain files below `directory`, to be looked at or spoilt.
"""

import itertools
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import bcrypt

from tests.testbed import debian
from tests.testbed.command import BedFailure
from tests.testbed.engine import Engine

TOOLS = {"docker-registry": "docker-registry"}
_PORTS = itertools.count(5000)
_LISTENS = "0A"


class Registry:
    """One registry process. `users` maps names to passwords; without any it lets everybody in.

    `host` is an address that the engine's namespace has: 127.0.0.1 is one that engines speak plain
    HTTP to without being told.
    """

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        *,
        users: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        debian.require(TOOLS)
        self.engine = engine
        self.directory = directory
        self.port = next(_PORTS)
        self.address = f"{host}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        http: dict[str, object] = {"addr": self.address}
        if certificate:
            http["tls"] = {"certificate": str(certificate[0]), "key": str(certificate[1])}
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            "http": http,
        }
        if users:
            lines = [f"{name}:{_hashed(word)}\n" for name, word in users.items()]
            (directory / "htpasswd").write_text("".join(lines))
            settings["auth"] = {"htpasswd": {"realm": "r", "path": str(directory / "htpasswd")}}
        (directory / "config.yml").write_text(json.dumps(settings))  # JSON is YAML

    def repository(self, name: str) -> Path:
        """Where what belongs to one repository lies."""
        return self.directory / "data/docker/registry/v2/repositories" / name

    def tagged(self, name: str, tag: str) -> str | None:
        """The digest that a tag has there, or None."""
        link = self.repository(name) / "_manifests/tags" / tag / "current/link"
        return link.read_text() if link.exists() else None

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        hexadecimal = digest.removeprefix("sha256:")
        return (
            self.directory
            / f"data/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        net = Path(f"/proc/{self.engine.daemon.init()}/ns/net")
        argv = ["nsenter", f"--net={net}", "setpriv", "--pdeathsig", "KILL", "docker-registry"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, "serve", self.directory / "config.yml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BedFailure(f"the registry does not come up: {self.log()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; what it holds stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """What it said, requests among it."""
        return (self.directory / "log").read_text(errors="replace")

    def _listens(self) -> bool:
        assert self._process
        sockets = Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in sockets]
        port = f"{self.port:04X}"
        return any(row[1].endswith(f":{port}") and row[3] == _LISTENS for row in rows)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4, prefix=b"2a")).decode()
