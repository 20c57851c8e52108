"""The first configuration of a machine: where it goes, and that nothing is in its way."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from backup.cli.context import Context
from backup.cli.places import new_config
from backup.cli.secret import named_path
from backup.draft import Facts, draft
from backup.engine import Engine, containers, volumes
from backup.errors import ConfigError
from transports.store import publish, sync_directory

_USUAL_ENGINE: Final = "unix:///var/run/docker.sock"
_USUAL_PLACE: Final = "/srv/backup"
_HINT: Final = "look at it with `voltar config show`, or name another file with --config"


def write_first(context: Context) -> Path:
    """Write a configuration for what runs on the engine, and return where it is.

    Raises ConfigError where there is one already, or none can be written.
    """
    path = new_config(context.config).absolute()
    if os.path.lexists(path):
        raise _there(path)
    with context.engine() as engine:
        text = draft(_facts(context, engine))
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True)
        _write(path, text)
    except OSError as error:
        if os.path.lexists(path):
            raise _there(path) from error
        raise ConfigError(
            f"cannot write the configuration {path}: {error.strerror}",
            hint="name another file with --config",
        ) from error
    return path


def _facts(context: Context, engine: Engine) -> Facts:
    password_file = context.password_file or named_path("VOLTAR_PASSWORD_FILE")
    return Facts(
        engine_url=None if engine.url == _USUAL_ENGINE else engine.url,
        location=_location(context.repository or os.environ.get("VOLTAR_REPOSITORY")),
        password_file=str(password_file.absolute()) if password_file else None,
        containers=containers(engine),
        volumes=volumes(engine),
    )


def _location(given: str | None) -> str:
    if not given:
        return _USUAL_PLACE if os.geteuid() == 0 else "~/voltar-repository"
    return given if ":" in given else str(Path(given).expanduser().absolute())


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all, and replace none."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
        sync_directory(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _there(path: Path) -> ConfigError:
    return ConfigError(f"there is a configuration already: {path}", hint=_HINT)
