"""The connection to one engine: requests, replies as plain JSON, streams.

JSON stops at the modules of this package.
"""

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from backup.blocks import Blocks
from backup.engine import wire
from backup.engine.address import Address, locate
from backup.engine.door import Declined
from backup.engine.machine import HERE, Machine
from backup.engine.route import Direct, Route
from backup.engine.ssh import SshRoute
from backup.errors import ConfigError, EngineError, NotOnEngine
from transports.ssh import Options

if TYPE_CHECKING:
    import requests

TIMEOUT_S = 60.0
LONG_TIMEOUT_S = 3600.0
"""For the engine's silence while it gathers or unpacks an image; a dead link is TCP's to notice."""
_BLOCK = 1 << 20
PLANES = ("fifo", "attach")
COMPRESSION = ("auto", "always", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user may decide about helpers."""

    helper_image: str | None = None
    data_plane: str | None = None
    ssh_compression: str = "auto"
    sys_admin: bool = True
    api_version: str | None = None


class Engine:
    """One Docker engine, connected. Close it, or use it as a context manager.

    `memory` is where this package keeps what it found out once (the helper image, the data plane).
    """

    def __init__(self, route: Route, settings: Settings) -> None:
        self.route = route
        self.address = route.address
        self.settings = settings
        self.url = route.address.url
        self.shares_paths = route.shares_paths
        """Whether a path of its host is, as far as can be told, the same path here."""
        self.memory: dict[str, Any] = {}
        from backup.engine.client import client  # noqa: PLC0415  0.1 s to load, and not always needed

        self._api = client(route, settings.api_version, TIMEOUT_S)
        self.api_version: str = self._api.api_version
        self.info: dict[str, Any] = self._facts()
        self._connected = time.monotonic()
        info = self.info
        self.name = str(info["Name"])
        self.version = str(info["ServerVersion"])
        self.architecture = str(info["Architecture"])
        self.data_root = str(info.get("DockerRootDir") or "")

    def _facts(self) -> dict[str, Any]:
        try:
            info: dict[str, Any] = self.get("/info")
        except BaseException:
            self.close()
            raise
        if info.get("OSType", "linux") != "linux":
            self.close()
            raise EngineError(f"the engine at {self.url} runs {info['OSType']} containers")
        return info

    def now(self) -> float:
        """The engine's time, in seconds, as it goes on since it was asked when this connected."""
        asked = datetime.fromisoformat(str(self.info["SystemTime"]))
        return asked.timestamp() + time.monotonic() - self._connected

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        """GET a JSON document."""
        return self._json("GET", path, params=params, headers=headers)

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        **params: Any,
    ) -> Any:
        """POST a JSON document; the reply is parsed when there is one."""
        return self._json("POST", path, params=params, json=body, timeout=timeout_s)

    def delete(self, path: str, *, timeout_s: float = TIMEOUT_S, **params: Any) -> None:
        """DELETE an object."""
        self._json("DELETE", path, params=params, timeout=timeout_s)

    def upload(
        self,
        path: str,
        blocks: Blocks | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        **params: Any,
    ) -> Iterator[dict[str, Any]]:
        """POST bytes; yields the messages that the engine answers with.

        Raises EngineError for an error among them, and for a transfer that failed.
        """
        how = {"params": params, "headers": headers, "timeout": timeout_s}
        reply = self._request("POST", path, data=blocks, stream=True, **how)
        with reply, self.route.reaching():
            for line in reply.iter_lines():
                message = json.loads(line) if line.strip() else {}
                if "error" in message:
                    raise Declined(500, str(message["error"]))
                yield message

    def download(self, path: str, *, timeout_s: float = TIMEOUT_S, **params: Any) -> Blocks:
        """GET bytes, as they come. Raises EngineUnavailable for a stream that breaks off."""
        reply = self._request("GET", path, params=params, stream=True, timeout=timeout_s)
        with reply, self.route.reaching():
            yield from reply.iter_content(_BLOCK)

    def stream(self, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> wire.Wire:
        """POST a request that the engine answers with a two-way stream."""
        return wire.hijack(self.route, f"/v{self.api_version}{path}", params, body)

    def find(self, kind: str, name: str, path: str) -> Any:
        """GET one object. Raises NotOnEngine(kind, name) when there is none."""
        try:
            return self.get(path)
        except Declined as err:
            if err.status == 404:
                raise NotOnEngine(kind, name) from err
            raise

    def machines(self) -> list[Machine]:
        """Where tools may come from that run on the engine: here first, then its host."""
        here: list[Machine] = [HERE] if self.local_architecture() else []
        return [*here, *self.route.machines()]

    def local_architecture(self) -> bool:
        """True where programs of this machine run on the engine."""
        same = {"amd64": "x86_64", "arm64": "aarch64"}
        ours = platform.machine().lower()
        theirs = self.architecture.lower()
        return platform.system() == "Linux" and same.get(ours, ours) == same.get(theirs, theirs)

    def close(self) -> None:
        """Close idle connections, and let go of the way to the engine."""
        self._api.close()
        self.route.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _json(self, method: str, path: str, **how: Any) -> Any:
        reply = self._request(method, path, **how)
        with self.route.reaching():
            return reply.json() if reply.content.strip() else None

    def _request(self, method: str, path: str, **how: Any) -> "requests.Response":
        url = f"{self._api.base_url}/v{self._api.api_version}{path}"
        with self.route.reaching():
            how.setdefault("timeout", TIMEOUT_S)
            reply: requests.Response = self._api.request(method, url, **how)
        if reply.status_code < 400:
            return reply
        with reply, self.route.reaching():
            raise Declined(reply.status_code, _message(reply))


def connect(
    url: str | None = None,
    *,
    helper_image: str | None = None,
    environ: Mapping[str, str] | None = None,
    ssh: Options | None = None,
) -> Engine:
    """Connect to the engine at `url`, or to the one that the docker client would use.

    Looks at DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), the current docker context
    and the default socket, in this order. Raises EngineUnavailable, which says where it looked and
    what to do, and ConfigError for settings that cannot be used.
    """
    environ = os.environ if environ is None else environ
    settings = _settings(helper_image, environ)
    route = _route(locate(url, environ), ssh or Options())
    try:
        return Engine(route, settings)
    except BaseException:
        route.close()
        raise


def _route(address: Address, ssh: Options) -> Route:
    return SshRoute(address, ssh) if address.scheme == "ssh" else Direct(address)


def segment(kind: str, name: str) -> str:
    """A name as one segment of a path. Raises NotOnEngine for what can be no name."""
    if name in ("", ".", "..") or "/" in name:  # the engine unquotes before it resolves
        raise NotOnEngine(kind, name)
    return quote(name, safe="")


def _settings(helper_image: str | None, environ: Mapping[str, str]) -> Settings:
    plane = environ.get("VOLTAR_DATA_PLANE") or None
    if plane not in (None, *PLANES):
        raise ConfigError(f"VOLTAR_DATA_PLANE is {plane!r}: expected fifo or attach")
    compression = environ.get("VOLTAR_SSH_COMPRESSION") or "auto"
    if compression not in COMPRESSION:
        raise ConfigError(
            f"VOLTAR_SSH_COMPRESSION is {compression!r}: expected auto, always or never"
        )
    return Settings(
        helper_image=helper_image or environ.get("VOLTAR_HELPER_IMAGE") or None,
        data_plane=plane,
        ssh_compression=compression,
        sys_admin=environ.get("VOLTAR_HELPER_NO_SYS_ADMIN") in (None, "", "0"),
        api_version=environ.get("DOCKER_API_VERSION") or None,
    )


def _message(reply: "requests.Response") -> str:
    try:
        return str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        return reply.text.strip() or f"HTTP {reply.status_code}"
