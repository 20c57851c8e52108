"""What all commands share: global options, and what they lead to.

Secrets are read here and nowhere else. A password comes from the first of: --password-file, what
the configuration says of that repository, VOLTAR_PASSWORD_FILE, VOLTAR_PASSWORD_COMMAND,
VOLTAR_PASSWORD, the systemd credential `voltar-password`, a prompt on a terminal. That of a
repository to copy from: the same, but with "from" in all names: VOLTAR_FROM_PASSWORD_FILE,
`voltar-from-password`.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from backup.cli.console import Listener, Voice
from backup.cli.places import Place, engine_place, password_of, repository_place
from backup.cli.secret import asked_secret, named_path, output, read_secret, words
from backup.cli.ssh_wishes import SshWishes
from backup.drill import scene
from backup.engine import Engine, connect, sweep
from backup.errors import BackupError, ConfigError, UsageError, WrongKey
from backup.evidence import journal
from backup.quiesce.journal import DIRECTORY
from backup.quiesce.recovery import make_good
from backup.quiesce.site import Setting
from backup.report import OnEvent
from backup.repository import Repository, open_repository, read_descriptor
from backup.restore import take_back_dead_restores
from transports.errors import ConnectionLost
from transports.store import Settings, Store, open_store

CREDENTIAL: Final = "voltar-password"
_FROM_CREDENTIAL: Final = "voltar-from-password"
_FROM_PLACES: Final = (
    "use --from-password-file, VOLTAR_FROM_PASSWORD_FILE, VOLTAR_FROM_PASSWORD_COMMAND or"
    " VOLTAR_FROM_PASSWORD"
)
_PLACES: Final = (
    "use --password-file, VOLTAR_PASSWORD_FILE, VOLTAR_PASSWORD_COMMAND or VOLTAR_PASSWORD"
)
_NEW_PLACES: Final = "use --new-password-file, VOLTAR_NEW_PASSWORD_FILE or VOLTAR_NEW_PASSWORD"


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was killed: restores, by volume, captures, by container, drills, and runs whose
    containers run again. `left` are those that do not, and journals that cannot be read."""

    restores: tuple[str, ...] = ()
    drills: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    left: tuple[BackupError, ...] = ()


@dataclass(slots=True)
class Context:
    """The global options of one invocation. `stop` is set when it is interrupted."""

    host: str | None = None
    repository: str | None = None
    password_file: Path | None = None
    helper_image: str | None = None
    upload_limit: int | None = None
    download_limit: int | None = None
    voice: Voice = field(default_factory=Voice)
    ssh: SshWishes = field(default_factory=SshWishes)
    config: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _stores: dict[str, Store] = field(default_factory=dict)
    _place: Place | None = None

    def engine(self) -> Engine:
        """Connect to the engine. Raises EngineUnavailable."""
        return self.engine_at(None)

    def engine_at(self, url: str | None, helper_image: str | None = None) -> Engine:
        """Connect to another engine, or for None to the one of --host. Raises EngineUnavailable."""
        if url is not None and not url.strip():
            raise UsageError("the URL of an engine is empty")
        url, configured_image = engine_place(url or self.host, self.config)
        helper_image = helper_image or self.helper_image or configured_image
        return connect(url, helper_image=helper_image, ssh=self.ssh.options())

    def tidy(self, engine: Engine, run: str) -> Tidied:
        """Clear away what killed runs left on the engine, and tell about it."""
        restores = take_back_dead_restores(engine, run)
        for dead in restores:
            became = f"left as it is, since {dead.left}" if dead.left else "taken back"
            self.voice.warn(
                f"a restore into volume {dead.volume!r} was killed before it was complete; "
                f"what it did is {became}"
            )
        for stuck in sweep(engine, spared=[dead.helper for dead in restores]):
            self.voice.warn(
                f"the container {stuck.orphan.name} of a killed run is not removed: {stuck.why}; "
                "if the engine never lets go of it, restart the engine"
            )
        captures: list[str] = []
        resumed: list[str] = []
        left: list[BackupError] = []
        with suppress(ConfigError):  # who has no place for journals has captured nothing
            captures = self._take_back_captures(captures_directory(), engine)
            resumed, left = self._resume(engine, run)
        return Tidied(
            restores=tuple(dead.volume for dead in restores),
            drills=self._sweep_drills(engine),
            captures=tuple(captures),
            resumed=tuple(resumed),
            left=tuple(left),
        )

    def leftovers(self, engine: Engine, run: str) -> Sequence[BackupError]:
        """Clear away, as `tidy`; return why what killed runs stopped may be so still."""
        return self.tidy(engine, run).left

    def quiet(self, engine: Engine, run: str, job: str, on_event: OnEvent) -> Setting:
        """What is needed to keep containers of an engine quiet."""
        return Setting(
            run=run,
            job=job,
            directory=state_directory() / DIRECTORY,
            connect=partial(self.engine_at, engine.url),
            environ=hook_environment(),
            on_event=on_event,
        )

    def _resume(self, engine: Engine, run: str) -> tuple[list[str], list[BackupError]]:
        """Let run again what killed runs have stopped or paused."""
        told = make_good(engine, self.quiet(engine, run, "", Listener(self.voice)))
        for each in told:
            if each.header is not None:
                names = ", ".join(each.containers)
                again = f"; what it had made quiet runs again: {names}" if names else ""
                again = "" if each.left else again
                whose = f"job {each.header.job}" if each.header.job else "a backup"
                where = f"(run {each.header.run}) on {each.header.url}"
                self.voice.warn(f"{whose} was killed {where}{again}")
            for failure in each.left:
                self.voice.warn(str(failure))
        left = [failure for each in told for failure in each.left]
        return [each.header.run for each in told if each.header is not None], left

    def _sweep_drills(self, engine: Engine) -> tuple[str, ...]:
        dead = scene.sweep(engine)
        for one in dead:
            became = f"is there still: {'; '.join(one.left)}" if one.left else "is removed"
            self.voice.warn(f"the drill {one.run} was killed; what it made {became}")
        return tuple(one.run for one in dead)

    def _take_back_captures(self, directory: Path, engine: Engine) -> list[str]:
        killed = []
        for each in journal.sweep(directory, engine):
            if each.record is None:
                self.voice.warn(str(each.left))
                continue
            killed.append(each.record.name)
            became = f"is there still: {each.left}" if each.left else "is removed"
            went_on = ", and it goes on if it was paused" if each.record.pauses else ""
            self.voice.warn(
                f"a capture of {each.record.name} was killed; what it made {became}{went_on}"
            )
        return killed

    def place(self) -> Place:
        """Return the repository that -r, VOLTAR_REPOSITORY or else the configuration names.

        Raises NotARepository.
        """
        if self._place is None:
            given = self.repository or os.environ.get("VOLTAR_REPOSITORY")
            self._place = repository_place(given, self.config)
        return self._place

    def store(self) -> Store:
        """Return the store of that repository. Raises NotARepository."""
        return self.store_at(self.place())

    def store_at(self, place: Place) -> Store:
        """Return the store at a place, the same each time; it lives until `close`."""
        if place.location not in self._stores:
            upload, download = place.limits
            settings = Settings(
                environ=os.environ,
                upload_limit=self.upload_limit or upload,
                download_limit=self.download_limit or download,
                ssh=self.ssh.options(),
                stop=self.stop,
                on_retry=self._tell_of_retry,
            )
            self._stores[place.location] = open_store(place.location, settings)
        return self._stores[place.location]

    def close(self) -> None:
        """End what stores hold; whatever the command came to."""
        for store in self._stores.values():
            store.close()

    def _tell_of_retry(self, error: ConnectionLost, wait_s: float) -> None:
        self.voice.say(f"{error}; trying again in {wait_s:.0f} s")

    def open(self) -> Repository:
        """Open the repository, asking for its password where it has one."""
        return self.opening()()

    def opening(self) -> Callable[[], Repository]:
        """Begin to open the repository; the call that is returned waits for it, and raises.

        To derive a key from a password takes as long as to reach the engine, on another core.
        """
        store = self.store()
        password = self.given_password()
        if read_descriptor(store).sealed:
            password = _opening_password(password, "password of the repository: ", hint=_PLACES)
        with_thread = ThreadPoolExecutor(1, thread_name_prefix="voltar-open")
        opened = with_thread.submit(_opened, store, password)
        with_thread.shutdown(wait=False)
        return opened.result

    def open_other(self, location: str | None, password_file: Path | None) -> Repository:
        """Open the repository to copy from, which VOLTAR_FROM_REPOSITORY may name as well.

        Raises UsageError, NotARepository, WrongKey.
        """
        location = location or os.environ.get("VOLTAR_FROM_REPOSITORY")
        if not location:
            raise UsageError(
                "no repository to copy from is named",
                hint="say --from /path/to/repository, or set VOLTAR_FROM_REPOSITORY",
            )
        place = repository_place(location, self.config)
        store = self.store_at(place)
        password = None if password_file else password_of(place)
        if password is None:
            password = _given(password_file, "VOLTAR_FROM_PASSWORD", _FROM_CREDENTIAL)
        if read_descriptor(store).sealed:
            question = "password of the repository to copy from: "
            password = _opening_password(password, question, hint=_FROM_PLACES)
        return _opened(store, password)

    def open_configured(self, place: Place) -> Repository:
        """Open a repository of the configuration, asking for its password where none is left.

        One without a password, where there should be one, is refused: somebody may have put it
        there. Raises WrongKey.
        """
        store = self.store_at(place)
        password = self._password_for(place)
        if read_descriptor(store).sealed:
            question = f"password of repository {place.name or place.location}: "
            password = _opening_password(password, question, hint=_PLACES)
        return _opened(store, password)

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
        file = file or named_path("VOLTAR_NEW_PASSWORD_FILE")
        password = (
            read_secret(file, "password")
            if file is not None
            else os.environ.get("VOLTAR_NEW_PASSWORD")
        )
        if password is None:
            password = _prompt_twice("the new password: ", hint=_NEW_PLACES)
        return _demand(password, hint=None)

    def given_password(self) -> str | None:
        """Return the password from where it was left for us, or None. Raises ConfigError."""
        return self._password_for(self.place())

    def _password_for(self, place: Place) -> str | None:
        """--password-file goes first, then what the configuration says, then the environment."""
        configured = None if self.password_file else password_of(place)
        if configured is not None:
            return configured
        return _given(self.password_file, "VOLTAR_PASSWORD", CREDENTIAL)


def _given(file: Path | None, variable: str, credential: str) -> str | None:
    file = file or named_path(f"{variable}_FILE")
    if file is not None:
        return read_secret(file, "password")
    command = os.environ.get(f"{variable}_COMMAND")
    if command:
        return output(words(command, f"{variable}_COMMAND"), f"{variable}_COMMAND")
    password = os.environ.get(variable)
    if password is not None:
        return password
    directory = named_path("CREDENTIALS_DIRECTORY")
    if directory is not None and (directory / credential).exists():
        return read_secret(directory / credential, "password")
    return None


def _opened(store: Store, password: str | None) -> Repository:
    repository = open_repository(store, password)
    repository.cache = _cache_directory()
    return repository


def _cache_directory() -> Path | None:
    """Return where this user's programs remember what they can fetch again, if there is a place."""
    named = named_path("VOLTAR_CACHE_DIRECTORY")
    if named is not None:
        return named
    try:
        return (named_path("XDG_CACHE_HOME") or Path.home() / ".cache") / "voltar"
    except RuntimeError:  # a user without a home
        return None


def state_directory() -> Path:
    """Return where this user's programs keep what must outlive them. Raises ConfigError."""
    named = named_path("VOLTAR_STATE_DIRECTORY")
    if named is not None:
        return named
    home = named_path("XDG_STATE_HOME")
    if home is None and os.geteuid() == 0:
        return Path("/var/lib/voltar")
    try:
        return (home or Path.home() / ".local/state") / "voltar"
    except RuntimeError:
        raise ConfigError(
            "there is no place for journals", hint="VOLTAR_STATE_DIRECTORY names one"
        ) from None


def hook_environment() -> dict[str, str]:
    """Return what hooks on this machine see: all but our own secrets."""
    ours = ("VOLTAR_", "CREDENTIALS_DIRECTORY")
    return {name: text for name, text in os.environ.items() if not name.startswith(ours)}


def captures_directory() -> Path:
    """Return where journals of captures are."""
    return state_directory() / "captures"


def _opening_password(given: str | None, question: str, *, hint: str) -> str:
    return _prompt(question, hint=hint) if given is None else _demand(given, hint=hint)


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
    return asked_secret(question) or ""
