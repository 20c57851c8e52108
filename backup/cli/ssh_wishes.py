"""What the command line says about SSH, for engines and for stores alike.

Secrets are asked for at a terminal, or come from a file; nothing is asked where there is none.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backup.cli.secret import asked_secret, named_path, read_secret
from backup.errors import ConfigError
from transports.ssh import Options

SSH_BINARY: Final = "ssh"


@dataclass(frozen=True, slots=True)
class SshWishes:
    """The options of one invocation, as they were given."""

    binary: str | None = None
    host_keys: Sequence[str] = ()
    passphrase_file: Path | None = None

    def options(self) -> Options:
        """Return them together with what the environment says. Raises ConfigError."""
        binary = self.binary or os.environ.get("VOLTAR_SSH_BINARY") or None
        file = self.passphrase_file or named_path("VOLTAR_SSH_PASSPHRASE_FILE")
        if binary and file:
            raise ConfigError(
                f"the passphrase file {file} cannot be used with the SSH client {binary!r}",
                hint="an agent that has the key serves both: ssh-add",
            )
        return Options(
            binary=_program(binary) if binary else None,
            host_keys=tuple(_fingerprint(each) for each in self.host_keys),
            ask=_ask if sys.stdin.isatty() else None,
            passphrase=_passphrase(file) if file else None,
        )


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"the SSH client {name!r} is not a program here", hint="install OpenSSH")
    return found


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", text):
        raise ConfigError(
            f"{text!r} is no fingerprint of a host key: that is SHA256: and 43 characters",
            hint="ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub, on that host, shows it",
        )
    return text


def _passphrase(file: Path) -> str:
    passphrase = read_secret(file, "passphrase")
    if not passphrase:
        raise ConfigError(f"the passphrase file {file} is empty")
    return passphrase


def _ask(question: str) -> str | None:
    """Ask for a secret; None where the answer is empty."""
    return asked_secret(f"{question.rstrip(': ')}: ")
