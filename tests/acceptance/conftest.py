"""What the acceptance tests share.

voltar      the command on the test's engine (`engine` or `every_engine`), a repository of its own
fresh       fresh("hint"): a name for a volume that does not exist yet, removed after the test
filled      filled({"path": b"content"}): a volume with these files; returns its name
content     content(volume): what the independent walk sees in it
reach       reach(host, more=["ConnectTimeout 2"]): the command on this test's engine through SSH
start_far   start_far(engine, host): the same on an engine of the test's own
own_host    a server on the engine's host for this test alone, to kill and to freeze
own_proxy   a proxy before that server
place       a repository behind a proxy: the test has a parameter `kind`, one of REPOSITORIES
nothing_is_left   after the test, nothing is there that drills made
free_port   a port where nobody listens; silent_port: one where nobody says anything
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from backup.repository import create
from tests.acceptance.cli import PASSWORD, Voltar, started_by
from tests.acceptance.drilling import left
from tests.acceptance.far import Far
from tests.acceptance.files import fill
from tests.acceptance.places import REPOSITORIES, Place, put_there
from tests.acceptance.starter import Starter
from tests.saved import derive_cheaply
from tests.testbed import leaks, walk
from tests.testbed.engine import Engine, Pool
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd
from transports.store.file import FileStore


@pytest.fixture(scope="session", autouse=True)
def starter(pool: Pool) -> Iterator[Starter]:
    """What starts the command without loading it; none of its commands may be left running."""
    with Starter() as starter, started_by(starter):
        yield starter
        left = leaks.processes(starter.pid)
    assert not left, "the tests left commands running"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encrypted repository without snapshots, to be copied.

    The way from its password to its key is short, which is a third of the time that a command
    takes; what `init` makes is opened where that is what a test is about.
    """
    directory = tmp_path_factory.mktemp("made") / "repository"
    with pytest.MonkeyPatch.context() as monkeypatch:
        derive_cheaply(monkeypatch)
        create(FileStore(directory), PASSWORD)
    return directory


@pytest.fixture
def bed(request: pytest.FixtureRequest) -> Engine:
    """The engine of this test."""
    name = "every_engine" if "every_engine" in request.fixturenames else "engine"
    found: Engine = request.getfixturevalue(name)
    return found


@pytest.fixture
def voltar(bed: Engine, made: Path, tmp_path: Path) -> Voltar:
    """The command with an engine, an empty encrypted repository and a home of its own."""
    return on(bed, made, tmp_path)


def on(engine: Engine, made: Path, directory: Path) -> Voltar:
    """The command on an engine, with what it needs in a directory."""
    (directory / "home").mkdir()
    shutil.copytree(made, directory / "repository", copy_function=shutil.copy2)
    return Voltar(url=engine.url, repository=directory / "repository", home=directory / "home")


@pytest.fixture
def fresh(scratch: Scratch) -> Callable[..., str]:
    """Names of volumes that do not exist yet."""

    def fresh(hint: str = "restored") -> str:
        name = scratch.name(hint)
        scratch.claim(volumes=[name])
        return name

    return fresh


@pytest.fixture
def filled(scratch: Scratch) -> Callable[..., str]:
    """Make a volume with these files."""

    def filled(files: Mapping[str, bytes] | None = None, *options: str) -> str:
        volume = scratch.volume(*options)
        fill(scratch.engine.volume_directory(volume), files or {"file": b"content\n"})
        return volume

    return filled


@pytest.fixture
def content(scratch: Scratch) -> Callable[[str], dict[bytes, Any]]:
    """See what is in a volume."""

    def content(volume: str) -> dict[bytes, Any]:
        return dict(walk.snapshot(os.fsencode(scratch.engine.volume_directory(volume))))

    return content


@pytest.fixture
def start_far(made: Path, tmp_path: Path) -> Iterator[Callable[..., Far]]:
    """Reach an engine through a server; what the test made there is removed after it."""
    begun: list[Scratch] = []

    def start_far(
        engine: Engine,
        host: Sshd,
        more: Sequence[str] = (),
        *,
        known: bool = True,
        proxy: Proxy | None = None,
        by_name: bool = False,
    ) -> Far:
        begun.append(Scratch(engine))
        (tmp_path / "temporary").mkdir()
        port = proxy.port if proxy else host.port
        url = "ssh://far" if by_name else f"ssh://{host.user}@127.0.0.1:{port}"
        voltar = on(engine, made, tmp_path).changed(
            url=url, more={"TMPDIR": str(tmp_path / "temporary")}
        )
        host.config_for(voltar.home, "far", more, known=known, port=port)
        return Far(engine=engine, host=host, voltar=voltar, scratch=begun[-1], proxy=proxy)

    yield start_far
    for scratch in begun:
        with scratch:
            """Leaving it removes things."""


@pytest.fixture
def reach(bed: Engine, start_far: Callable[..., Far]) -> Callable[..., Far]:
    """Reach this test's engine through a server."""

    def reach(host: Sshd, **more: Any) -> Far:
        return start_far(bed, host, **more)

    return reach


@pytest.fixture
def place(kind: str, made: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The command with an empty repository behind a proxy; no engine is needed."""
    (home := tmp_path / "home").mkdir()
    alone = Voltar(url="unix:///nonexistent", repository=None, home=home)
    server = request.getfixturevalue("sftp_server" if kind == "sftp" else "moto")
    with Proxy(server.port) as proxy:
        voltar = REPOSITORIES[kind](alone, server, proxy, tmp_path)
        put_there(made, voltar)
        yield Place(kind, voltar, proxy)


@pytest.fixture
def nothing_is_left(bed: Engine) -> Iterator[None]:
    """Whatever a drill came to, nothing of it is there afterwards."""
    yield
    assert left(bed) == []


@pytest.fixture
def own_host(bed: Engine, start_sshd: Callable[..., Sshd]) -> Sshd:
    """A server on the engine's host that only this test uses."""
    return start_sshd(bed)


@pytest.fixture
def own_proxy(own_host: Sshd) -> Iterator[Proxy]:
    """A proxy before that server."""
    with Proxy(own_host.port) as proxy:
        yield proxy


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port where nobody listens, and that nobody else gets."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
