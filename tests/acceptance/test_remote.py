"""Engines on other hosts, by SSH: the same backups, and nothing left behind whatever breaks."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance import zoo
from tests.acceptance.cli import Voltar, until
from tests.testbed import debian, leaks
from tests.testbed.command import run
from tests.testbed.engine import Engine
from tests.testbed.farhost import Account
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd
from tests.testbed.walk import diff, snapshot

Fresh = Callable[..., str]
BOOT = "/proc/sys/kernel/random/boot_id"
ALIVE = ("ServerAliveInterval 1", "ServerAliveCountMax 2")


def from_afar(voltar: Voltar, host: Sshd, *more: str) -> Voltar:
    """The command on a machine that reaches the engine by SSH only."""
    host.config_for(voltar.home, more=more)
    return voltar.changed(url=host.url)


@pytest.fixture
def remote(voltar: Voltar, ssh_host: Sshd) -> Voltar:
    """The command, with an engine behind an sshd whose user is not root."""
    return from_afar(voltar, ssh_host)


@pytest.fixture
def big(scratch: Scratch) -> str:
    """A volume that takes seconds to back up over SSH."""
    volume = scratch.volume()
    with (scratch.engine.volume_directory(volume) / "noise").open("wb") as file:
        for _ in range(250):
            file.write(os.urandom(1 << 20))
    return volume


def at_work(engine: Engine) -> bool:
    """Whether a tar runs in a helper."""
    running = engine.docker("ps", "--quiet", "--filter", f"label={leaks.HELPER}").split()
    return any("tar" in engine.docker("top", one) for one in running)


def assert_nothing_left(engine: Engine, host: Sshd) -> None:
    until(lambda: not leaks.on_engine(engine), what="the removal of helpers")
    until(lambda: not leaks.on_far_host(host), what="the end of all on the far host")


def snapshots(voltar: Voltar) -> list[object]:
    found: list[object] = voltar.ask("snapshots")
    return found


def test_every_hard_case_comes_back(
    remote: Voltar, every_engine: Engine, scratch: Scratch, ssh_host: Sshd, fresh: Fresh
) -> None:
    wish = "never" if every_engine.kind == "28.5-classic" else "always"
    voltar = remote.changed(more={"VOLTAR_SSH_COMPRESSION": wish})
    volume, restored = scratch.volume(), fresh()
    directory = every_engine.volume_directory(volume)
    zoo.build(os.fsencode(directory))

    voltar("backup", f"volume:{volume}")
    (directory / "one-more").write_bytes(b"new")

    def compared() -> bool:
        """Time stamps as young as the first backup are not trusted yet."""
        events = voltar("--json", "backup", f"volume:{volume}").events
        counts = next(event for event in events if event["type"] == "snapshot")
        return bool(counts["unchanged"] > 0.9 * counts["entries"])

    until(compared, what="a backup that reads only what is new")
    voltar("restore", f"volume:{volume}", "--to", restored, "--verify=full")

    before = snapshot(directory)
    assert before.pop(b"sockets/server.sock").kind == "socket"
    assert diff(before, snapshot(every_engine.volume_directory(restored))) == []
    assert_nothing_left(every_engine, ssh_host)


def test_a_docker_context_may_lead_over_ssh(
    remote: Voltar, filled: Callable[..., str], ssh_host: Sshd
) -> None:
    volume = filled()
    meta = remote.home / ".docker/contexts/meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": ssh_host.url}}
    (meta / "meta.json").write_text(json.dumps({"Name": "far", "Endpoints": endpoints}))

    remote.changed(url="", more={"DOCKER_CONTEXT": "far"})("backup", f"volume:{volume}")

    assert len(snapshots(remote)) == 1


def test_a_host_may_be_named_as_in_ssh_config(remote: Voltar, filled: Callable[..., str]) -> None:
    volume = filled()

    remote.changed(url="unix:///nonesuch")("--host", "ssh://far", "backup", f"volume:{volume}")

    assert len(snapshots(remote)) == 1


def test_the_doctor_names_the_way_of_the_data(remote: Voltar) -> None:
    findings = {one["subject"]: one for one in remote.ask("doctor")}

    assert findings["data plane"]["state"] == "ok"
    assert "fifo: the engine shares" in findings["data plane"]["text"]
    assert remote.url in findings["engine"]["text"]


def test_one_connection_carries_the_api_and_all_data(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    filled: Callable[..., str],
    fresh: Fresh,
) -> None:
    host = start_sshd(engine)
    remote = from_afar(voltar, host)
    volumes = [filled({"noise": os.urandom(1 << 20)}) for _ in range(2)]

    remote("backup", *(f"volume:{volume}" for volume in volumes))
    assert host.log.count("Accepted publickey for") == 1

    remote("restore", f"volume:{volumes[0]}", "--to", fresh())
    assert host.log.count("Accepted publickey for") == 2


def test_what_crosses_a_slow_link_to_another_machine_is_compressed(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    filled: Callable[..., str],
    fresh: Fresh,
    content: Callable[[str], object],
) -> None:
    """Nobody asked for it: the host has another kernel, as it says, and the link is measured."""
    host = start_sshd(engine)
    (host.directory / "boot").write_text("00000000-0000-0000-0000-000000000000\n")
    run(host.far.argv("mount", "--bind", host.directory / "boot", BOOT))
    volume, restored = filled({"text": b"much the same\n" * 400_000}), fresh()
    size = 14 * 400_000
    with Proxy(host.port) as proxy:
        proxy.slow(4 << 20)
        host.config_for(voltar.home, port=proxy.port)
        remote = voltar.changed(url=f"ssh://{host.user}@127.0.0.1:{proxy.port}")

        told = {one["subject"]: one["text"] for one in remote.ask("doctor")}
        before = proxy.carried["client"]
        remote("backup", f"volume:{volume}")
        down, before = proxy.carried["client"] - before, proxy.carried["server"]
        remote("restore", f"volume:{volume}", "--to", restored)
        up = proxy.carried["server"] - before

    assert "MB/s, zstd -3" in told["data plane"]
    assert down < size / 3
    assert up < size / 3
    assert content(restored) == content(volume)


def test_without_a_docker_command_the_socket_serves(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    filled: Callable[..., str],
) -> None:
    debian.require({"socat": "socat"})
    host = start_sshd(engine, Account(without=("docker",)))

    from_afar(voltar, host)("backup", f"volume:{filled()}")

    assert_nothing_left(engine, host)


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (Account(without=("docker", "socat", "nc", "ncat")), "no docker command"),
        (Account(docker=False), "permission denied"),
    ],
    ids=["no docker", "not allowed"],
)
def test_what_the_far_account_lacks_is_said(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    account: Account,
    said: str,
) -> None:
    host = start_sshd(engine, account)

    failed = from_afar(voltar, host)("--json", "backup", "--all", code=1)

    assert said in failed.error["message"]
    assert host.url in failed.error["message"]
    assert failed.error["hint"]


def test_another_host_key_than_the_one_that_is_named_is_refused(remote: Voltar) -> None:
    wrong = f"SHA256:{'A' * 43}"

    failed = remote("--json", "--host-key", wrong, "backup", "--all", code=7)

    assert "cannot reach the Docker engine" in failed.error["message"]
    assert "key" in failed.error["message"]


@pytest.mark.parametrize("words", [("--host-key", "nonsense"), ("--ssh-binary=/nonesuch",)])
def test_impossible_wishes_are_a_wrong_command_line(remote: Voltar, words: tuple[str]) -> None:
    remote(*words, "doctor", code=2)
    remote(*words, "backup", "--all", code=2)


def test_a_killed_voltar_leaves_nothing_once_the_next_has_run(
    remote: Voltar, engine: Engine, ssh_host: Sshd, big: str, filled: Callable[..., str]
) -> None:
    with remote.start("backup", f"volume:{big}") as running:
        until(lambda: at_work(engine))
        running.kill()
    until(lambda: not leaks.on_far_host(ssh_host), what="the end of all on the far host")

    remote("backup", f"volume:{filled()}")

    assert_nothing_left(engine, ssh_host)
    assert len(snapshots(remote)) == 1


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_lost_link_is_one_sentence_and_no_snapshot(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    big: str,
    filled: Callable[..., str],
    how: str,
) -> None:
    host = start_sshd(engine)
    remote = from_afar(voltar, host, *ALIVE)

    with remote.start("--json", "backup", f"volume:{big}") as running:
        until(lambda: at_work(engine))
        if how == "killed":
            host.kill_sessions()
        else:
            host.freeze()
        failed = running.end(within_s=40)
    host.thaw()

    assert failed.code == 1
    assert host.url in failed.said
    assert snapshots(remote) == []
    until(lambda: not leaks.on_far_host(host), what="the end of all on the far host")
    remote("backup", f"volume:{filled()}")
    assert_nothing_left(engine, host)


@pytest.fixture
def small(engine: Engine, run_directory: Path) -> Iterator[Path]:
    """A directory of the engine's host that has room for next to nothing."""
    path = engine.daemon.directory / "small"
    path.mkdir(exist_ok=True)
    mounted = engine.daemon.inside(
        "mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", str(path)
    )
    assert mounted.returncode == 0, mounted.stderr
    yield path
    engine.daemon.inside("umount", "--lazy", str(path))


def test_a_full_disk_on_the_far_side_is_said(
    voltar: Voltar,
    engine: Engine,
    start_sshd: Callable[..., Sshd],
    filled: Callable[..., str],
    small: Path,
) -> None:
    volume = filled({f"{n:04}-{'x' * 100}": b"" for n in range(1500)})
    environment = f"TMPDIR={small} PATH=/usr/bin:/bin DOCKER_HOST=unix://{engine.daemon.socket}"
    host = start_sshd(engine, options=[f"SetEnv {environment}"])

    failed = from_afar(voltar, host)("--json", "backup", f"volume:{volume}", code=1)

    assert "No space left on device" in failed.said
    assert host.url in failed.said
    assert snapshots(voltar) == []
    assert_nothing_left(engine, host)
