"""What is asked at a terminal when somebody logs in over SSH, and what becomes of each answer."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli import Result, Voltar
from tests.acceptance.far import sentence, typed
from tests.integration.ssh_side import agent
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd, make_key, public

CTRL_C, CTRL_D = "\x03", "\x04"
LET_IN = 6
"""The exit code where there is no repository: whoever gets it has logged in."""
SECRET = "open sesame 17"
QUESTIONS = [
    "UsePAM yes",
    "KbdInteractiveAuthentication yes",
    "AuthenticationMethods keyboard-interactive",
]


@pytest.fixture
def voltar(tmp_path: Path) -> Voltar:
    """The command, which looks into a repository on another host."""
    home = tmp_path / "home"
    home.mkdir()
    far = {"VOLTAR_REPOSITORY": "sftp://far/~/repository"}
    return Voltar(url="unix:///nonesuch", repository=None, home=home, more=far)


@pytest.fixture
def locked(sftp_server: Sshd, voltar: Voltar) -> Iterator[Voltar]:
    """The command with an encrypted key."""
    sftp_server.config_for(voltar.home)
    key = make_key(voltar.home / f".ssh/key-{sftp_server.port}", passphrase=SECRET)
    sftp_server.authorize(public(sftp_server.client_key), public(key))
    yield voltar
    sftp_server.authorize(public(sftp_server.client_key))


def asked(voltar: Voltar, question: str, *answers: str) -> tuple[Result, int]:
    """List snapshots at a terminal, and give these answers, the last again and again."""
    given: list[str] = []

    def answer(shown: str) -> str | None:
        if question not in shown:
            return None
        given.append(answers[min(len(given), len(answers) - 1)])
        return given[-1]

    result = typed(voltar, "snapshots", answers=answer, hidden=True)
    return result, len(given)


def test_the_right_passphrase_opens(locked: Voltar) -> None:
    result, times = asked(locked, "passphrase of", SECRET)

    assert (result.code, times) == (LET_IN, 1), str(result)
    assert SECRET not in result.said


def test_a_passphrase_may_be_mistyped_twice(locked: Voltar) -> None:
    result, times = asked(locked, "passphrase of", "wrong", "wrong too", SECRET)

    assert (result.code, times) == (LET_IN, 3), str(result)


def test_three_wrong_passphrases_are_enough(locked: Voltar) -> None:
    result, times = asked(locked, "passphrase of", "wrong")

    assert times == 3
    assert re.search(r"key-\d+: its passphrase was not given", sentence(result))


def test_an_interrupt_at_the_passphrase_ends_the_run(locked: Voltar) -> None:
    result, times = asked(locked, "passphrase of", CTRL_C)

    assert (result.code, times) == (130, 1), str(result)


@pytest.mark.parametrize("answer", ["", CTRL_D], ids=["empty", "Ctrl-D"])
def test_no_passphrase_passes_the_key_over(answer: str, locked: Voltar) -> None:
    result, times = asked(locked, "passphrase of", answer)

    assert times == 1
    assert "its passphrase was not given" in sentence(result)


@pytest.mark.parametrize(("answer", "code"), [(SECRET, LET_IN), (CTRL_C, 130)])
def test_openssh_client_asks_by_itself(answer: str, code: int, locked: Voltar) -> None:
    by_binary = locked.changed(more={"VOLTAR_SSH_BINARY": "ssh"})

    result, times = asked(by_binary, "Enter passphrase", answer)

    assert (result.code, times) == (code, 1), str(result)


def test_openssh_client_takes_no_passphrase_of_a_file(locked: Voltar, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text(SECRET)

    words = ("--ssh-binary=ssh", "--ssh-passphrase-file", tmp_path / "passphrase", "snapshots")

    assert "cannot be used with the SSH client 'ssh'" in sentence(locked(*words, code=2), 2)


def test_without_a_terminal_it_is_said_what_to_use(locked: Voltar) -> None:
    said = sentence(locked("snapshots", code=1))

    assert "it needs a passphrase" in said
    assert "--ssh-passphrase-file" in said


def test_a_passphrase_file_opens_and_may_end_its_line(locked: Voltar, tmp_path: Path) -> None:
    for name, text in {"a": SECRET, "b": f"{SECRET}\n", "c": f"{SECRET}\r\n"}.items():
        (tmp_path / name).write_text(text)
        locked("--ssh-passphrase-file", tmp_path / name, "snapshots", code=LET_IN)


FILES = {
    "missing": (None, 2, "cannot read the passphrase file"),
    "empty": ("", 2, "is empty"),
    "wrong": ("something else\n", 1, "does not open it"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_passphrase_file_that_does_not_serve_is_said(
    case: str, locked: Voltar, tmp_path: Path
) -> None:
    text, code, said = FILES[case]
    file = tmp_path / "passphrase"
    if text is not None:
        file.write_text(text)

    result = locked("--ssh-passphrase-file", file, "snapshots", code=code)

    assert said in sentence(result, code)


def test_an_agent_that_has_the_key_makes_the_passphrase_needless(
    locked: Voltar, sftp_server: Sshd, tmp_path: Path
) -> None:
    key = locked.home / f".ssh/key-{sftp_server.port}"
    plain = make_key(tmp_path / "plain")
    sftp_server.authorize(public(plain))
    key.with_name(key.name + ".pub").write_text(public(plain))

    with agent(tmp_path, plain) as path:
        result, times = asked(locked.changed(more={"SSH_AUTH_SOCK": path}), "passphrase", "x")

    assert (result.code, times) == (LET_IN, 0), str(result)


def test_a_key_for_another_host_is_refused_by_name(voltar: Voltar, sftp_server: Sshd) -> None:
    sftp_server.config_for(voltar.home)
    key = make_key(voltar.home / f".ssh/key-{sftp_server.port}")

    said = sentence(voltar("snapshots", code=1))

    assert f"does not let voltar in: it refused {key}" in said


@pytest.fixture
def by_password(voltar: Voltar, start_sshd: Callable[..., Sshd]) -> Voltar:
    host = start_sshd(account=Account(password=SECRET))
    host.config_for(voltar.home, more=["PubkeyAuthentication no"])
    return voltar


@pytest.fixture
def by_questions(voltar: Voltar, start_sshd: Callable[..., Sshd]) -> Voltar:
    host = start_sshd(account=Account(password=SECRET), options=QUESTIONS)
    host.config_for(voltar.home)
    return voltar


WAYS = {"by_password": "password of", "by_questions": "Password"}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[Voltar, str]:
    """The command, and what it asks for: a password, or what the server wants to know."""
    return request.getfixturevalue(request.param), WAYS[request.param]


def test_the_right_password_opens(way: tuple[Voltar, str]) -> None:
    result, times = asked(*way, SECRET)

    assert (result.code, times) == (LET_IN, 1), str(result)
    assert SECRET not in result.said


def test_a_password_may_be_mistyped(way: tuple[Voltar, str]) -> None:
    result, times = asked(*way, "wrong", SECRET)

    assert (result.code, times) == (LET_IN, 2), str(result)


def test_three_wrong_passwords_are_enough(way: tuple[Voltar, str]) -> None:
    result, times = asked(*way, "wrong")

    assert times == 3
    assert re.search(r"refused (password|questions)", sentence(result))


def test_an_interrupt_at_the_password_ends_the_run(way: tuple[Voltar, str]) -> None:
    result, times = asked(*way, CTRL_C)

    assert (result.code, times) == (130, 1), str(result)


@pytest.mark.parametrize("answer", ["", CTRL_D], ids=["empty", "Ctrl-D"])
def test_no_password_is_no_way_in(answer: str, way: tuple[Voltar, str]) -> None:
    result, times = asked(*way, answer)

    assert times == 1
    assert "does not let voltar in" in sentence(result)


def test_a_password_cannot_be_asked_for_without_a_terminal(way: tuple[Voltar, str]) -> None:
    assert "no terminal" in sentence(way[0]("snapshots", code=1))


def test_the_end_of_input_is_no_password_of_a_repository(made: Path, voltar: Voltar) -> None:
    here = voltar.changed(password=None, more={"VOLTAR_REPOSITORY": str(made)})

    result, times = asked(here, "password of the repository", CTRL_D)

    assert times == 1, str(result)
    assert "opens no key" in sentence(result, 6).replace("\n", " ")
