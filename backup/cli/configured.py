"""Where the configuration is, and what it leads to: engines and repositories with their secrets."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from backup import config
from backup.cli.backup import keep_out
from backup.cli.clock import machine_zone
from backup.cli.context import Context, output, state_directory
from backup.cli.secret import named_path, read_secret
from backup.config import LOCAL, Config
from backup.engine import Engine
from backup.errors import ConfigError
from backup.report import OnEvent
from backup.repository import Repository
from backup.runner import Doors

_SYSTEM: Final = Path("/etc/voltar/voltar.toml")


def config_path(context: Context) -> Path:
    """Return where the configuration is: --config, VOLTAR_CONFIG, the user's, the system's.

    Raises ConfigError where there is none.
    """
    named = context.config or named_path("VOLTAR_CONFIG")
    if named is not None:
        return named
    places = [_SYSTEM]
    try:
        home = named_path("XDG_CONFIG_HOME") or Path.home() / ".config"
        places.insert(0, home / "voltar/voltar.toml")
    except RuntimeError:  # a user without a home
        pass
    for place in places:
        if place.exists():
            return place
    raise ConfigError(
        f"there is no configuration: none of {', '.join(map(str, places))} exists",
        hint="`voltar config init` writes one; --config or VOLTAR_CONFIG name another place",
    )


@dataclass(slots=True)
class _Opener:
    """Opens what a configuration names; repositories stay open for as long as the command runs."""

    context: Context
    config: Config
    _repositories: dict[str, Repository] = field(default_factory=dict)

    def engine(self, name: str) -> Engine:
        if name == LOCAL and LOCAL not in self.config.hosts:
            return self.context.engine()
        host = self.config.hosts[name]
        return self.context.engine_at(host.url, host.helper_image)

    def repository(self, name: str) -> Repository:
        if name not in self._repositories:
            found = self.config.repositories[name]
            self._repositories[name] = self.context.open_configured(
                found.location, partial(_password, name, found)
            )
        return self._repositories[name]


def _password(name: str, found: config.Repository) -> str | None:
    """The password of a repository, from where the configuration says. Raises ConfigError."""
    if found.password_file is not None:
        return read_secret(Path(found.password_file), "password")
    if found.password_command is not None:
        return output(found.password_command, f"password-command of repository {name}")
    if found.password_credential is not None:
        directory = named_path("CREDENTIALS_DIRECTORY")
        if directory is None:
            raise ConfigError(
                f"repository {name}: there are no credentials of systemd here",
                hint="start it as a unit with LoadCredential=, or use password-file",
            )
        return read_secret(directory / found.password_credential, "password")
    return os.environ.get("VOLTAR_PASSWORD")


def doors(context: Context, on_event: OnEvent) -> Doors:
    """Read the configuration, and return what it leads to. Raises ConfigError."""
    found = config.load(config_path(context))
    opener = _Opener(context, found)
    return Doors(
        config=found,
        state=state_directory(),
        engine=opener.engine,
        repository=opener.repository,
        keep_out=keep_out,
        tidy=context.tidy,
        on_event=on_event,
        zone=machine_zone(),
    )
