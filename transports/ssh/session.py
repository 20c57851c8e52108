"""A transport to a host: the way there, the handshake, the host's key, and being let in."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import paramiko

from transports.errors import ConnectionLost, HostKeyRefused, Refused, TransportError
from transports.ssh.address import Address, parse_address
from transports.ssh.algorithms import chosen
from transports.ssh.auth import authenticate
from transports.ssh.dial import CommandStream, by_command, by_jump, direct
from transports.ssh.hostkeys import Known, judge, known_host, remember, unknown
from transports.ssh.knownhosts import HostKey
from transports.ssh.protocol import Options
from transports.ssh.settings import Settings, settings_for
from transports.ssh.transport import Transport
from transports.ssh.wire import Stream, Wire

_HOPS: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """A host to connect to, and what leads there."""

    settings: Settings
    url: str
    options: Options
    chain: tuple[str, ...] = ()

    @property
    def timeout_s(self) -> float:
        return self.settings.connect_timeout_s or self.options.connect_timeout_s


def target_of(url: str, options: Options) -> Target:
    """Return what ssh_config makes of an address. Raises Refused."""
    address = parse_address(url)
    return Target(settings_for(address, options.config), address.url, options)


def connected(target: Target) -> Transport:
    """Connect, check the host's key, and be let in. Raises Refused, ConnectionLost."""
    known = known_host(target.settings, target.url, target.options.host_keys)
    accepted = _accepted(target.settings)
    transport = _checked(target, known)
    try:
        authenticate(transport, target.settings, target.options, target.url, accepted)
        _keep_alive(transport, target)
    except BaseException:
        transport.close()
        raise
    return transport


def shown_key(target: Target, known: Known) -> HostKey:
    """Return the key that a host shows, of a kind that is known if it has one; unchecked."""
    transport = _handshake(target, known, None)
    transport.close()
    return _key(transport)


def offered_key(target: Target, pin: str) -> HostKey:
    """Return the host's key of a fingerprint. Raises HostKeyRefused."""
    return pinned_key(target, replace(Known(target.url, target.settings.known_as, []), pins=(pin,)))


def pinned_key(target: Target, known: Known) -> HostKey:
    """Return the host's key that `known` wants. Raises HostKeyRefused."""
    transport = _checked(target, known)
    transport.close()
    return _key(transport)


def _checked(target: Target, known: Known) -> Transport:
    """Return a transport to the host that is meant. Raises HostKeyRefused."""
    transport = _handshake(target, known, None)
    try:
        if not judge(known, _key(transport)):
            _accept_new(target, known, _key(transport))
        return _sized(transport, target)
    except HostKeyRefused:
        transport.close()
        other = _pinned(target, known, _key(transport).kind)
        if other is None:
            raise
        return other
    except BaseException:
        transport.close()
        raise


def _accept_new(target: Target, known: Known, key: HostKey) -> None:
    if target.settings.strict != "accept-new":
        raise unknown(known, key)
    remember(target.settings, key)


def _pinned(target: Target, known: Known, kind: str) -> Transport | None:
    """Ask for the host's keys of other kinds, one of which may be the one that is wanted."""
    if not known.pins:
        return None
    offered = _algorithms(target.settings, "hostkeyalgorithms")
    rest = [name for name in offered if _kind(name) != kind]
    while rest:
        try:
            transport = _handshake(target, known, rest)
        except Refused:
            return None  # it has no other key
        key = _key(transport)
        with contextlib.suppress(HostKeyRefused):
            if judge(known, key):
                return _sized(transport, target)
        transport.close()
        rest = [name for name in rest if _kind(name) != key.kind]
    return None


def _kind(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-") else algorithm


def _sized(transport: Transport, target: Target) -> Transport:
    key = transport.get_remote_server_key()
    if key.get_name() == "ssh-rsa" and key.get_bits() < target.settings.rsa_size:
        raise HostKeyRefused(
            f"the host key of {target.url} is RSA of {key.get_bits()} bits, which is too short",
            hint="RequiredRSASize in ssh_config says how short it may be",
        )
    return transport


def _key(transport: Transport) -> HostKey:
    key = cast(paramiko.PKey, transport.host_key)
    return HostKey(key.get_name(), key.asbytes())


def _handshake(target: Target, known: Known, kinds: Sequence[str] | None) -> Transport:
    """Exchange keys with a host, whose own key is not looked at yet."""
    stream = _stream(target)
    wire = Wire(stream)
    transport = Transport(wire, target.url)
    try:
        _offer(transport, target.settings, known, kinds)
        transport.banner_timeout = transport.handshake_timeout = target.timeout_s
        transport.auth_timeout = 120
        transport.start_client(timeout=target.timeout_s)
        if not transport.initial_kex_done:  # it gives up waiting without a word
            raise EOFError("no SSH server answers there")  # noqa: TRY301 - as if it had been told
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        raise Refused(
            f"{target.url} and voltar have no algorithm in common: {error}",
            hint="--ssh-binary leaves the connection to OpenSSH, which knows more of them",
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise _no_handshake(target, stream, error) from error
    except BaseException:
        transport.close()
        wire.close()
        raise
    return transport


def _no_handshake(target: Target, stream: Stream, error: Exception) -> TransportError:
    if isinstance(stream, CommandStream):
        return ConnectionLost(f"cannot reach {target.url}: ProxyCommand: {stream.complaint()}")
    why = getattr(error, "strerror", None) or str(error) or "the connection ended"
    if "banner" in why:
        why = "no SSH server answers there"
    return ConnectionLost(f"no SSH connection to {target.url}: {why}")


def _stream(target: Target) -> Stream:
    settings = target.settings
    if settings.proxy_command is not None:
        return by_command(settings, target.url)
    if settings.proxy_jump is None:
        return direct(settings, target.url, target.timeout_s)
    through = connected(_hop(target))
    try:
        return by_jump(settings, target.url, through, target.timeout_s)
    except BaseException:
        through.close()
        raise


def _hop(target: Target) -> Target:
    """Return the last host on the way, which may itself be behind others."""
    before, _, last = (target.settings.proxy_jump or "").rpartition(",")
    address = _hop_address(last)
    settings = settings_for(address, target.options.config)
    if before:
        settings = replace(settings, proxy_jump=before, proxy_command=None)
    chain = (*target.chain, _label(target.settings))
    if _label(settings) in chain or len(chain) > _HOPS:
        raise Refused(f"ProxyJump leads in a circle: {' → '.join((*chain, _label(settings)))}")
    return Target(settings, address.url, replace(target.options, host_keys=()), chain)


def _label(settings: Settings) -> str:
    return f"{settings.user}@{settings.hostname}:{settings.port}"


def _hop_address(text: str) -> Address:
    url = text.strip()
    if not url.startswith("ssh://"):
        user, at, host = url.rpartition("@")
        if re.fullmatch(r"[^\[\]]*:[^\[\]]*:[^\[\]]*", host):
            host = f"[{host}]"
        url = f"ssh://{user}{at}{host}"
    try:
        return parse_address(url)
    except Refused as error:
        raise Refused(f"ssh_config: ProxyJump {text!r} is no host") from error


def _accepted(settings: Settings) -> Sequence[str]:
    plain = paramiko.Transport._preferred_pubkeys  # type: ignore[attr-defined]
    possible = (*plain, *(f"{name}-cert-v01@openssh.com" for name in plain))
    written = settings.algorithms.get("pubkeyacceptedalgorithms")
    return chosen("pubkeyacceptedalgorithms", written, possible)


def _algorithms(settings: Settings, keyword: str) -> Sequence[str]:
    possible = {
        "ciphers": paramiko.Transport._preferred_ciphers,  # type: ignore[attr-defined]
        "macs": paramiko.Transport._preferred_macs,  # type: ignore[attr-defined]
        "kexalgorithms": paramiko.Transport._preferred_kex,  # type: ignore[attr-defined]
        "hostkeyalgorithms": paramiko.Transport._preferred_keys,  # type: ignore[attr-defined]
    }
    return chosen(keyword, settings.algorithms.get(keyword), possible[keyword])


def _offer(
    transport: Transport, settings: Settings, known: Known, kinds: Sequence[str] | None
) -> None:
    offered = transport.get_security_options()
    offered.ciphers = _algorithms(settings, "ciphers")
    offered.digests = _algorithms(settings, "macs")
    offered.kex = _algorithms(settings, "kexalgorithms")
    names = kinds or _algorithms(settings, "hostkeyalgorithms")
    offered.key_types = known.preferred(names)
    transport.take_pubkeys([n for n in _accepted(settings) if "-cert-" not in n])
    transport.use_compression(settings.compression)
    if settings.rekey_size is not None:
        transport.rekey_after(settings.rekey_size)


def _keep_alive(transport: Transport, target: Target) -> None:
    interval = target.settings.alive_interval_s or target.options.alive_interval_s
    count = target.settings.alive_count or target.options.alive_count
    transport.wire.watch(interval, interval * (count + 1), transport.ask_whether_alive)
