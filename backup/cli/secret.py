"""Secrets: in files that the operator names, printed by commands, or asked for at the terminal."""

import getpass
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from backup.discretion import learn
from backup.errors import ConfigError


def named_path(variable: str) -> Path | None:
    """Return the path that an environment variable names, if it does."""
    value = os.environ.get(variable)
    return Path(value) if value else None


def read_secret(file: Path, what: str) -> str:
    """Return what a file holds but for its last line end. Raises ConfigError, naming `what`."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigError(f"cannot read the {what} file {file}: {error.strerror}") from error
    learn(text)
    return text.removesuffix("\n").removesuffix("\r")


def asked_secret(question: str) -> str | None:
    """Ask at the terminal; None where the answer is empty, or the end of all input."""
    try:
        answer = getpass.getpass(question)
    except EOFError:
        return None
    learn(answer)
    return answer or None


def words(command: str, variable: str) -> list[str]:
    """Return the words of a command as a shell has them. Raises ConfigError."""
    try:
        return shlex.split(command) or [""]
    except ValueError as error:
        raise ConfigError(
            f"{variable} gave no password: its quotation marks do not match"
        ) from error


def output(words: Sequence[str], whose: str) -> str:
    """Return the password that a command prints, without the last line end. Raises ConfigError."""
    said = f"{whose} gave no password"
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{said}: {words[0]!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{said}: what it printed is no UTF-8") from error
    if done.returncode:
        raise ConfigError(f"{said}: it ended with exit code {done.returncode}")
    learn(done.stdout)
    return done.stdout.removesuffix("\n")
