"""From a file to a configuration, strictly."""

import tomllib
from pathlib import Path

import msgspec

from backup.config.model import Config
from backup.errors import ConfigError


def load(path: Path) -> Config:
    """Read a configuration. Raises ConfigError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Config)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error
