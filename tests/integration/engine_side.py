"""What the tests of backup.engine share: connections, processes of a container, waiting."""

import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from backup.engine import Engine, connect
from tests.testbed import engine as testbed
from tests.testbed.command import located
from tests.testbed.sshd import Sshd
from transports.ssh import Options

T = TypeVar("T")
PLANES = ("fifo", "attach")
FAR = tuple(pytest.param(way, marks=pytest.mark.private) for way in ("ssh", "ssh-zstd"))
WAYS = (*PLANES, *FAR)
TAR = ("tar", "-C", "/v", "-b", "2048", "-cf", "-", ".")
UNTAR = ("tar", "-C", "/v", "-xpf", "-")


@contextmanager
def connected(bed: testbed.Engine, plane: str | None = None, **environ: str) -> Iterator[Engine]:
    """A connection to an engine of the test bed, with a data plane forced or found out."""
    forced = {"VOLTAR_DATA_PLANE": plane} if plane else {}
    with connect(bed.url, environ=forced | environ) as engine:
        yield engine


@contextmanager
def by_way(bed: testbed.Engine, way: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A connection to an engine by one of WAYS: a data plane, or a FIFO behind an sshd."""
    if way in PLANES:
        with connected(bed, way) as engine:
            yield engine
        return
    hosts: dict[str, Sshd] = request.getfixturevalue("ssh_hosts")
    directory: Path = request.getfixturevalue("run_directory")
    if bed.kind not in hosts:
        hosts[bed.kind] = Sshd(directory, bed)
    wish = "always" if way == "ssh-zstd" else "never"
    with (
        tempfile.TemporaryDirectory(dir=directory) as home,
        reached_by_ssh(hosts[bed.kind], Path(home), VOLTAR_SSH_COMPRESSION=wish) as engine,
    ):
        yield engine


@contextmanager
def reached_by_ssh(
    host: Sshd, home: Path, *, binary: bool = False, **environ: str
) -> Iterator[Engine]:
    """A connection to the engine on a far host; `home` gets what a client of its sshd needs."""
    config = host.config_for(home)
    options = Options(binary=ssh_binary() if binary else None, config=config)
    with connect(host.url, environ=environ, ssh=options) as engine:
        yield engine


def ssh_binary() -> str:
    """Where OpenSSH's client is."""
    found = located("ssh")
    assert found is not None
    return str(found)


def helpers(bed: testbed.Engine, *states: str) -> list[str]:
    """The ids of helper containers on an engine, in these states or in any."""
    filters = [word for state in states for word in ("--filter", f"status={state}")]
    listed = bed.docker(
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        "label=voltar.helper",
        *filters,
        "--format",
        "{{.ID}}",
    )
    return listed.split()


def processes(container_id: str, command: str) -> list[int]:
    """The pids, on this machine, of a container's processes of that name."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (directory / "comm").read_text().strip() == command and container_id in (
                directory / "cgroup"
            ).read_text():
                found.append(int(directory.name))
    return found


def awaited(look: Callable[[], T], *, within_s: float = 20) -> T:
    """Poll until `look` finds something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def endless(size: int = 1 << 16) -> Iterator[bytes]:
    """A tar archive whose only file never ends: what writes it is never done."""
    head = tarfile.TarInfo("endless")
    head.size = 1 << 40
    yield head.tobuf(tarfile.GNU_FORMAT)
    while True:
        yield bytes(size)
