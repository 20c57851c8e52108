"""A client's side of SSH, for tests of links: a home with its files, and both kinds of link."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.testbed.sshd import Sshd
from transports.ssh import Link, Options, open_link


@dataclass(slots=True)
class Client:
    """Opens links to hosts that it was told about; `kind` is "paramiko" or "binary"."""

    home: Path
    kind: str
    options: Options = field(default_factory=Options)
    links: list[Link] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.home / ".ssh" / "config"

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    def knows(self, host: Sshd, name: str = "far", more: Sequence[str] = (), **told: bool) -> None:
        host.config_for(self.home, name, more, **told)

    def open(self, url: str = "ssh://far", **more: object) -> Link:
        binary = "ssh" if self.kind == "binary" else None
        told = replace(self.options, config=self.config, binary=binary, **more)  # type: ignore[arg-type]
        self.links.append(open_link(url, told))
        return self.links[-1]

    def close(self) -> None:
        for link in self.links:
            link.close()


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[str]:
    """An agent that holds keys; the path of its socket."""
    path = directory / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
        for key in keys:
            environment = os.environ | {"SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", key], env=environment, check=True)
        yield str(path)
    finally:
        process.terminate()
        process.wait()
