"""Who we are to a registry: from docker's own configuration and the programs that it names.

The order is the docker client's: the helper of that registry (credHelpers), else the store of all
(credsStore), else what config.json holds itself (auths). A helper is asked for one registry at a
time, by its protocol: `docker-credential-NAME get`, the registry on stdin, JSON on stdout.

Nothing here shows a secret: errors tell of places and programs, and a credential's repr is empty.
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backup.engine.reference import HUB
from backup.errors import BackupError, ConfigError

_HUB_KEY: Final = "https://index.docker.io/v1/"
_TOKEN_USER: Final = "<token>"  # noqa: S105  what helpers say in place of a user's name
_NOT_FOUND: Final = "credentials not found"
_HELPER_S: Final = 120.0
"""A helper may ask the user for a PIN."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a registry wants to know; `origin` says where it was found."""

    origin: str
    _fields: Mapping[str, str] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header in which the engine takes it."""
        packed = base64.urlsafe_b64encode(json.dumps(dict(self._fields)).encode())
        return {"X-Registry-Auth": packed.decode()}


ANONYMOUS: Final = Credential("nowhere", {})


def credential(registry: str, environ: Mapping[str, str]) -> Credential:
    """Return what is known for a registry, or ANONYMOUS.

    Raises ConfigError for a configuration that cannot be used or names a helper that is not there,
    and BackupError for a helper that fails.
    """
    file = _config_file(environ)
    config = _read(file)
    key = _HUB_KEY if registry == HUB else registry
    helper = _text(_table(config, "credHelpers", file), registry, file) or _text(
        config, "credsStore", file
    )
    if helper:
        found = _asked(helper, key, registry, environ)
        if found:
            return found
    return _stored(_table(config, "auths", file), registry, file)


def _config_file(environ: Mapping[str, str]) -> Path:
    if directory := environ.get("DOCKER_CONFIG"):
        return Path(directory) / "config.json"
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".docker/config.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read docker's configuration {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"docker's configuration {file} is no JSON") from error
    if not isinstance(config, dict):
        raise _unusable(file, "it is no object")
    return config


def _table(config: Mapping[str, Any], name: str, file: Path) -> dict[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise _unusable(file, f"{name} is no object")
    return found


def _text(table: Mapping[str, Any], name: str, file: Path) -> str:
    found = table.get(name) or ""
    if not isinstance(found, str):
        raise _unusable(file, f"{name} is no text")
    return found


def _asked(helper: str, key: str, registry: str, environ: Mapping[str, str]) -> Credential | None:
    """Ask a helper for one registry; None where it knows nothing of it."""
    program = f"docker-credential-{helper}"
    path = shutil.which(program, path=environ.get("PATH"))
    if path is None or "/" in helper:
        raise ConfigError(
            f"docker's configuration names the credential helper {program} for {registry}, "
            "and there is no such program",
            hint="install it, put it on PATH, or take it out of docker's config.json",
        )
    try:
        done = subprocess.run(
            [path, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_S,
            check=False,
            env=dict(environ),
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(program, registry, f"no answer in {_HELPER_S:.0f} s") from error
    except OSError as error:
        raise _failed(program, registry, error.strerror or str(error)) from error
    said = (done.stdout or done.stderr).decode(errors="backslashreplace").strip()
    if done.returncode and _NOT_FOUND in said.lower():
        return None
    if done.returncode:
        first = said.splitlines()[0][:200] if said else "it says nothing"
        raise _failed(program, registry, f"exit status {done.returncode}: {first}")
    return _answered(done.stdout, program, registry)


def _answered(answer: bytes, program: str, registry: str) -> Credential | None:
    try:
        told = json.loads(answer)
        user, secret = str(told.get("Username") or ""), str(told["Secret"])
    except (ValueError, KeyError, TypeError, AttributeError):
        # what it printed may hold the secret: neither it nor the parser's complaint is shown
        raise _failed(program, registry, "its answer is not of its protocol") from None
    if not user and not secret:
        return None  # some helpers say so that they know nothing
    return _made(f"the credential helper {program}", registry, user, secret)


def _stored(auths: Mapping[str, Any], registry: str, file: Path) -> Credential:
    """Look up what the configuration holds itself; keys may be whole URLs."""
    keys = [key for key in auths if key == registry] or [
        key for key in auths if _host_of(key) == registry
    ]
    entry = auths[keys[0]] if keys else {}
    if not isinstance(entry, dict):
        raise _unusable(file, f"the entry of {registry} is no object")
    if token := entry.get("identitytoken"):
        return _made(str(file), registry, _TOKEN_USER, str(token))
    if token := entry.get("registrytoken"):
        return Credential(str(file), {"registrytoken": str(token), "serveraddress": registry})
    user, secret = entry.get("username") or "", entry.get("password") or ""
    if packed := entry.get("auth"):
        try:
            user, colon, secret = base64.b64decode(packed, validate=True).decode().partition(":")
        except (ValueError, TypeError):
            colon = ""
        if not colon:
            raise _unusable(file, f"the entry of {registry} is no credential") from None
        secret = secret.strip("\0")
    if not user and not secret:
        return ANONYMOUS
    return _made(str(file), registry, str(user), str(secret))


def _host_of(key: str) -> str:
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return HUB if host == "index.docker.io" else host


def _made(origin: str, registry: str, user: str, secret: str) -> Credential:
    address = _HUB_KEY if registry == HUB else registry
    if user == _TOKEN_USER:
        return Credential(origin, {"identitytoken": secret, "serveraddress": address})
    return Credential(origin, {"username": user, "password": secret, "serveraddress": address})


def _unusable(file: Path, why: str) -> ConfigError:
    return ConfigError(f"docker's configuration {file} cannot be used: {why}")


def _failed(program: str, registry: str, why: str) -> BackupError:
    return BackupError(f"the credential helper {program} gave nothing for {registry}: {why}")
