"""Where the configuration is, and what it says of repositories and engines that are named.

A repository is named by the first of -r, VOLTAR_REPOSITORY, and the configuration, where that has
only one. A name without slash and colon may be one of the configuration (`-r main`, `--host web1`);
./main is a directory. The file is not read where nothing of it can be meant.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backup.cli.secret import named_path, output, read_secret
from backup.errors import ConfigError, NotARepository
from backup.quantity import parse_rate

if TYPE_CHECKING:
    from backup.config import Config, Repository

_SYSTEM: Final = Path("/etc/voltar/voltar.toml")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is, and what the configuration says of it if it is named there."""

    location: str
    name: str | None = None
    configured: "Repository | None" = None

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """Bytes a second that may be sent and fetched."""
        if self.configured is None:
            return None, None
        found = self.configured
        return (
            parse_rate(found.limit_upload, "limit-upload"),
            parse_rate(found.limit_download, "limit-download"),
        )


def config_path(option: Path | None) -> Path:
    """Return where the configuration is: --config, VOLTAR_CONFIG, the user's, the system's.

    Raises ConfigError where there is none.
    """
    found = existing_config(option)
    if found is None:
        raise ConfigError(
            f"there is no configuration: none of {', '.join(map(str, _usual()))} exists",
            hint="`voltar config init` writes one; --config or VOLTAR_CONFIG name another place",
        )
    return found


def existing_config(option: Path | None) -> Path | None:
    """Return where the configuration is, None where none is named and none is in its place."""
    named = option or named_path("VOLTAR_CONFIG")
    if named is not None:
        return named
    # what lies in a directory that is closed to this user is not his; pathlib would raise.
    # A link to nowhere is there: reading it tells so, where another file would be taken in silence
    return next((place for place in _usual() if os.path.lexists(place)), None)


def new_config(option: Path | None) -> Path:
    """Return where a configuration belongs: of root, where the system's is."""
    usual = _usual()
    return option or named_path("VOLTAR_CONFIG") or usual[-1 if os.geteuid() == 0 else 0]


def _usual() -> list[Path]:
    try:
        home = named_path("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError:  # a user without a home
        return [_SYSTEM]
    return [home / "voltar/voltar.toml", _SYSTEM]


def repository_place(given: str | None, option: Path | None) -> Place:
    """Return the repository that is given by its location or by its name in the configuration; for
    None, the only one that is configured. Raises NotARepository, ConfigError."""
    if given and not _NAME.fullmatch(given):
        return Place(given)
    config = _configuration(option)
    known = config.repositories if config is not None else {}
    if given:
        return Place(known[given].location, given, known[given]) if given in known else Place(given)
    if len(known) > 1:
        raise NotARepository(
            "no repository is named, and the configuration has several",
            hint=f"say {' or '.join(f'-r {name}' for name in known)}",
        )
    for name, one in known.items():
        return Place(one.location, name, one)
    raise NotARepository(
        "no repository is named",
        hint="say -r /path/to/repository, set VOLTAR_REPOSITORY, or configure one",
    )


def engine_place(given: str | None, option: Path | None) -> tuple[str | None, str | None]:
    """Return the URL of an engine, None for the usual one, and the image for its helpers."""
    if given is None or not _NAME.fullmatch(given):
        return given, None
    config = _configuration(option)
    if config is None or given not in config.hosts:
        return (None if config is not None and given == "local" else given), None
    return config.hosts[given].url, config.hosts[given].helper_image


def _configuration(option: Path | None) -> "Config | None":
    path = existing_config(option)
    if path is None:
        return None
    from backup.config import load  # noqa: PLC0415  not needed where everything is said otherwise

    return load(path)


def password_of(place: Place) -> str | None:
    """Return the password of a repository from where the configuration says; None where that says
    nothing. Raises ConfigError."""
    found = place.configured
    if found is None:
        return None
    if found.password_file is not None:
        return read_secret(Path(found.password_file), "password")
    if found.password_command is not None:
        return output(found.password_command, f"password-command of repository {place.name}")
    if found.password_credential is not None:
        directory = named_path("CREDENTIALS_DIRECTORY")
        if directory is None:
            raise ConfigError(
                f"repository {place.name}: there are no credentials of systemd here",
                hint="start it as a unit with LoadCredential=, or use password-file",
            )
        return read_secret(directory / found.password_credential, "password")
    return None
