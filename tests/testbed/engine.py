"""An engine as a test sees it, and the pool of those that were started.

pool = Pool(run)                        nothing is started yet
engine = pool.engine("20.10")           started when first asked for, kept until the pool is closed
engine.docker("volume", "create", "v")  the docker command against it
engine.client                           a plain docker.DockerClient
other = pool.start("28.5-classic", shared=False)     one more, for a test that kills or breaks it
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker  # type: ignore[import-untyped]

from tests.testbed import command, debian, workspace
from tests.testbed.command import BedFailure
from tests.testbed.daemon import Daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A release of the engine and the image store that it uses."""

    name: str
    version: str
    suite: str
    containerd_store: bool = False


OWN = "20.10"
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(name=OWN, version="20.10", suite="bookworm"),
        Kind(name="28.5-classic", version="28.5", suite="unstable"),
        Kind(name="28.5-containerd", version="28.5", suite="unstable", containerd_store=True),
    )
}
PACKAGES = (
    *("docker.io", "iptables", "bash", "coreutils", "mount", "util-linux", "base-files"),
    # What a host has on which somebody logs in and uses the engine:
    *("docker-cli", "openssh-server", "dash", "findutils", "grep", "gzip", "libc-bin", "login"),
    *("procps", "sed", "tar", "zstd"),
)


@dataclass(kw_only=True)
class Engine:
    """An engine that answers. `kind` is a name of KINDS, or "given" (VOLTAR_TEST_ENGINE)."""

    kind: str
    url: str
    maybe_daemon: Daemon | None = None

    @property
    def daemon(self) -> Daemon:
        """The process behind it, to kill and start; only of an engine that the test bed started."""
        if self.maybe_daemon is None:
            raise BedFailure("this engine was not started by the test bed: its process is not ours")
        return self.maybe_daemon

    @property
    def data_root(self) -> Path:
        """Where the engine keeps its data, as seen from here."""
        return self.daemon.data_root

    def volume_directory(self, volume: str) -> Path:
        """Where the content of a volume is, as seen from here."""
        return Path(self.client.api.inspect_volume(volume)["Mountpoint"])

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the docker command and voltar talk to this engine."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        return kept | {"DOCKER_HOST": self.url}

    @cached_property
    def client(self) -> docker.DockerClient:
        """A plain docker-py client; closed with the engine."""
        return docker.DockerClient(base_url=self.url, timeout=120)

    def docker(self, *words: str | Path, stdin: bytes = b"") -> str:
        """Run the docker command; what it printed, stripped. BedFailure has its complaint."""
        return self.raw(*words, stdin=stdin).decode().strip()

    def raw(self, *words: str | Path, stdin: bytes = b"") -> bytes:
        """Run the docker command; what it printed, as it came."""
        return command.run([docker_command(), *words], stdin=stdin, env=self.environment)

    def attempt(self, *words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the docker command, which may fail."""
        return command.attempt([docker_command(), *words], stdin=stdin, env=self.environment)

    def stop(self) -> None:
        """Close the client; end an engine of ours and remove its data."""
        if "client" in self.__dict__:
            self.client.close()
        if self.maybe_daemon is not None:
            self.maybe_daemon.remove()


class Pool:
    """The engines of a test run; `close` ends them all."""

    def __init__(self, run: workspace.Run | None, *, given: str | None = None) -> None:
        self._run = run
        self._given = given
        self._kept: dict[str, Engine] = {}
        self.versions: dict[str, str] = {}
        """The release that each kind turned out to be, for the report of the run."""
        self._count = 0

    def engine(self, kind: str = OWN) -> Engine:
        """The engine of that kind that tests share; if one was given, that one."""
        kind = "given" if self._given else kind
        if kind not in self._kept:
            started = reachable(self._given) if self._given else self.start(kind)
            self._kept[kind] = started
            self.versions[kind] = started.docker("version", "--format", "{{.Server.Version}}")
        return self._kept[kind]

    def start(self, kind: str = OWN, *, shared: bool = True) -> Engine:
        """Start one more private engine; whoever asked stops it."""
        wanted = KINDS[kind]
        debian.require_engine_tools()
        assert self._run, "the test session was configured without a run directory"
        root = root_of(wanted)
        self._count += 1
        directory = self._run.directory / str(self._count)
        daemon = Daemon(self._run, directory, root=root, shared=shared)
        daemon.prepare(
            {"features": {"containerd-snapshotter": True}} if wanted.containerd_store else {}
        )
        try:
            daemon.start()
        except BaseException:
            daemon.remove()
            raise
        return Engine(kind=kind, url=f"unix://{daemon.socket}", maybe_daemon=daemon)

    def running(self) -> list[Engine]:
        """The engines that tests share and that were started."""
        return list(self._kept.values())

    def close(self) -> None:
        """Stop every shared engine."""
        while self._kept:
            self._kept.popitem()[1].stop()


def reachable(url: str) -> Engine:
    """The engine behind a URL; BedFailure if it does not answer."""
    engine = Engine(kind="given", url=url)
    asked = engine.attempt("version", "--format", "{{.Server.Version}}")
    if asked.returncode:
        said = asked.stderr.decode(errors="replace").strip()
        raise BedFailure(f"VOLTAR_TEST_ENGINE={url}: no engine answers there: {said}")
    return engine


def root_of(kind: Kind) -> Path | None:
    """Where that release is unpacked (now, if need be); None if this machine has it."""
    own = command.located("dockerd")
    if own and f"version {kind.version}." in command.run([own, "--version"]).decode():
        return None
    return debian.unpack(kind.suite, PACKAGES)


def docker_command() -> Path:
    """The docker command of this machine."""
    found = command.located("docker")
    if found is None:
        raise BedFailure("the docker command is not here")
    return found
