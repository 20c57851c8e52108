"""A container moves over SSH, also when the link is cut, falls silent, or the run is killed."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.cli import until
from tests.acceptance.far import typed
from tests.acceptance.files import fill
from tests.acceptance.migration import PAIRS, Pair, Service, begun
from tests.testbed import leaks
from tests.testbed.engine import Pool
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd

pytestmark = pytest.mark.private
LIVELY = ["ServerAliveInterval 1", "ServerAliveCountMax 3"]
LARGE = 6 << 20


class Remote(Pair):
    """A pair of which one engine or both are behind a server, and that behind a proxy."""

    def __init__(self, source: Scratch, target: Scratch, home: Path, far: str) -> None:
        super().__init__(source, target, home)
        self.hosts: dict[str, Sshd] = {}
        self.proxies: dict[str, Proxy] = {}
        self.far = far
        self.urls = {"source": source.engine.url, "target": target.engine.url}

    def open(self, stack: ExitStack, run_directory: Path) -> None:
        for side in ("source", "target") if self.far == "both" else (self.far,):
            engine = (self.source if side == "source" else self.target).engine
            host = self.hosts[side] = stack.enter_context(Sshd(run_directory, engine))
            proxy = self.proxies[side] = stack.enter_context(Proxy(host.port))
            host.config_for(self.voltar.home, side, LIVELY, port=proxy.port)
            self.urls[side] = f"ssh://{host.user}@127.0.0.1:{proxy.port}"
        self.voltar = self.voltar.changed(url=self.urls["source"])

    @property
    def to(self) -> tuple[str, str]:
        return "--to", self.urls["target"]

    def leaves_nothing(self) -> bool:
        """What was just cut off may need a moment to notice."""
        deadline = time.monotonic() + 15
        while (left := self._ours()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []
        return True

    def _ours(self) -> list[str]:
        engines = (self.source.engine, self.target.engine)
        left = [line for engine in engines for line in leaks.on_engine(engine)]
        return left + [line for host in self.hosts.values() for line in leaks.on_far_host(host)]


@pytest.fixture
def remote(
    pool: Pool, run_directory: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Remote]:
    source, target = map(pool.engine, PAIRS[0])
    with ExitStack() as stack, Scratch(source) as first, Scratch(target) as second:
        made = Remote(first, second, tmp_path, request.param)
        made.open(stack, run_directory)
        yield made


@pytest.fixture
def service(remote: Remote) -> Iterator[Service]:
    made = Service(remote)
    large = remote.source.engine.volume_directory(made.volume)
    fill(large, {"large": os.urandom(LARGE)})
    made.content = remote.content(remote.source, made.volume)
    yield made
    made.remove()


ways = pytest.mark.parametrize("remote", ["source", "target", "both"], indirect=True)
both = pytest.mark.parametrize("remote", ["both"], indirect=True)


@ways
def test_a_container_moves_over_ssh_and_back(remote: Remote, service: Service) -> None:
    moved = remote.voltar("--json", "migrate", service.target, *remote.to).summary

    assert service.has_moved()
    assert (moved["source"], moved["target"]) == (remote.urls["source"], remote.urls["target"])
    assert remote.leaves_nothing()

    remote.voltar("migrate", "rollback", service.target)

    assert not remote.inspect(remote.target, service.name)["State"]["Running"]
    assert remote.inspect(remote.source, service.name)["State"]["Running"]


@both
def test_hosts_are_named_as_in_ssh_config_each_with_a_pin_of_its_own(
    remote: Remote, service: Service, start_sshd: Callable[..., Sshd]
) -> None:
    jump = start_sshd()
    ssh = remote.voltar.home / ".ssh"
    (ssh / "known_hosts").write_text("")
    jump.config_for(remote.voltar.home, "jump")
    with (ssh / "config").open("a") as config:
        config.write("Host target\n  ProxyJump jump\n")
    voltar = remote.voltar.changed(url="ssh://source")
    pins = [f"--host-key={remote.hosts[side].fingerprint}" for side in ("source", "target")]
    words = ("migrate", service.target, "--to", "ssh://target")

    refused = voltar(pins[0], *words, code=7)

    assert f"the host key of ssh://target is {remote.hosts['target'].fingerprint}" in refused.err
    assert service.is_as_before()
    voltar(*pins, "image", "send", service.image, "--to", "ssh://target")
    back = voltar.changed(url="ssh://target")
    back(*pins, "image", "fetch", service.image, "--from", "ssh://source")
    voltar(*pins, *words)
    assert service.has_moved()
    assert "Accepted publickey" in jump.log
    assert remote.leaves_nothing()


@both
def test_finish_removes_the_source_over_ssh(remote: Remote, service: Service) -> None:
    remote.voltar("migrate", service.target, *remote.to)

    said = remote.voltar("migrate", "finish", service.target).said

    assert f"removed container:{service.name}" in said
    assert service.name not in remote.source.engine.docker("ps", "-a", "--format", "{{.Names}}")
    assert remote.leaves_nothing()


def copying(remote: Remote, service: Service) -> Callable[[], bool]:
    """Tell whether data are on their way. The links are slow, so that it takes a while."""
    for proxy in remote.proxies.values():
        proxy.slow(2 << 20)
    known = set(remote.journals())
    before: list[int] = []

    def on_its_way() -> bool:
        if not any("CopyData" in begun(path) for path in set(remote.journals()) - known):
            return False
        before.append(sum(sum(proxy.carried.values()) for proxy in remote.proxies.values()))
        return before[-1] - before[0] > 1 << 20

    return on_its_way


@both
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_link_that_is_cut_takes_all_of_it_back_over_a_new_one(
    side: str, remote: Remote, service: Service
) -> None:
    on_its_way = copying(remote, service)
    with remote.voltar.start("migrate", service.target, *remote.to) as running:
        until(on_its_way)
        remote.proxies[side].cut_now()
        result = running.end()

    (said,) = (line for line in result.err.splitlines() if line.startswith("error: "))
    assert result.code == 1
    assert "lost" in said or "reset" in said or "closed" in said, said
    assert service.is_as_before()
    assert remote.leaves_nothing()


@both
@pytest.mark.parametrize("side", ["source", "target"])
def test_what_a_host_that_is_gone_kept_from_being_taken_back_is_recovered(
    side: str, remote: Remote, service: Service
) -> None:
    on_its_way = copying(remote, service)
    with remote.voltar.start("migrate", service.target, *remote.to) as running:
        until(on_its_way)
        remote.proxies[side].refuse()
        remote.proxies[side].cut_now()
        result = running.end()
    assert result.code == 1
    assert "voltar recover" in result.err
    source_runs = remote.inspect(remote.source, service.name)["State"]["Running"]
    assert source_runs is (side == "target")
    assert "could not be taken back" in remote.voltar("recover", code=1).err

    remote.proxies[side].accept()
    remote.voltar("recover")

    assert service.is_as_before()
    assert remote.leaves_nothing()


@both
def test_an_interrupt_that_ends_the_ssh_client_as_well_is_taken_back(
    remote: Remote, service: Service
) -> None:
    """A Ctrl-C at a terminal is for all that were started there."""
    program = remote.voltar.home / "ssh"
    program.write_text(f'#!/bin/sh\nexec ssh -F {remote.voltar.home}/.ssh/config "$@"\n')
    program.chmod(0o755)
    words = (f"--ssh-binary={program}", "migrate", service.target, *remote.to)

    ended = typed(
        remote.voltar, *words, answers=lambda text: "\x03" if "copy volume" in text else None
    )

    assert ended.code in (1, 130)  # the lost link may be seen first
    assert service.is_as_before()
    assert remote.leaves_nothing()


@both
def test_kill_nine_over_ssh_is_taken_back(remote: Remote, service: Service) -> None:
    on_its_way = copying(remote, service)
    with remote.voltar.start("migrate", service.target, *remote.to) as running:
        until(on_its_way)
        running.kill()

    assert "taken back" in remote.voltar("recover").said

    assert service.is_as_before()
    assert remote.leaves_nothing()


@both
def test_a_target_that_is_lost_once_it_was_started_does_not_run_beside_the_source(
    remote: Remote, service: Service
) -> None:
    known = set(remote.journals())

    def is_started() -> bool:
        return any("AwaitTarget" in begun(path) for path in set(remote.journals()) - known)

    with remote.voltar.start("migrate", service.target, *remote.to) as running:
        until(is_started)
        remote.proxies["target"].refuse()
        remote.proxies["target"].cut_now()
        result = running.end()

    assert result.code == 1
    assert "the source stays stopped" in result.err
    assert not remote.inspect(remote.source, service.name)["State"]["Running"]

    remote.proxies["target"].accept()

    assert "is moved now" in remote.voltar("recover").said
    assert service.has_moved()
    assert remote.leaves_nothing()


@both
def test_a_target_that_is_gone_for_good_is_given_up(remote: Remote, service: Service) -> None:
    known = set(remote.journals())
    with remote.voltar.start("migrate", service.target, *remote.to) as running:
        until(lambda: any("AwaitTarget" in begun(one) for one in set(remote.journals()) - known))
        remote.proxies["target"].refuse()
        running.kill()
    remote.voltar("recover", code=1)
    remote.voltar("migrate", "rollback", service.target, code=2)

    remote.voltar("migrate", "rollback", service.target, "--without-target")

    found = remote.inspect(remote.source, service.name)
    assert found["State"]["Running"]
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert remote.voltar.ask("migrate", "list")[0]["state"] == "rolled back"
