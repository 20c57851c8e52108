"""A link by paramiko."""

import getpass
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import paramiko

from transports.errors import ConnectionLost, Refused, TransportError
from transports.ssh.address import Address, parse_address
from transports.ssh.protocol import Buffer, Finished, Options
from transports.ssh.shell import command_line, new_mark
from transports.ssh.stream import PumpedRemote
from transports.ssh.transport import Transport
from transports.ssh.wire import Wire

_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)


class ParamikoLink:
    """One SSH connection; see `transports.ssh.protocol.Link`."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self.url = url

    def start(self, argv: Sequence[str]) -> PumpedRemote:
        try:
            channel = self._transport.open_session(timeout=60)
            mark = new_mark()
            remote = PumpedRemote(self._transport, channel, mark, self.url)
            remote.begin(command_line(argv, mark))
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not self._transport.is_active():
                raise ConnectionLost(f"the connection to {self.url} was lost: {error}") from error
            raise Refused(f"{self.url} does not run {argv[0]}: {error}") from error
        return remote

    def run(self, argv: Sequence[str], *, stdin: Buffer = b"", timeout_s: float = 60) -> Finished:
        remote = self.start(argv)
        try:
            return communicate(remote, stdin, timeout_s)
        except TimeoutError as error:
            raise TransportError(
                f"{argv[0]} on {self.url} has not ended within {timeout_s:.0f} s"
            ) from error
        finally:
            remote.close()

    def close(self) -> None:
        self._transport.close()
        self._transport.join(5)


def communicate(remote: PumpedRemote, stdin: Buffer, timeout_s: float) -> Finished:
    remote.sock.settimeout(timeout_s)
    writer = threading.Thread(target=_write, args=(remote.sock, stdin), daemon=True)
    writer.start()
    output = []
    while block := remote.sock.recv(1 << 18):
        output.append(block)
    finished = remote.finished(timeout_s)
    if finished is None:
        raise TimeoutError
    return Finished(finished.status, b"".join(output), finished.stderr)


def _write(sock: socket.socket, data: Buffer) -> None:
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the command ended before it read everything, which is its right


def connect(url: str, options: Options) -> ParamikoLink:
    address = parse_address(url)
    config = paramiko.SSHConfig()
    path = options.config or Path.home() / ".ssh/config"
    if path.exists():
        config = paramiko.SSHConfig.from_path(str(path))
    settings = config.lookup(address.host)
    host = settings["hostname"]
    port = address.port or int(settings.get("port", 22))
    user = address.user or settings.get("user") or getpass.getuser()
    try:
        stream = socket.create_connection((host, port), options.connect_timeout_s)
    except OSError as error:
        raise ConnectionLost(f"cannot reach {url}: {error}") from error
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    transport = Transport(Wire(stream))
    try:
        _authenticate(transport, address, user, settings, port)
    except paramiko.AuthenticationException as error:
        transport.close()
        raise Refused(f"{url} lets {user} not in: {error}") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise ConnectionLost(f"no SSH connection to {url}: {error}") from error
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(int(options.alive_interval_s))
    transport.wire.watch(options.alive_interval_s * (options.alive_count + 1))
    return ParamikoLink(transport, address.url)


def _authenticate(
    transport: Transport,
    address: Address,
    user: str,
    settings: Mapping[str, Any],
    port: int,
) -> None:
    transport.get_security_options().ciphers = _CIPHERS
    expected = _expected(settings, port)
    options = transport.get_security_options()
    first = [kind for kind in options.key_types if kind in expected]
    options.key_types = (*first, *(kind for kind in options.key_types if kind not in first))
    transport.start_client(timeout=15)
    key = transport.get_remote_server_key()
    if key.get_name() not in expected:
        raise Refused(f"the host key of {address.url} is unknown: {key.fingerprint}")
    if expected[key.get_name()] != key:
        raise Refused(f"the host key of {address.url} has changed: {key.fingerprint}")
    for candidate in _keys(settings):
        try:
            transport.auth_publickey(user, candidate)
        except paramiko.AuthenticationException:
            continue
        return
    raise paramiko.AuthenticationException("no key was accepted")


def _expected(settings: Mapping[str, Any], port: int) -> Mapping[str, paramiko.PKey]:
    known = paramiko.HostKeys()
    files = settings.get("userknownhostsfile", str(Path.home() / ".ssh/known_hosts")).split()
    for file in files:
        if Path(file).exists():
            known.load(file)
    host = settings["hostname"]
    name = host if port == 22 else f"[{host}]:{port}"
    found: Mapping[str, paramiko.PKey] = known.lookup(settings.get("hostkeyalias", name)) or {}
    return found


def _keys(settings: Mapping[str, Any]) -> Iterator[paramiko.PKey]:
    if "identityfile" not in settings:
        yield from paramiko.Agent().get_keys()
    for file in settings.get("identityfile", [str(Path.home() / ".ssh/id_ed25519")]):
        if Path(file).expanduser().exists():
            yield paramiko.PKey.from_path(file)
