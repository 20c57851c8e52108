"""What all commands share: global options, and what they lead to.

Secrets are read here and nowhere else. A password comes from the first of: --password-file,
VOLTAR_PASSWORD_FILE, VOLTAR_PASSWORD_COMMAND, VOLTAR_PASSWORD, the systemd credential
`voltar-password`, a prompt on a terminal.
"""

import getpass
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from backup.cli.console import Voice
from backup.cli.ssh_wishes import SshWishes
from backup.engine import Engine, connect
from backup.errors import ConfigError, NotARepository, WrongKey
from backup.repository import Repository, open_repository, read_descriptor
from backup.restore import take_back_dead_restores
from transports.store import Store, open_store

CREDENTIAL: Final = "voltar-password"
_PLACES: Final = (
    "use --password-file, VOLTAR_PASSWORD_FILE, VOLTAR_PASSWORD_COMMAND or VOLTAR_PASSWORD"
)
_NEW_PLACES: Final = "use --new-password-file, VOLTAR_NEW_PASSWORD_FILE or VOLTAR_NEW_PASSWORD"


@dataclass(slots=True)
class Context:
    """The global options of one invocation."""

    host: str | None = None
    repository: str | None = None
    password_file: Path | None = None
    helper_image: str | None = None
    voice: Voice = field(default_factory=Voice)
    ssh: SshWishes = field(default_factory=SshWishes)

    def engine(self) -> Engine:
        """Connect to the engine. Raises EngineUnavailable."""
        return connect(self.host, helper_image=self.helper_image, ssh=self.ssh.options())

    def tidy(self, engine: Engine, run: str) -> None:
        """Clear away what killed runs left on the engine, and tell about it."""
        for dead in take_back_dead_restores(engine, run):
            became = f"left as it is, since {dead.left}" if dead.left else "taken back"
            self.voice.warn(
                f"a restore into volume {dead.volume!r} was killed before it was complete; "
                f"what it did is {became}"
            )

    def store(self) -> Store:
        """Return the store that -r or VOLTAR_REPOSITORY names. Raises NotARepository."""
        location = self.repository or os.environ.get("VOLTAR_REPOSITORY")
        if not location:
            raise NotARepository(
                "no repository is named",
                hint="say -r /path/to/repository, or set VOLTAR_REPOSITORY",
            )
        return open_store(location)

    def open(self) -> Repository:
        """Open the repository, asking for its password where it has one."""
        return self.opening()()

    def opening(self) -> Callable[[], Repository]:
        """Begin to open the repository; the call that is returned waits for it, and raises.

        To derive a key from a password takes as long as to reach the engine, on another core.
        """
        store = self.store()
        encrypted = read_descriptor(store).sealed
        password = self.given_password()
        if encrypted and password is None:
            password = _prompt("password of the repository: ", hint=_PLACES)
        with_thread = ThreadPoolExecutor(1, thread_name_prefix="voltar-open")
        opened = with_thread.submit(_opened, store, password)
        with_thread.shutdown(wait=False)
        return opened.result

    def new_password(self) -> str:
        """Return the password for a new repository; asked for twice at a terminal."""
        password = self.given_password()
        if password is None:
            password = _prompt_twice("password for the new repository: ", hint=_PLACES)
        return _demand(password, hint="--no-encryption makes a repository that needs none")

    def another_password(self, file: Path | None) -> str:
        """Return the password to add to a repository that has one, asked for twice at a terminal.

        It comes from `file`, VOLTAR_NEW_PASSWORD_FILE or VOLTAR_NEW_PASSWORD.
        """
        file = file or _path("VOLTAR_NEW_PASSWORD_FILE")
        password = _read(file) if file is not None else os.environ.get("VOLTAR_NEW_PASSWORD")
        if password is None:
            password = _prompt_twice("the new password: ", hint=_NEW_PLACES)
        return _demand(password, hint=None)

    def given_password(self) -> str | None:
        """Return the password from where it was left for us, or None. Raises ConfigError."""
        file = self.password_file or _path("VOLTAR_PASSWORD_FILE")
        if file is not None:
            return _read(file)
        command = os.environ.get("VOLTAR_PASSWORD_COMMAND")
        if command:
            return _output(command)
        password = os.environ.get("VOLTAR_PASSWORD")
        if password is not None:
            return password
        directory = _path("CREDENTIALS_DIRECTORY")
        if directory is not None and (directory / CREDENTIAL).exists():
            return _read(directory / CREDENTIAL)
        return None


def _opened(store: Store, password: str | None) -> Repository:
    repository = open_repository(store, password)
    repository.cache = _cache_directory()
    return repository


def _cache_directory() -> Path | None:
    """Return where this user's programs remember what they can fetch again, if there is a place."""
    named = _path("VOLTAR_CACHE_DIRECTORY")
    if named is not None:
        return named
    try:
        return (_path("XDG_CACHE_HOME") or Path.home() / ".cache") / "voltar"
    except RuntimeError:  # a user without a home
        return None


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigError(f"cannot read the password file {file}: {error.strerror}") from error
    return text.removesuffix("\n").removesuffix("\r")


def _output(command: str) -> str:
    said = "VOLTAR_PASSWORD_COMMAND gave no password"
    try:
        words = shlex.split(command) or [""]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{said}: {words[0]!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{said}: what it printed is no UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{said}: its quotation marks do not match") from error
    if done.returncode:
        raise ConfigError(f"{said}: it ended with exit code {done.returncode}")
    return done.stdout.removesuffix("\n")


def _demand(password: str, *, hint: str | None) -> str:
    if not password:
        raise ConfigError("the password is empty", hint=hint)
    return password


def _prompt_twice(question: str, *, hint: str) -> str:
    password = _prompt(question, hint=hint)
    if password != _prompt("the same password again: ", hint=hint):
        raise ConfigError("the two passwords differ, so nothing was made")
    return password


def _prompt(question: str, *, hint: str) -> str:
    if not sys.stdin.isatty():
        which = "new password" if hint == _NEW_PLACES else "password"
        raise WrongKey(f"a {which} is needed, and there is no terminal to ask for it", hint=hint)
    return getpass.getpass(question)
