"""The way to an engine: how a connection to it is opened, and what else it is good for.

Above this nobody knows whether the engine is behind a socket of this machine, a port, or an SSH
connection (ssh.py).
"""

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from backup.engine.address import Address, Tls
from backup.engine.door import reaching
from backup.engine.machine import Machine
from backup.engine.pipes import local_directory
from backup.engine.private import places
from backup.engine.shelf import Shelf

CONNECT_TIMEOUT_S = 10.0


class Route(Protocol):
    """The way to one engine. As far as can be told: `near`, the engine's host is this machine;
    `shares_paths`, what has a path there has the same path here."""

    address: Address
    near: bool
    shares_paths: bool

    def dial(self) -> socket.socket:
        """Open a blocking connection. Raises EngineUnavailable that says what to do."""

    def reaching(self) -> AbstractContextManager[None]:
        """Translate whatever goes wrong on the way to the engine into EngineUnavailable."""

    def shelves(self) -> Sequence[Shelf]:
        """Where directories can be made that helpers may see, the best place first."""

    def machines(self) -> Sequence[Machine]:
        """The engine's host, where programs can be run and read there."""

    def close(self) -> None:
        """Let go of it."""


class Direct:
    """A unix socket of this machine, or a TCP port."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.near = self.shares_paths = address.scheme == "unix" or _loopback(address.host[0])

    def dial(self) -> socket.socket:
        """Open a blocking connection. Raises EngineUnavailable that says what to do."""
        return _dial(self.address)

    def reaching(self) -> AbstractContextManager[None]:
        """Translate whatever goes wrong on the way to the engine into EngineUnavailable."""
        return reaching(self.address)

    def shelves(self) -> Sequence[Shelf]:
        """Directories of this machine."""
        return [Shelf(str(place), partial(local_directory, place)) for place in places()]

    def machines(self) -> Sequence[Machine]:
        """None: there is no shell."""
        return ()

    def close(self) -> None:
        """Nothing is held."""


def _dial(address: Address) -> socket.socket:
    """Open a blocking connection to the engine. Raises EngineUnavailable that says what to do."""
    with reaching(address):
        if address.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(CONNECT_TIMEOUT_S)
            try:
                sock.connect(address.path)
            except BaseException:
                sock.close()
                raise
            return sock
        sock = socket.create_connection(address.host, timeout=CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return _secured(sock, address)


def _secured(sock: socket.socket, address: Address) -> socket.socket:
    """The same connection with TLS around it, where the address asks for TLS."""
    if address.tls is None:
        return sock
    try:
        return _tls_context(address.tls).wrap_socket(sock, server_hostname=address.host[0])
    except BaseException:
        sock.close()
        raise


def _tls_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    # from 3.13 on Python asks for extensions that certificates made by Docker's own recipe lack
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert and tls.key:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
