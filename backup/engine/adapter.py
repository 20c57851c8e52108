"""Requests to the engine over our own connections.

docker-py's client is a `requests` session; this adapter gives it the sockets of a route, for every
kind of address. So there is one place that connects, with one set of error messages, and a
refused connection leaks no socket (docker-py's own adapter does).
"""

import socket
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.connection

from backup.engine.route import Route


class _Connection(urllib3.connection.HTTPConnection):
    """One connection to the engine."""

    def __init__(self, route: Route) -> None:
        super().__init__("localhost")
        self._route = route

    def _new_conn(self) -> socket.socket:
        sock = self._route.dial()
        sock.settimeout(self.timeout)  # dial's own is for connecting; an upload may have to wait
        return sock


class _Pool(urllib3.HTTPConnectionPool):
    """Connections that wait for the next request."""

    def __init__(self, route: Route) -> None:
        super().__init__("localhost", maxsize=4)
        self._route = route

    def _new_conn(self) -> _Connection:
        return _Connection(self._route)


class EngineAdapter(requests.adapters.HTTPAdapter):
    """Sends a session's requests to one engine, whatever the host in their URLs."""

    def __init__(self, route: Route) -> None:
        super().__init__()
        self._pool = _Pool(route)

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> _Pool:
        """The only pool there is; TLS is done by the route."""
        return self._pool

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Done by the route."""

    def request_url(self, request: requests.PreparedRequest, _proxies: Any) -> str:
        """The path alone: there is no proxy."""
        return request.path_url

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()
        super().close()
