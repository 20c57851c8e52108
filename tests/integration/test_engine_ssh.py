"""An engine behind a real sshd: the helper image of its host's tools, and what is swept there."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.engine import Access, Attached, helper, tools
from backup.engine.far import PREFIX
from backup.engine.machine import HERE, Machine
from tests.integration.engine_side import awaited, reached_by_ssh
from tests.testbed import engine as testbed
from tests.testbed import leaks
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd


def test_a_helper_is_made_of_the_far_hosts_tools_where_ours_do_not_do(
    start_engine: Callable[..., testbed.Engine],
    start_sshd: Callable[..., Sshd],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bed = start_engine("28.5-classic")  # another release of Debian: its tools are not ours
    host = start_sshd(bed)
    gathered: list[str] = []
    gather = tools.gather

    def watched(machine: Machine) -> tools.Toolbox:
        gathered.append(machine.name)
        return gather(machine)

    monkeypatch.setattr(tools, "gather", watched)
    ours = tools.gather(HERE).digest
    (tmp_path / "nsenter").symlink_to(shutil.which("nsenter") or "")  # the test bed's
    monkeypatch.setenv("PATH", str(tmp_path))
    gathered.clear()

    for _ in range(2):
        with (
            reached_by_ssh(host, tmp_path / "home") as voltar,
            helper(voltar, (), access=Access.READ, run="t") as h,
        ):
            said = h.run(["tar", "--version"]).decode()
            image = str(voltar.memory["image"].reference)

    assert said.startswith("tar (GNU tar)")
    assert said.splitlines()[0] in bed.daemon.inside("/usr/bin/tar", "--version").stdout.decode()
    assert not image.endswith(ours[:12])
    assert gathered.count(host.url) == 1


def test_what_a_killed_keeper_left_is_swept_by_the_next(
    engine: testbed.Engine, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    host = start_sshd(engine)
    with reached_by_ssh(host, tmp_path) as voltar, helper(voltar, (), access=Access.READ, run="t"):
        (left,) = (path for path in host.far.left() if PREFIX in path.name)
        for pid in host.far.pids():
            if PREFIX in leaks.command(pid):
                os.kill(pid, signal.SIGKILL)
    assert left in host.far.left()

    with (
        reached_by_ssh(host, tmp_path) as voltar,
        helper(voltar, (), access=Access.READ, run="t"),
        reached_by_ssh(host, tmp_path) as other,
        helper(other, (), access=Access.READ, run="t"),
    ):
        found = host.far.left()
        assert left not in found
        assert len(found) == 2  # the living one was left alone

    awaited(lambda: not leaks.on_far_host(host))


@pytest.mark.parametrize("compression", ["never", "always"])
def test_openssh_s_client_carries_the_same(
    scratch: Scratch, ssh_host: Sshd, tmp_path: Path, compression: str
) -> None:
    content = os.urandom(1_500_000) * 2
    mounts = (Attached(scratch.volume(), "/v"),)

    with (
        reached_by_ssh(
            ssh_host, tmp_path, binary=True, VOLTAR_SSH_COMPRESSION=compression
        ) as voltar,
        helper(voltar, mounts, access=Access.WRITE, run="t") as h,
    ):
        h.writing(["dd", "of=/v/file", "bs=1M", "status=none"], [content])
        with h.reading(["cat", "/v/file"]) as stream:
            got = b"".join(map(bytes, stream))

    assert h.data_plane == "fifo"
    assert got == content


def test_a_backup_needs_few_sessions_of_a_connection(
    engine: testbed.Engine, scratch: Scratch, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """sshd allows ten; two helpers at once, as a restore has them, must not come near."""
    host = start_sshd(engine, options=["MaxSessions 8"])
    mounts = (Attached(scratch.volume(), "/v"),)

    with (
        reached_by_ssh(host, tmp_path) as voltar,
        helper(voltar, mounts, access=Access.READ, run="t") as one,
        helper(voltar, mounts, access=Access.WRITE, run="t") as other,
        one.reading(["head", "-c", "3000000", "/dev/zero"]) as stream,
    ):
        other.writing(["dd", "of=/v/file", "bs=1M", "status=none"], stream)
        assert other.run(["stat", "-c", "%s", "/v/file"]) == b"3000000\n"
