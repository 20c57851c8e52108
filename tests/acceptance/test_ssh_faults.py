"""A link that breaks, stalls or is slow, and a far side that is full: told, and nothing is left."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.acceptance.cli import until
from tests.acceptance.far import LARGE, MIB, Far, sentence
from tests.testbed import debian
from tests.testbed.command import run
from tests.testbed.engine import Engine
from tests.testbed.farhost import Account
from tests.testbed.proxy import Proxy, Towards
from tests.testbed.sshd import Sshd

LIVELY = ["ServerAliveInterval 1", "ServerAliveCountMax 3"]
BY_OPENSSH = {"VOLTAR_SSH_BINARY": "ssh"}
LOST = "lost|broke|closed|ended|reset|gone|connection"


def silence(far: Far) -> None:
    assert far.proxy
    far.proxy.freeze()


BREAKS: dict[str, Callable[[Far], object]] = {
    "reset": lambda far: far.proxy and far.proxy.cut_now(),
    "closed": lambda far: far.proxy and far.proxy.cut_now(reset=False),
    "sshd killed": lambda far: far.host.kill_sessions(),
}
STALLS: dict[str, Callable[[Far], None]] = {
    "sshd frozen": lambda far: far.host.freeze(),
    "network silent": silence,
}


@pytest.fixture
def behind(reach: Callable[..., Far], own_proxy: Proxy, own_host: Sshd) -> Callable[..., Far]:
    """A far engine behind a proxy."""

    def behind(*more: str) -> Far:
        return reach(own_host, proxy=own_proxy, more=list(more))

    return behind


@pytest.mark.parametrize("cause", BREAKS)
def test_a_backup_whose_link_breaks_says_so_and_leaves_nothing(
    cause: str, behind: Callable[..., Far]
) -> None:
    far = behind()
    volume = far.large()

    with far.begin("backup", f"volume:{volume}", towards="client") as running:
        BREAKS[cause](far)
        said = sentence(running.end(within_s=30))

    assert re.search(LOST, said.lower()), said
    assert far.sources() == []
    far.assert_sound(volume)


@pytest.mark.parametrize("cause", ["closed", "sshd frozen"])
def test_openssh_client_tells_of_a_link_that_breaks_as_well(
    cause: str, behind: Callable[..., Far]
) -> None:
    far = behind(*LIVELY)
    far = replace(far, voltar=far.voltar.changed(more=BY_OPENSSH))
    volume = far.large()

    with far.begin("backup", f"volume:{volume}", towards="client") as running:
        (BREAKS | STALLS)[cause](far)
        said = sentence(running.end(within_s=30))

    assert re.search(LOST, said.lower()), said
    assert not said.endswith((" ", ":")), said
    assert far.sources() == []
    far.host.thaw()
    far.assert_sound(volume)


@pytest.mark.parametrize("cause", ["reset", "sshd killed"])
def test_a_restore_whose_link_breaks_says_so_and_leaves_no_volume(
    cause: str, behind: Callable[..., Far]
) -> None:
    far = behind()
    volume, target = far.large(), far.fresh()
    far.voltar("backup", f"volume:{volume}")

    with far.begin("restore", f"volume:{volume}", "--to", target, towards="server") as running:
        BREAKS[cause](far)
        said = sentence(running.end(within_s=30))

    assert re.search(LOST, said.lower()), said
    far.assert_sound(volume)
    assert target not in far.engine.docker("volume", "ls", "--quiet").split()


@pytest.mark.parametrize("towards", ["client", "server"])
def test_a_link_that_is_cut_at_any_moment_is_a_clear_error(
    towards: Towards, behind: Callable[..., Far]
) -> None:
    far = behind()
    volume = far.volume({"file": b"\0" * 1000})
    assert far.proxy

    for after in (0, 20, 1000, 4000, 20_000, 200_000):
        far.proxy.cut(after, towards=towards, times=50)
        result = far.voltar("backup", f"volume:{volume}", code=(0, 1))
        far.proxy.clear()
        assert result.code == 1 or after >= 20_000, str(result)
        if result.code:
            assert "127.0.0.1" in sentence(result)
            assert far.sources() == []
    far.assert_sound(volume)


@pytest.mark.parametrize("cause", STALLS)
def test_a_link_that_falls_silent_is_given_up_within_the_keepalive_limit(
    cause: str, behind: Callable[..., Far]
) -> None:
    far = behind(*LIVELY)
    volume = far.large()

    with far.begin("backup", f"volume:{volume}", towards="client") as running:
        STALLS[cause](far)
        result = running.end(within_s=30)

    assert re.search(LOST + "|answer|silent", sentence(result).lower())
    assert far.sources() == []
    assert far.proxy
    far.host.thaw()
    far.proxy.thaw()
    far.assert_sound(volume)


def test_a_restore_whose_link_falls_silent_is_given_up_and_leaves_no_volume(
    behind: Callable[..., Far],
) -> None:
    far = behind(*LIVELY)
    volume, target = far.large(), far.fresh()
    far.voltar("backup", f"volume:{volume}")

    with far.begin("restore", f"volume:{volume}", "--to", target, towards="server") as running:
        far.host.freeze()
        sentence(running.end(within_s=30))

    far.host.thaw()
    far.assert_sound(volume)
    assert target not in far.engine.docker("volume", "ls", "--quiet").split()


def test_a_link_that_only_pauses_is_not_given_up(behind: Callable[..., Far]) -> None:
    far = behind("ServerAliveInterval 1", "ServerAliveCountMax 20")
    volume = far.large()

    with far.begin("backup", f"volume:{volume}", towards="client") as running:
        far.host.freeze()
        with pytest.raises(AssertionError, match="did not come about"):
            until(lambda: running.process.poll() is not None, within_s=3)
        far.host.thaw()
        result = running.end()

    assert result.code == 0, str(result)


def test_a_slow_link_with_a_small_window_is_just_slow(
    reach: Callable[..., Far], own_host: Sshd
) -> None:
    with Proxy(own_host.port, buffers=4096) as proxy:
        far = reach(own_host, proxy=proxy, more=LIVELY)
        proxy.slow(300_000)

        far.assert_round_trip(far.volume({"file": bytes(range(256)) * 4000, "f": b"x"}))

        far.assert_clean()


def test_what_goes_over_a_slow_link_is_compressed_by_itself(behind: Callable[..., Far]) -> None:
    far = behind()
    elsewhere = far.host.directory / "boot_id"
    elsewhere.write_text("11111111-2222-3333-4444-555555555555\n")
    place = "/proc/sys/kernel/random/boot_id"  # by which a host knows that it is this machine
    run(far.host.far.argv("mount", "--bind", elsewhere, place))
    lines = "".join(f"{number**3} is a line of a log\n" for number in range(50_000)).encode()
    volume = far.volume({"log": lines})
    far.voltar("doctor")  # makes the helper image
    assert far.proxy
    far.proxy.slow(500_000)
    before = far.proxy.carried["client"]

    far.voltar("backup", f"volume:{volume}")

    assert far.proxy.carried["client"] - before < len(lines) / 2
    said = {one["subject"]: one["text"] for one in far.voltar.ask("doctor")}
    assert re.search(r"0\.\d MB/s, zstd -3$", said["data plane"]), said


def test_an_engine_is_reached_through_another_host(
    reach: Callable[..., Far], ssh_host: Sshd, start_sshd: Callable[..., Sshd]
) -> None:
    jump = start_sshd(account=Account(name="jumper"))
    far = reach(ssh_host, more=["ProxyJump jump"], by_name=True)
    jump.config_for(far.voltar.home, "jump")

    far.assert_round_trip(far.volume())

    assert "Accepted publickey for jumper" in jump.log
    far.assert_clean()


def test_a_jump_host_that_dies_ends_the_run(
    reach: Callable[..., Far], own_host: Sshd, own_proxy: Proxy, start_sshd: Callable[..., Sshd]
) -> None:
    jump = start_sshd()
    far = reach(own_host, proxy=own_proxy, more=["ProxyJump jump"], by_name=True)
    jump.config_for(far.voltar.home, "jump")
    volume = far.large()

    with far.begin("backup", f"volume:{volume}", towards="client") as running:
        jump.kill_sessions()
        said = sentence(running.end(within_s=30))

    assert re.search(LOST, said.lower()), said
    far.assert_sound(volume)


NOISES = {
    "banner": (Account(), {"banner": "AUTHORIZED USE ONLY\n" * 50}),
    "login shell": (Account(bashrc='echo "Welcome to $(hostname)"; echo oops >&2\n'), {}),
    "binary": (Account(bashrc="printf 'HTTP/1.1 500 \\r\\n\\r\\n\\0\\377\\n'\n"), {}),
    "no newline": (Account(bashrc="printf '%s' noise-without-end\n"), {}),
    "long": (Account(bashrc="head -c 300000 /dev/zero | tr '\\\\0' x; echo\n"), {}),
}


@pytest.mark.parametrize("case", NOISES)
def test_noise_around_a_session_does_no_harm(
    case: str, reach: Callable[..., Far], engine: Engine, start_sshd: Callable[..., Sshd]
) -> None:
    account, more = NOISES[case]
    far = reach(start_sshd(engine, account, **more))

    far.assert_round_trip(far.volume())

    far.assert_clean()


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/usr/bin/fish", "/bin/tcsh"])
def test_any_usual_login_shell_will_do(
    shell: str, reach: Callable[..., Far], engine: Engine, start_sshd: Callable[..., Sshd]
) -> None:
    debian.require({name: name for name in ("fish", "tcsh") if shell.endswith(name)})
    far = reach(start_sshd(engine, Account(shell=shell)))

    far.assert_round_trip(far.volume({"a name with ' and \" and $x": b"1", "file": b"2"}))


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_server_that_allows_few_sessions_works_or_is_named_as_the_cause(
    sessions: int, reach: Callable[..., Far], engine: Engine, start_sshd: Callable[..., Sshd]
) -> None:
    far = reach(start_sshd(engine, options=[f"MaxSessions {sessions}"]))
    volume = far.volume()

    result = far.voltar("backup", f"volume:{volume}", code=(0, 1))

    if result.code:
        assert "MaxSessions" in sentence(result)
        assert far.sources() == []
    far.assert_clean()


def test_many_volumes_at_once_fit_into_the_usual_ten_sessions(
    reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host)
    volumes = [far.volume() for _ in range(12)]

    far.voltar("backup", *(f"volume:{volume}" for volume in volumes))

    assert sorted(far.sources()) == sorted(f"volume:{volume}" for volume in volumes)
    far.assert_clean()


def test_a_full_volume_on_the_far_side_is_a_clear_error(
    reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host)
    volume = far.large()
    far.voltar("backup", f"volume:{volume}")
    options = ["type=tmpfs", "device=tmpfs", f"o=size={LARGE // 4}"]
    target = far.scratch.volume(*(word for each in options for word in ("--opt", each)))

    said = far.fails("restore", f"volume:{volume}", "--to", target)

    assert re.search("space|full", said.lower()), said
    assert target in far.engine.docker("volume", "ls", "--quiet").split()
    far.assert_clean()


@pytest.mark.parametrize("kind", ["20.10", "28.5-classic"])
def test_a_far_side_without_room_for_a_fifo_works_or_says_so(
    kind: str,
    start_engine: Callable[..., Engine],
    start_sshd: Callable[..., Sshd],
    start_far: Callable[..., Far],
) -> None:
    engine = start_engine(kind)
    for place in ("/tmp", "/dev/shm"):
        engine.daemon.inside("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", place)
    far = start_far(engine, start_sshd(engine))
    volume = far.volume()

    result = far.voltar("backup", f"volume:{volume}", code=(0, 1))

    if result.code:
        assert re.search("space|full|room", sentence(result).lower())
    else:
        far.assert_round_trip(volume)
    far.assert_clean()


@pytest.mark.parametrize("act", ["backup", "restore"])
def test_a_far_engine_that_is_killed_is_a_clear_error(
    act: str,
    start_engine: Callable[..., Engine],
    start_sshd: Callable[..., Sshd],
    start_far: Callable[..., Far],
) -> None:
    engine = start_engine()
    host = start_sshd(engine)
    with Proxy(host.port) as proxy:
        far = start_far(engine, host, proxy=proxy)
        volume, target = far.large(), far.fresh()
        if act == "restore":
            far.voltar("backup", f"volume:{volume}")
        to, towards = (("--to", target), "server") if act == "restore" else ((), "client")

        with far.begin(act, f"volume:{volume}", *to, towards=towards) as running:
            engine.daemon.kill_dockerd()
            said = sentence(running.end(within_s=30))

        assert re.search("engine|docker", said.lower()), said
        engine.daemon.start()
        far.assert_sound(volume)
    assert target not in engine.docker("volume", "ls", "--quiet").split()


def test_a_far_side_where_nothing_can_be_kept_or_run_will_do(
    start_engine: Callable[..., Engine],
    start_sshd: Callable[..., Sshd],
    start_far: Callable[..., Far],
) -> None:
    engine = start_engine()
    engine.daemon.inside("mount", "-t", "tmpfs", "-o", "noexec,mode=1777", "tmpfs", "/tmp")
    host = start_sshd(engine)
    run(host.far.argv("mount", "--bind", host.far.home, host.far.home))
    run(host.far.argv("mount", "-o", "remount,bind,ro", host.far.home))
    far = start_far(engine, host)

    far.assert_round_trip(far.volume())

    ways = {one["subject"]: one["text"] for one in far.voltar.ask("doctor")}
    assert ways["data plane"].startswith("fifo"), ways
    far.assert_clean()


def test_a_far_engine_whose_disk_is_full_is_a_clear_error(
    start_engine: Callable[..., Engine],
    start_sshd: Callable[..., Sshd],
    start_far: Callable[..., Far],
) -> None:
    engine = start_engine()
    engine.daemon.kill()
    run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", engine.data_root])
    engine.daemon.start()
    far = start_far(engine, start_sshd(engine))
    volume = far.volume()
    room = shutil.disk_usage(engine.data_root).free - MIB
    (engine.data_root / "fills").write_bytes(bytes(room))

    said = far.fails("backup", f"volume:{volume}")

    assert re.search("space|full|room", said.lower()), said
    far.assert_clean()
