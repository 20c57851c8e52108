"""Preflight of networks and ports, and which networks are to be made."""

from collections.abc import Iterable
from dataclasses import replace

from backup.engine import BRIDGE_NAME, PREDEFINED, Network, Port
from backup.migrate.facts import Ground, Origin, Wishes
from backup.migrate.findings import Findings, blocks, warns

_OWN = ("127.0.0.1", "::1")


def wanted(origin: Origin, wishes: Wishes) -> dict[str, Network | None]:
    """The source's networks by the names that they shall have on the target; None for one that the
    source has lost. Those that every engine has are not among them."""
    if origin.container is None:
        return {}
    found = {one.name: one for one in origin.networks}
    return {
        wishes.networks.get(name, name): found.get(name)
        for name in origin.container.definition["networks"]
        if name not in PREDEFINED or name in wishes.networks
    }


def to_make(origin: Origin, ground: Ground, wishes: Wishes) -> tuple[Network, ...]:
    """The networks that the target lacks and that can be made there as they are, but that one whose
    addresses are taken there gets others."""
    made = []
    for name, network in wanted(origin, wishes).items():
        if network is None or ground.network(name) or not _can_be_made(network):
            continue
        if name in wishes.networks.values():
            continue
        ipam = network.ipam if not _overlapping(network, ground) else _without_addresses(network)
        made.append(replace(network, ipam=ipam))
    return tuple(made)


def _can_be_made(network: Network) -> bool:
    return network.driver == "bridge" and network.scope == "local" and not network.made_from


def _overlapping(network: Network, ground: Ground) -> str:
    others = (one.name for one in ground.networks if one.overlaps(network))
    return next(others, "")


def _without_addresses(network: Network) -> dict[str, object]:
    return {key: value for key, value in network.ipam.items() if key != "Config"}


def of_networks(origin: Origin, ground: Ground, wishes: Wishes) -> Findings:
    """What is missing, or is there and other."""
    names = set(origin.container.definition["networks"]) if origin.container else set()
    for name in wishes.networks:
        if name not in names:
            yield blocks(
                f"--network {name}=…: the container is not in that network", "leave it out"
            )
    for name, network in wanted(origin, wishes).items():
        there = ground.network(name)
        if there and name not in wishes.networks.values():
            yield from _there(origin, name, network, there)
        elif there:
            continue
        elif name in wishes.networks.values():
            yield blocks(
                f"there is no network {name!r} on the target", f"docker network create {name}"
            )
        elif network is None:
            yield blocks(
                f"the network {name!r} is gone from the source, and cannot be made again",
                f"make it on the target: docker network create {name}",
            )
        else:
            yield from _missing(origin, name, network, ground)


def _missing(origin: Origin, name: str, network: Network, ground: Ground) -> Findings:
    if not _can_be_made(network):
        yield blocks(
            f"the target has no network {name!r} (driver {network.driver}, {network.scope}), and "
            "it hangs on the host or the swarm",
            f"make it there, or --network {name}=OTHER",
        )
        return
    if other := _overlapping(network, ground):
        where = f"{', '.join(network.subnets)}, the addresses of network {name!r}, are those of "
        if addresses := _static(origin, name):
            yield blocks(
                f"{where}{other!r} on the target, and the container wants {addresses[0]}",
                f"remove {other!r} there, or --network {name}=OTHER",
            )
        else:
            yield warns(f"{where}{other!r} on the target: it gets others there")
    bridge = network.options.get(BRIDGE_NAME)
    if bridge and any(one.options.get(BRIDGE_NAME) == bridge for one in ground.networks):
        yield blocks(
            f"network {name!r} has the bridge {bridge!r}, and another one has it on the target",
            f"--network {name}=OTHER",
        )


def _there(origin: Origin, name: str, network: Network | None, there: Network) -> Findings:
    for address in _static(origin, name):
        if not there.has(address):
            yield blocks(
                f"the container wants the address {address}, which the target's network {name!r} "
                f"({', '.join(there.subnets)}) does not have",
                f"make that network anew there, or --network {name}=OTHER",
            )
    if network and there.driver != network.driver:
        yield warns(
            f"network {name!r} is of driver {there.driver} on the target, and {network.driver} here"
        )
    if network and network.internal and not there.internal:
        yield warns(
            f"network {name!r} is internal here, and not on the target: it leads outside there",
            f"--network {name}=OTHER",
        )


def _static(origin: Origin, name: str) -> list[str]:
    """The addresses that the container asks for in a network."""
    assert origin.container  # noqa: S101  asked of containers only
    endpoint = origin.container.definition["networks"].get(name) or {}
    config = endpoint.get("IPAMConfig") or {}
    found = [config.get("IPv4Address"), config.get("IPv6Address")]
    return [str(one) for one in found if one]


def of_ports(origin: Origin, ground: Ground, asked: Iterable[Port]) -> Findings:
    """Ports of the host that somebody has there."""
    starts = bool(origin.state and origin.state.running)
    for port in asked:
        shown = f"{port.address + ':' if port.address else ''}{port.number}/{port.protocol}"
        for taken, name in sorted(ground.ports.items()):
            if port.meets(taken):
                text = f"port {shown} of the target is taken by container {name!r}"
                settles = f"stop it there (docker stop {name}), or publish another port"
                yield blocks(text, settles) if starts else warns(text, settles)
                break
        if port.address and port.address not in _OWN:
            yield warns(f"port {shown}: the target's host must have the address {port.address}")
    mode = origin.container.definition["host_config"].get("NetworkMode") if origin.container else ""
    if mode == "host":
        yield warns("it uses the host's network: which of its ports are taken there is not known")
