"""The test bed's SSH side: who logs in sees the engine's host, and nothing is left of it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testbed import leaks
from tests.testbed.command import attempt
from tests.testbed.engine import Engine
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd

Ssh = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def ssh(tmp_path: Path) -> Ssh:
    """OpenSSH's client: ssh(host, "words", "of", "a command")."""

    def ssh(host: Sshd, *words: str, name: str = "far") -> subprocess.CompletedProcess[bytes]:
        config = tmp_path / ".ssh" / "config"
        if not config.exists():
            host.config_for(tmp_path)
        return attempt(["ssh", "-F", config, "-o", "BatchMode=yes", name, *words], timeout_s=30)

    return ssh


def test_who_logs_in_reaches_the_engine_but_is_not_root(
    every_engine: Engine, ssh_host: Sshd, ssh: Ssh
) -> None:
    there = ssh(ssh_host, "id -un; docker info --format '{{.ID}}'; hash tar zstd find && pwd")

    name, engine, home = there.stdout.decode().split()

    assert name == "voltar"
    assert engine == every_engine.docker("info", "--format", "{{.ID}}")
    assert home == str(ssh_host.far.home)


def test_a_fifo_that_a_session_makes_leads_out_of_a_container(
    every_engine: Engine, ssh_host: Sshd, ssh: Ssh, image: str
) -> None:
    script = f"""
        d=$(mktemp -d); mkfifo -m 666 $d/f; chmod 755 $d
        docker run --rm -v $d:/x {image} sh -c 'echo out >/x/f' & cat $d/f; wait; rm -r $d
    """

    said = ssh(ssh_host, script)

    assert said.stdout == b"out\n", said.stderr
    assert leaks.on_far_host(ssh_host) == []
    assert every_engine.docker("ps", "--quiet") == ""


def test_this_machine_is_unchanged_and_is_served_with_other_accounts(
    start_sshd: Callable[..., Sshd], ssh: Ssh
) -> None:
    before = Path("/etc/passwd").read_bytes()
    host = start_sshd(account=Account(name="other", bashrc="echo noise"), banner="BANNER\n")

    said = ssh(host, "id -un")

    assert said.stdout == b"noise\nother\n"
    assert b"BANNER" in said.stderr
    assert Path("/etc/passwd").read_bytes() == before


def test_a_command_can_be_missing(start_sshd: Callable[..., Sshd], ssh: Ssh) -> None:
    host = start_sshd(account=Account(without=("docker", "zstd")))

    said = ssh(host, "ls -d /; docker version")

    assert said.returncode == 127
    assert said.stdout == b"/\n"


def test_an_account_outside_the_group_may_not_use_the_engine(
    engine: Engine, start_sshd: Callable[..., Sshd], ssh: Ssh
) -> None:
    host = start_sshd(engine, Account(docker=False))

    said = ssh(host, "docker version")

    assert said.returncode == 1
    assert b"permission denied" in said.stderr.lower()


def test_an_sftp_session_can_be_confined(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    host = start_sshd(options=["ForceCommand internal-sftp", "ChrootDirectory /srv"])
    (host.far.srv / "file").write_text("inside")
    config = host.config_for(tmp_path)

    listed = attempt(["sftp", "-F", config, "-b", "-", "far"], stdin=b"ls /\n")

    assert listed.stdout.split()[-1] == b"/file", listed.stderr


def test_a_password_opens_the_account_that_has_one(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    host = start_sshd(account=Account(password="let me in"))
    config = host.config_for(tmp_path, more=["PubkeyAuthentication no"])
    (tmp_path / "ask").write_text("#!/bin/sh\necho let me in\n")
    (tmp_path / "ask").chmod(0o755)
    asking = {"SSH_ASKPASS": str(tmp_path / "ask"), "SSH_ASKPASS_REQUIRE": "force"}

    said = attempt(["ssh", "-F", config, "far", "id -un"], env=os.environ | asking, timeout_s=30)

    assert said.stdout == b"voltar\n", said.stderr


def test_one_server_is_reached_through_another(
    engine: Engine, ssh_host: Sshd, start_sshd: Callable[..., Sshd], ssh: Ssh, tmp_path: Path
) -> None:
    jump = start_sshd()
    jump.config_for(tmp_path, "jump")
    ssh_host.config_for(tmp_path, "behind", ["ProxyJump jump"])

    said = ssh(ssh_host, "docker info --format '{{.ID}}'", name="behind")

    assert said.stdout.decode().strip() == engine.docker("info", "--format", "{{.ID}}")
    assert "Accepted publickey" in jump.log


def test_a_killed_session_ends_the_client(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    host = start_sshd()
    with subprocess.Popen(
        ["ssh", "-F", host.config_for(tmp_path), "far", "echo up; exec sleep 1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        assert client.stdout
        client.stdout.readline()
        host.kill_sessions()
        client.communicate(timeout=20)

    assert client.returncode == 255


def test_a_frozen_session_is_noticed_only_by_asking_and_goes_on_when_thawed(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    host = start_sshd()
    config = host.config_for(tmp_path)
    with subprocess.Popen(
        ["ssh", "-F", config, "far", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdin
        assert client.stdout
        client.stdin.write(b"one\n")
        client.stdin.flush()
        first = client.stdout.readline()
        host.freeze()
        asked = attempt(
            ["ssh", "-F", config, "-o", "ConnectTimeout=3", "far", "true"], timeout_s=20
        )
        client.stdin.write(b"two\n")
        client.stdin.flush()
        host.thaw()
        second = client.stdout.readline()

    assert asked.returncode == 0  # another connection has another sshd
    assert (first, second) == (b"one\n", b"two\n")


def test_a_changed_host_key_is_seen_by_the_client(
    start_sshd: Callable[..., Sshd], ssh: Ssh, tmp_path: Path
) -> None:
    host = start_sshd()
    host.config_for(tmp_path)
    before = host.fingerprint

    host.change_host_key()

    said = ssh(host, "true")
    assert said.returncode == 255
    assert b"IDENTIFICATION HAS CHANGED" in said.stderr
    assert host.fingerprint != before


def test_a_closed_server_leaves_nothing(run_directory: Path, tmp_path: Path) -> None:
    with Sshd(run_directory) as host:
        directory = host.directory
        with subprocess.Popen(
            ["ssh", "-F", host.config_for(tmp_path), "far", "echo up; exec sleep 1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as client:
            assert client.stdout
            client.stdout.readline()
            running = leaks.on_far_host(host)
            host.close()

    assert len(running) == 1
    assert not directory.exists()
    assert leaks.naming(directory) == []
