"""Where the engine is: a url, DOCKER_HOST, the current docker context, or the default socket.

The order is that of the docker client, so that `voltar` talks to the engine that `docker` talks to.
Nothing is contacted here; only the docker client's own configuration files are read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from backup.errors import ConfigError, EngineUnavailable

GIVEN = "the given url"
DEFAULT_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for a TLS connection; `verify` is False only where the user asked for that."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One engine's address: `scheme` is unix, tcp or ssh, `origin` says who named it."""

    url: str
    origin: str
    tls: Tls | None = None

    @property
    def told(self) -> str:
        """The url, and who named it where that was not the operator just now."""
        return self.url if self.origin == GIVEN else f"{self.url} (from {self.origin})"

    @property
    def scheme(self) -> str:
        """`unix`, `tcp` or `ssh`."""
        return self._parts.scheme

    @property
    def path(self) -> str:
        """The socket's path (unix); that on the far host, "" where none is named (ssh)."""
        return self.url.removeprefix("unix://") if self.scheme == "unix" else self._parts.path

    @property
    def login(self) -> str:
        """Where to log in (ssh only): the url without a path."""
        return f"ssh://{self._parts.netloc}"

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> tuple[str, int]:
        """Host and port (tcp only)."""
        parts = self._parts
        return parts.hostname or "127.0.0.1", parts.port or (2376 if self.tls else 2375)


def locate(url: str | None, environ: Mapping[str, str]) -> Address:
    """Find the engine's address. Raises ConfigError for one that cannot be used."""
    if url:
        return _checked(url, GIVEN, _tls_of_environment(environ))
    if host := environ.get("DOCKER_HOST"):
        return _checked(host, "DOCKER_HOST", _tls_of_environment(environ))
    directory = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name, origin = _context_name(directory, environ)
    if name != "default":
        return _context(directory, name, origin)
    return Address(url=DEFAULT_SOCKET, origin="the default socket")


def _checked(url: str, origin: str, tls: Tls | None) -> Address:
    """An address that we can speak to, in its normal form."""
    if "://" not in url:
        url = f"unix://{url}" if url.startswith("/") else f"tcp://{url}"
    url = url.rstrip("/")
    scheme = url.partition(":")[0].lower()
    if scheme in ("http", "https"):
        url, scheme = f"tcp://{url.split('://', 1)[1]}", "tcp"
    if scheme == "unix":
        return Address(url=url if url != "unix:" else DEFAULT_SOCKET, origin=origin)
    if scheme == "ssh":
        return Address(url=_login(url, origin), origin=origin)
    if scheme != "tcp":
        raise ConfigError(
            f"{origin} names {url!r}: expected unix:///path, tcp://host:port or "
            "ssh://user@host:port",
            hint="for example unix:///var/run/docker.sock",
        )
    return Address(url=_with_port(url, origin, tls), origin=origin, tls=tls)


def _with_port(url: str, origin: str, tls: Tls | None) -> str:
    """The url with its port spelled out."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as err:
        raise ConfigError(f"{origin} names {url!r}: {err}") from err
    if not parts.hostname:
        raise ConfigError(f"{origin} names {url!r}: the host is missing")
    return url if port else f"tcp://{parts.netloc}:{2376 if tls else 2375}"


def _login(url: str, origin: str) -> str:
    """The url of a login, as the docker client writes it. A password in it is refused unseen."""
    parts = urlsplit(url)
    if parts.password is not None:
        raise ConfigError(
            f"{origin} names a password for {parts.hostname}: a url is no place for secrets",
            hint="leave it out: voltar asks for it, or use a key",
        )
    try:
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as err:
        raise ConfigError(f"{origin} names {url!r}: {err}") from err
    if not valid or parts.query or parts.fragment:
        raise ConfigError(f"{origin} names {url!r}: expected ssh://user@host:port")
    return f"ssh://{parts.netloc}{parts.path}"


def _tls_of_environment(environ: Mapping[str, str]) -> Tls | None:
    """TLS as DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH ask for it."""
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    where = environ.get("DOCKER_CERT_PATH")
    if not (verify or where or environ.get("DOCKER_TLS")):
        return None
    directory = Path(where or environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    if not directory.is_dir():
        raise ConfigError(f"DOCKER_CERT_PATH names {directory}, which is not a directory")
    return _tls_files(directory, verify=verify)


def _tls_files(directory: Path, *, verify: bool) -> Tls:
    """The certificates in a directory, as the docker client names them."""
    ca, cert, key = (directory / f"{name}.pem" for name in ("ca", "cert", "key"))
    both = cert.exists() and key.exists()
    return Tls(
        ca=ca if ca.exists() else None,
        cert=cert if both else None,
        key=key if both else None,
        verify=verify,
    )


def _context_name(directory: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """The docker context in use, and who says so."""
    if name := environ.get("DOCKER_CONTEXT"):
        return name, f"DOCKER_CONTEXT={name}"
    config = directory / "config.json"
    try:
        name = json.loads(config.read_bytes()).get("currentContext") or "default"
    except FileNotFoundError:
        return "default", ""
    except (OSError, ValueError, AttributeError) as err:
        raise ConfigError(f"cannot read {config}: {err}") from err
    return name, f"the current docker context {name!r}"


def _context(directory: Path, name: str, origin: str) -> Address:
    """The address that a docker context holds."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts/meta" / digest / "meta.json"
    try:
        endpoint: dict[str, Any] = json.loads(meta.read_bytes())["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except FileNotFoundError as err:
        raise EngineUnavailable(
            f"there is no docker context {name!r} ({origin})",
            hint="`docker context ls` lists them, `docker context use default` goes back",
        ) from err
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"cannot read the docker context {name!r} in {meta}: {err!r}") from err
    files = directory / "contexts/tls" / digest / "docker"
    skip = bool(endpoint.get("SkipTLSVerify"))
    tls = _tls_files(files, verify=not skip) if files.is_dir() or skip else None
    return _checked(host, origin, tls)
