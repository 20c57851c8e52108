"""Networks of an engine: what is needed to create one again."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.errors import EngineError, InUse, NotOnEngine

PREDEFINED = ("bridge", "host", "none", "default")
"""What every engine has; `default` is what a container says that names none."""

BRIDGE_NAME = "com.docker.network.bridge.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network. `ipam` is as the engine shows and takes it; `made_from` names the network that
    has its configuration, for those that have none of their own."""

    id: str
    name: str
    driver: str
    scope: str = "local"
    internal: bool = False
    attachable: bool = False
    ipv4: bool | None = None
    ipv6: bool = False
    made_from: str = ""
    ipam: dict[str, Any] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def subnets(self) -> tuple[str, ...]:
        """Its address ranges, whoever chose them."""
        return tuple(str(one["Subnet"]) for one in self.ipam.get("Config") or [] if "Subnet" in one)

    def overlaps(self, other: "Network") -> bool:
        """Whether the two share addresses, so that one engine cannot have both."""
        return any(
            one.version == two.version and one.overlaps(two)
            for one in map(ipaddress.ip_network, self.subnets)
            for two in map(ipaddress.ip_network, other.subnets)
        )

    def has(self, address: str) -> bool:
        """Whether an address lies in one of its subnets."""
        wanted = ipaddress.ip_address(address)
        return any(wanted in one for one in map(ipaddress.ip_network, self.subnets))


def networks(engine: Engine) -> tuple[Network, ...]:
    """All networks, by name."""
    return tuple(sorted(map(parsed, engine.get("/networks")), key=lambda one: one.name))


def parsed(found: Mapping[str, Any]) -> Network:
    """A network as the engine shows it."""
    ipam = {key: value for key, value in (found.get("IPAM") or {}).items() if value}
    return Network(
        id=str(found["Id"]),
        name=str(found["Name"]),
        driver=str(found.get("Driver") or ""),
        scope=str(found.get("Scope") or "local"),
        internal=bool(found.get("Internal")),
        attachable=bool(found.get("Attachable")),
        ipv4=found.get("EnableIPv4"),
        ipv6=bool(found.get("EnableIPv6")),
        made_from=str((found.get("ConfigFrom") or {}).get("Network") or ""),
        ipam=ipam,
        options=dict(found.get("Options") or {}),
        labels=dict(found.get("Labels") or {}),
    )


def create_network(engine: Engine, wanted: Network) -> str:
    """Create a network like this one; returns its id. Raises InUse where the name is taken."""
    body: dict[str, Any] = {
        "Name": wanted.name,
        "CheckDuplicate": True,
        "Driver": wanted.driver,
        "Internal": wanted.internal,
        "Attachable": wanted.attachable,
        "EnableIPv6": wanted.ipv6,
        "IPAM": wanted.ipam,
        "Options": wanted.options,
        "Labels": wanted.labels,
    }
    if wanted.ipv4 is not None:
        body["EnableIPv4"] = wanted.ipv4
    try:
        return str(engine.post("/networks/create", body)["Id"])
    except Declined as err:
        if err.status == 409:
            raise InUse(f"there is a network {wanted.name!r} already on this engine") from err
        raise EngineError(f"the network {wanted.name!r} cannot be created: {err.reason}") from err


def remove_network(engine: Engine, identity: str) -> None:
    """Remove a network. Raises NotOnEngine, and InUse while a container is attached to it."""
    try:
        engine.delete(f"/networks/{segment('network', identity)}")
    except Declined as err:
        if err.status == 404:
            raise NotOnEngine("network", identity) from err
        raise InUse(f"the network {identity!r} cannot be removed: {err.reason}") from err
