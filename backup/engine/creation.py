"""A container made again from its definition, on an engine of this or another version.

`request` is pure: from a definition (definition.py) to what this engine's API takes. An engine
ignores fields that it does not know, without a word; so `unknown` names those that are in use.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.engine.volumes import own_name
from backup.errors import EngineError, InUse

Definition = Mapping[str, Any]
Api = tuple[int, int]

MANY_ENDPOINTS: Api = (1, 44)
"""From here on a container may be created with several networks, and each has its MAC address."""

_ALWAYS: Api = (9, 9)
# (where, field) → the first API that knows it, and the first that does not know it any more
_TIMES: Mapping[tuple[str, str], tuple[Api, Api]] = {
    ("host_config", "Annotations"): ((1, 43), _ALWAYS),
    ("host_config", "KernelMemory"): ((1, 0), (1, 42)),
    ("host_config", "KernelMemoryTCP"): ((1, 0), (1, 52)),
    ("Healthcheck", "StartInterval"): ((1, 44), _ALWAYS),
    ("BindOptions", "CreateMountpoint"): ((1, 42), _ALWAYS),
    ("BindOptions", "ReadOnlyNonRecursive"): ((1, 44), _ALWAYS),
    ("BindOptions", "ReadOnlyForceRecursive"): ((1, 44), _ALWAYS),
    ("TmpfsOptions", "Options"): ((1, 46), _ALWAYS),
    ("endpoint", "GwPriority"): ((1, 48), _ALWAYS),
}
_VITAL: Mapping[tuple[str, str], tuple[Api, Api]] = {
    ("VolumeOptions", "Subpath"): ((1, 45), _ALWAYS),
    ("Mount", "ImageOptions"): ((1, 48), _ALWAYS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What creates a container: the body, and the networks to connect it to afterwards."""

    body: dict[str, Any]
    later: dict[str, dict[str, Any]] = field(default_factory=dict)


def request(definition: Definition, image: str, api: Api) -> Request:
    """The request that makes this container on an engine of that API, of that image there."""
    config = {**definition["config"], "Image": image}
    host = {k: v for k, v in definition["host_config"].items() if _known("host_config", k, api)}
    own = own_network(host)
    endpoints = {
        name: {key: value for key, value in found.items() if _known("endpoint", key, api)}
        for name, found in definition["networks"].items()
        if found or set(definition["networks"]) != {own}
    }
    mac = config.pop("MacAddress", None)
    if api < MANY_ENDPOINTS:
        for one in endpoints.values():
            mac = one.pop("MacAddress", None) or mac
        if mac:
            config["MacAddress"] = mac
    first = {own} & set(endpoints)  # the one network that an old engine takes at first
    now = endpoints if api >= MANY_ENDPOINTS else {k: endpoints[k] for k in first}
    later = {name: one for name, one in endpoints.items() if name not in now}
    body = {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": now}}
    return Request(body=body, later=later)


def own_network(host_config: Mapping[str, Any]) -> str:
    """The network that a container is made in, by its name in the list of endpoints."""
    mode = str(host_config.get("NetworkMode") or "")
    return "bridge" if mode == "default" else mode


def unknown(definition: Definition, api: Api) -> list[str]:
    """The fields in use that an engine of this API would ignore, by name."""
    return sorted(set(_unknown(definition, api, _TIMES)))


def unknown_vital(definition: Definition, api: Api) -> list[str]:
    """Likewise, those without which the container would have other data."""
    return sorted(set(_unknown(definition, api, _VITAL)))


def _unknown(
    definition: Definition, api: Api, times: Mapping[tuple[str, str], tuple[Api, Api]]
) -> Iterator[str]:
    for where, found in _parts(definition):
        for key, value in found.items():
            since, until = times.get((where, key), ((0, 0), _ALWAYS))
            if value and not since <= api < until:
                yield key if where == "host_config" else f"{where}.{key}"


def _parts(definition: Definition) -> Iterator[tuple[str, Mapping[str, Any]]]:
    host = definition["host_config"]
    yield "host_config", host
    yield "Healthcheck", definition["config"].get("Healthcheck") or {}
    for mount in host.get("Mounts") or []:
        yield "Mount", mount
        for name in ("BindOptions", "VolumeOptions", "TmpfsOptions"):
            yield name, mount.get(name) or {}
    for endpoint in definition["networks"].values():
        yield "endpoint", endpoint


def _known(where: str, key: str, api: Api) -> bool:
    since, until = _TIMES.get((where, key), ((0, 0), _ALWAYS))
    return since <= api < until


def create_container(engine: Engine, name: str, wanted: Request) -> tuple[str, tuple[str, ...]]:
    """Create a container and connect it to its networks; returns its id and the engine's warnings.

    Raises InUse for a name that is taken. What was made stays when it cannot be connected.
    """
    try:
        made = engine.post("/containers/create", wanted.body, name=name)
    except Declined as err:
        if err.status == 409:
            raise InUse(f"container {name!r} cannot be created: {err.reason}") from err
        raise EngineError(f"container {name!r} cannot be created: {err.reason}") from err
    identity = str(made["Id"])
    for network, endpoint in wanted.later.items():
        try:
            engine.post(
                f"/networks/{segment('network', network)}/connect",
                {"Container": identity, "EndpointConfig": endpoint},
            )
        except Declined as err:
            raise EngineError(
                f"container {name!r} cannot be connected to network {network!r}: {err.reason}"
            ) from err
    return identity, tuple(str(one) for one in made.get("Warnings") or [])


_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of the host that is asked for, or taken. `address` is "" for all addresses."""

    number: int
    protocol: str
    address: str = ""

    def meets(self, other: "Port") -> bool:
        """Whether one host cannot give both."""
        same = (self.number, self.protocol) == (other.number, other.protocol)
        return same and (self.address == other.address or "" in (self.address, other.address))


def fixed_ports(definition: Definition) -> list[Port]:
    """The ports of the host that a container asks for; where any one of a range will do, none."""
    found = []
    for inside, bindings in (definition["host_config"].get("PortBindings") or {}).items():
        protocol = str(inside).partition("/")[2] or "tcp"
        for one in bindings or []:
            match = _RANGE.fullmatch(str(one.get("HostPort") or ""))
            if match and not match[2] and int(match[1]):
                found.append(Port(int(match[1]), protocol, _address(one.get("HostIp"))))
    return sorted(set(found))


def taken_ports(engine: Engine) -> dict[Port, str]:
    """The ports of the host that running containers have, and the name of each one's container."""
    return {
        Port(int(port["PublicPort"]), str(port["Type"]), _address(port.get("IP"))): own_name(one)
        for one in engine.get("/containers/json")
        for port in one.get("Ports") or []
        if port.get("PublicPort")
    }


def _address(text: Any) -> str:
    return "" if text in (None, "", "0.0.0.0", "::") else str(text)  # noqa: S104  compared, not bound
