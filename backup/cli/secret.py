"""Secrets: in files that the operator names, or asked for at the terminal."""

import getpass
import os
from pathlib import Path

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
    return text.removesuffix("\n").removesuffix("\r")


def asked_secret(question: str) -> str | None:
    """Ask at the terminal; None where the answer is empty, or the end of all input."""
    try:
        return getpass.getpass(question) or None
    except EOFError:
        return None
