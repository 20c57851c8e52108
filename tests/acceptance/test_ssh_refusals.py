"""Who may not in, or must not be trusted: refused in one clear sentence, and nothing is left."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.far import Far, sentence, typed
from tests.testbed.engine import Engine
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd, make_key

FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
ELSE = "SHA256:" + "A" * 43
"""The fingerprint of no key."""


@pytest.fixture
def own(start_sshd: Callable[..., Sshd], engine: Engine) -> Callable[..., Sshd]:
    """A server of the test's own on the engine's host: own(Account(…), options=[…])."""

    def own(account: Account | None = None, **more: object) -> Sshd:
        return start_sshd(engine, account, **more)

    return own


def known(far: Far) -> Path:
    return far.ssh / "known_hosts"


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_how_to_accept_it(
    reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host, known=False)
    volume = far.volume()

    said = far.fails("backup", f"volume:{volume}", code=7)

    assert ssh_host.fingerprint in said
    assert re.search(rf"voltar host trust \S*127\.0\.0\.1:{ssh_host.port}", said), said
    assert known(far).read_text() == ""
    far.assert_clean()


def test_what_the_message_says_accepts_the_host_key(
    reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host, known=False)
    volume = far.volume()
    said = far.fails("backup", f"volume:{volume}", code=7)
    command = re.search(r"voltar (host trust [^\s`]+)", said)
    assert command, said

    told = typed(
        far.voltar, *command[1].split(), answers=lambda shown: "yes" if "?" in shown else None
    )

    assert told.code == 0, str(told)
    assert ssh_host.fingerprint in told.said
    assert ssh_host.host_key.split()[1] in known(far).read_text()
    far.assert_round_trip(volume)


def test_a_changed_host_key_is_refused_with_a_warning_that_cannot_be_missed(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    host = own()
    far = reach(host)
    volume = far.volume()
    before, former = known(far).read_bytes(), host.fingerprint
    host.change_host_key()

    failed = far.voltar("backup", f"volume:{volume}", code=7)

    said = failed.err
    assert re.search(r"\b[A-Z]{4,}\b.*\b[A-Z]{4,}\b", FINGERPRINT.sub("", said)), said  # shouts
    assert "changed" in said.lower()
    assert {former, host.fingerprint} <= set(FINGERPRINT.findall(said)), said
    assert str(known(far)) in said
    assert known(far).read_bytes() == before
    assert far.sources() == []
    far.assert_clean()


def test_a_changed_host_key_is_not_trusted_by_the_command_for_unknown_ones(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    host = own()
    far = reach(host)
    before = known(far).read_bytes()
    host.change_host_key()

    told = typed(
        far.voltar, "host", "trust", host.url, answers=lambda shown: "yes" if "?" in shown else None
    )

    assert told.code != 0, str(told)
    assert "changed" in told.said.lower()
    assert known(far).read_bytes() == before


def test_a_pinned_host_key_is_the_only_one_that_is_accepted(
    reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host)
    volume = far.volume()

    said = far.fails("--host-key", ELSE, "backup", f"volume:{volume}", code=7)

    assert {ssh_host.fingerprint, ELSE} <= set(FINGERPRINT.findall(said)), said
    far.assert_clean()


def test_a_pinned_host_key_needs_no_entry(reach: Callable[..., Far], ssh_host: Sshd) -> None:
    far = reach(ssh_host, known=False)
    volume = far.volume()

    far.voltar("--host-key", ssh_host.fingerprint, "backup", f"volume:{volume}")

    assert far.sources() == [f"volume:{volume}"]


@pytest.mark.parametrize("case", ["unknown", "changed", "not the pinned one"])
def test_a_host_key_that_is_refused_has_an_exit_code_of_its_own(
    case: str, reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    host = own()
    far = reach(host, known=case != "unknown")
    if case == "changed":
        host.change_host_key()
    pin = ["--host-key", ELSE] if case == "not the pinned one" else []

    failed = far.voltar(*pin, "backup", "--all", code=7)

    assert "host key" in failed.err.lower()


@pytest.mark.parametrize("form", ["sha256:abc", "SHA256:", "MD5:aa:bb"])
def test_a_pin_that_is_no_fingerprint_is_a_usage_error(
    form: str, reach: Callable[..., Far], ssh_host: Sshd
) -> None:
    far = reach(ssh_host)

    failed = far.voltar("--host-key", form, "backup", "volume:x", code=2)

    assert "SHA256:" in failed.err


def test_a_revoked_host_key_is_refused_though_it_is_known(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    host = own()
    far = reach(host)
    with known(far).open("a") as file:
        file.write(f"@revoked * {host.host_key}\n")

    said = far.fails("backup", f"volume:{far.volume()}", code=7)

    assert "revoked" in said.lower()
    far.assert_clean()


def test_a_wrong_key_is_refused(reach: Callable[..., Far], ssh_host: Sshd) -> None:
    far = reach(ssh_host)
    make_key(far.ssh / f"key-{ssh_host.port}")

    said = far.fails("backup", f"volume:{far.volume()}")

    assert f"voltar@127.0.0.1:{ssh_host.port}" in said
    assert re.search("denied|refuse|authenticat|accept", said)
    far.assert_clean()


def test_a_wrong_password_is_refused(reach: Callable[..., Far], own: Callable[..., Sshd]) -> None:
    host = own(Account(password="the right one"))
    far = reach(host, more=["PubkeyAuthentication no"])

    result = typed(
        far.voltar,
        *("backup", f"volume:{far.volume()}"),
        answers=lambda shown: "a wrong one" if "password of" in shown else None,
        hidden=True,
    )

    said = sentence(result)
    assert "a wrong one" not in result.said
    assert re.search("denied|refuse|authenticat|accept|password", said)
    assert far.sources() == []


def test_the_right_password_opens(reach: Callable[..., Far], own: Callable[..., Sshd]) -> None:
    host = own(Account(password="the right one"))
    far = reach(host, more=["PubkeyAuthentication no"])
    volume = far.volume()

    result = typed(
        far.voltar,
        *("backup", f"volume:{volume}"),
        answers=lambda shown: "the right one" if "password of" in shown else None,
        hidden=True,
    )

    assert result.code == 0, str(result)
    assert far.sources() == [f"volume:{volume}"]


def test_a_password_that_nobody_can_be_asked_for_is_a_clear_error(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    host = own(Account(password="the right one"))
    far = reach(host, more=["PubkeyAuthentication no"])

    said = far.fails("backup", f"volume:{far.volume()}")

    assert "127.0.0.1" in said


def test_an_account_that_may_not_use_docker_is_told_so(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    far = reach(own(Account(docker=False)))

    said = far.fails("backup", f"volume:{far.volume()}")

    assert re.search("permission denied|may not|not allowed", said.lower()), said
    assert "voltar" in said
    far.assert_clean()


def test_a_far_side_without_docker_is_told_so(
    reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    far = reach(own(Account(without=("docker", "socat", "nc", "nc.openbsd", "ncat"))))

    said = far.fails("backup", f"volume:{far.volume()}")

    assert "docker" in said
    assert re.search("no docker|not found|not installed|not there|neither|lacks", said.lower()), (
        said
    )
    far.assert_clean()


def test_an_engine_that_is_down_on_the_far_side_is_told_so(
    start_engine: Callable[..., Engine],
    start_sshd: Callable[..., Sshd],
    start_far: Callable[..., Far],
) -> None:
    engine = start_engine()
    host = start_sshd(engine)
    far = start_far(engine, host)
    engine.daemon.kill_dockerd()

    said = far.fails("backup", "volume:x")

    assert "engine" in said
    assert re.search("run|answer|reach|connect", said)
    assert host.far.left() == []


NOT_A_SHELL = {
    "nologin": (Account(shell="/usr/sbin/nologin"), []),
    "false": (Account(shell="/bin/false"), []),
    "forced": (Account(), ["ForceCommand echo this account only says hello"]),
    "sftp only": (Account(), ["ForceCommand internal-sftp"]),
}


@pytest.mark.parametrize("case", NOT_A_SHELL)
def test_an_account_that_runs_no_commands_is_told_so(
    case: str, reach: Callable[..., Far], own: Callable[..., Sshd]
) -> None:
    account, options = NOT_A_SHELL[case]
    far = reach(own(account, options=options))

    said = far.fails("backup", f"volume:{far.volume()}")

    assert "127.0.0.1" in said
    assert re.search("command|shell|account|docker", said.lower()), said
    far.assert_clean()


def test_a_port_where_nobody_listens_is_told_so(
    reach: Callable[..., Far], ssh_host: Sshd, free_port: int
) -> None:
    far = reach(ssh_host)

    said = sentence(
        far.voltar.changed(url=f"ssh://voltar@127.0.0.1:{free_port}")("backup", "volume:x", code=1)
    )

    assert f"127.0.0.1:{free_port}" in said
    assert "refused" in said.lower()


def test_a_port_that_says_nothing_is_given_up_in_time(
    reach: Callable[..., Far], ssh_host: Sshd, silent_port: int
) -> None:
    far = reach(ssh_host, more=["ConnectTimeout 2"])

    result = far.voltar.changed(url=f"ssh://voltar@127.0.0.1:{silent_port}")(
        "backup", "volume:x", code=1
    )

    assert f"127.0.0.1:{silent_port}" in sentence(result)
    assert result.seconds < 15


def test_a_name_that_nobody_knows_is_told(reach: Callable[..., Far], ssh_host: Sshd) -> None:
    far = reach(ssh_host)

    said = sentence(
        far.voltar.changed(url="ssh://voltar@nowhere.invalid")("backup", "volume:x", code=1)
    )

    assert "nowhere.invalid" in said


def test_a_jump_host_whose_key_is_unknown_is_refused_by_name(
    reach: Callable[..., Far], ssh_host: Sshd, start_sshd: Callable[..., Sshd]
) -> None:
    jump = start_sshd()
    far = reach(ssh_host, more=["ProxyJump jump"])
    jump.config_for(far.voltar.home, "jump", known=False)

    said = far.fails("backup", f"volume:{far.volume()}", code=7)

    assert jump.fingerprint in said
    assert "jump" in said
