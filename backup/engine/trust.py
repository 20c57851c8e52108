"""Whether a registry may be talked to without TLS, or without looking at its certificate.

An engine decides that by its own configuration and asks nobody; passwords and images then cross the
network in the open. So its decision is worked out here, before anything is sent, and has to be the
one that the user has allowed for that very registry.
"""

import socket
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from backup.errors import UsageError


def demand_trust(info: Mapping[str, Any], registry: str, allowed: Collection[str]) -> None:
    """Raise UsageError unless the engine and the user agree about plain HTTP to a registry.

    `info` is what the engine tells of itself.
    """
    plainly = would_speak_plainly(info.get("RegistryConfig") or {}, registry)
    wanted = registry.lower() in {each.lower() for each in allowed}
    if plainly and not wanted:
        raise UsageError(
            f"the engine would talk to {registry} without TLS or without checking its "
            "certificate, by its own configuration, so nothing was sent",
            hint=f"if the network up to there can be trusted, say --plain-http {registry}",
        )
    if wanted and not plainly:
        raise UsageError(
            f"--plain-http allows {registry}, but the engine insists on TLS there",
            hint=f'leave the option out, or put "insecure-registries": ["{registry}"] into '
            "/etc/docker/daemon.json on the engine's host and `systemctl reload docker`",
        )


def would_speak_plainly(config: Mapping[str, Any], registry: str) -> bool:
    """Whether an engine with this configuration accepts that registry without TLS.

    Names are looked up here, while the engine looks them up where it is.
    """
    known = (config.get("IndexConfigs") or {}).get(registry)
    if known is not None:
        return not known.get("Secure", True)
    networks = [
        ip_network(each, strict=False) for each in config.get("InsecureRegistryCIDRs") or ()
    ]
    return any(address in network for address in _addresses(registry) for network in networks)


def _addresses(registry: str) -> list[IPv4Address | IPv6Address]:
    host = registry
    if registry.startswith("["):
        host = registry[1:].partition("]")[0]
    elif registry.count(":") == 1:
        host = registry.partition(":")[0]
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    if host == "localhost":
        return [ip_address("127.0.0.1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ip_address(each[4][0]) for each in found]
