"""What the command line and the environment say about SSH."""

import io
import sys
from pathlib import Path

import pytest

from backup.cli.ssh_wishes import SshWishes
from backup.errors import ConfigError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VOLTAR_SSH_BINARY", "VOLTAR_SSH_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_without_a_wish_the_built_in_client_asks_nobody() -> None:
    found = SshWishes().options()

    assert (found.binary, found.host_keys, found.ask, found.passphrase) == (None, (), None, None)


def test_the_option_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"{name} \n")
        (tmp_path / name).chmod(0o755)
    first, second = tmp_path / "first", tmp_path / "second"

    monkeypatch.setenv("VOLTAR_SSH_BINARY", str(second))
    assert SshWishes().options().binary == str(second)
    assert SshWishes(binary=str(first)).options().binary == str(first)

    monkeypatch.delenv("VOLTAR_SSH_BINARY")
    monkeypatch.setenv("VOLTAR_SSH_PASSPHRASE_FILE", str(second))
    assert SshWishes().options().passphrase == "second "
    assert SshWishes(passphrase_file=first).options().passphrase == "first "


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (SshWishes(binary="/nonesuch"), "'/nonesuch' is not a program"),
        (SshWishes(host_keys=["MD5:00"]), "that is SHA256: and 43 characters"),
        (SshWishes(passphrase_file=Path("/nonesuch")), "cannot read the passphrase file"),
    ],
)
def test_what_cannot_be_used_is_said(wishes: SshWishes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        wishes.options()
