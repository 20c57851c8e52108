"""A captured definition, so changed that nothing of production is within its reach.

Nothing is taken over but what is known to stay within the container: what it runs, as whom, in
which environment, with which limits. All else that a definition may hold, what later engines add
included, is left out, and said. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backup.drill.choice import source_of

_CONFIG: Final = (
    *("Hostname", "Domainname", "User", "Tty", "OpenStdin", "Env", "Cmd", "Entrypoint"),
    *("Healthcheck", "WorkingDir", "StopSignal", "StopTimeout", "Shell", "ArgsEscaped"),
)
_HOST: Final = (
    *("CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "NanoCpus", "Memory"),
    *("MemoryReservation", "MemorySwap", "MemorySwappiness", "PidsLimit", "Ulimits", "ShmSize"),
    *("BlkioWeight", "Init", "ReadonlyRootfs", "CapDrop", "GroupAdd", "Tmpfs", "Sysctls"),
)
"""What only limits the container, or is in it alone."""
_REPLACED: Final = (
    *("Binds", "Mounts", "VolumesFrom", "VolumeDriver", "NetworkMode", "LogConfig", "IpcMode"),
    *("SecurityOpt", "MaskedPaths", "ReadonlyPaths", "CgroupnsMode", "Isolation", "StorageOpt"),
)
"""What has a value of the drill's own, or the engine's; what matters of it is said apart."""
_SAID: Final = {
    "PortBindings": "published ports",
    "PublishAllPorts": "published ports",
    "RestartPolicy": "the restart policy",
    "PidMode": "the PID namespace of the host or another container",
    "UTSMode": "the UTS namespace of the host",
    "UsernsMode": "the user namespace of the host",
    "Privileged": "privileges",
    "CapAdd": "added capabilities",
    "Devices": "devices",
    "DeviceRequests": "devices",
    "DeviceCgroupRules": "devices",
    "CgroupParent": "the cgroup parent",
    "Links": "links",
    "ExtraHosts": "extra hosts",
    "Dns": "DNS settings",
    "DnsOptions": "DNS settings",
    "DnsSearch": "DNS settings",
    "AutoRemove": "automatic removal",
    "Runtime": "the runtime",
}
_TIGHTENING: Final = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
_AUTOMATION: Final = (
    "traefik.",
    "com.centurylinklabs.",
    "com.ouroboros.",
    "com.docker.",
    "voltar.",
)
_LEAVE_ALONE: Final = {
    "traefik.enable": "false",
    "com.centurylinklabs.watchtower.enable": "false",
    "com.ouroboros.enable": "false",
}
_LOG: Final = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
_PIDS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a container of a drill mounts: a scratch volume, or a file in one, by its host's path.

    `fresh`: it holds nothing that was captured, so the image may fill it.
    """

    source: str
    destination: str
    read_only: bool
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a drill puts in place of production. `memory` is what the engine's host has."""

    name: str
    network: str
    labels: Mapping[str, str]
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounting:
    """How the mounts of a definition are replaced. `restored` are (source, destination, read-only);
    `empty` are (destination, read-only) of volumes that are made anew; `left_out` are sentences."""

    restored: tuple[tuple[str, str, bool], ...] = ()
    empty: tuple[tuple[str, bool], ...] = ()
    left_out: tuple[str, ...] = ()


def mounting(definition: Mapping[str, Any], captured: Sequence[str]) -> Mounting:
    """Say what replaces each mount. Nothing is ever mounted from where production has it."""
    restored, empty, left_out = [], [], []
    for mount in definition.get("mounts") or []:
        kind, place = mount.get("type"), str(mount.get("destination"))
        source, read_only = source_of(mount), bool(mount.get("read_only"))
        if kind in ("volume", "bind") and source in captured:
            restored.append((source, place, read_only))
        elif kind == "volume":
            empty.append((place, read_only))
            left_out.append(f"{source} at {place} was not captured: it is empty here")
        elif kind == "bind":
            left_out.append(f"{source} at {place} was not captured: it is not there")
        elif kind != "tmpfs":
            left_out.append(f"the mount at {place}, of the type {kind}")
    return Mounting(restored=tuple(restored), empty=tuple(empty), left_out=tuple(left_out))


def isolated(
    definition: Mapping[str, Any], around: Surroundings, places: Sequence[Place]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the definition to create, and what was left out of the captured one."""
    config = {k: v for k, v in (definition.get("config") or {}).items() if k in _CONFIG}
    config["Labels"] = _labels(definition, around)
    host = definition.get("host_config") or {}
    networks = _networks(definition, around)
    made = {
        "config": config,
        "host_config": {**_limits(host, around.memory), **_cut_off(host, networks, places)},
        "networks": networks,
    }
    return made, tuple(dict.fromkeys(_left_out(definition)))


def _labels(definition: Mapping[str, Any], around: Surroundings) -> dict[str, str]:
    """Ours, and nothing for what an image says to those who act on labels."""
    of_image = ((definition.get("image") or {}).get("config") or {}).get("Labels") or {}
    muted = {name: "" for name in of_image if name.startswith(_AUTOMATION)}
    return {**muted, **_LEAVE_ALONE, **around.labels}


def _networks(definition: Mapping[str, Any], around: Surroundings) -> dict[str, Any]:
    """The drill's own network, where the container has the names that it had; or none at all."""
    if (definition.get("host_config") or {}).get("NetworkMode") == "none":
        return {}
    names = [str(definition.get("name") or "")]
    for endpoint in (definition.get("networks") or {}).values():
        names += [str(alias) for alias in (endpoint or {}).get("Aliases") or []]
    return {around.network: {"Aliases": sorted({name for name in names if name})}}


def _limits(host: Mapping[str, Any], memory: int) -> dict[str, Any]:
    """The limits that it had; where it had none, such that production does not suffer."""
    kept = {key: value for key, value in host.items() if key in _HOST and value}
    if not kept.get("Memory") and memory:
        kept["Memory"] = memory // 2
        kept.pop("MemorySwap", None)
        kept.pop("MemoryReservation", None)
    if int(kept.get("PidsLimit") or 0) <= 0:
        kept["PidsLimit"] = _PIDS
    return kept


def _cut_off(
    host: Mapping[str, Any], networks: Mapping[str, Any], places: Sequence[Place]
) -> dict[str, Any]:
    tightened = [one for one in host.get("SecurityOpt") or [] if one in _TIGHTENING]
    in_memory = [one for one in host.get("Mounts") or [] if one.get("Type") == "tmpfs"]
    return {
        "Privileged": False,
        "AutoRemove": False,
        "PublishAllPorts": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": _LOG,
        "IpcMode": "none" if host.get("IpcMode") == "none" else "private",
        "SecurityOpt": tightened,
        "NetworkMode": next(iter(networks), "none"),
        "Dns": ["127.0.0.1"],
        "Mounts": [*map(_mount, places), *in_memory],
    }


def _mount(place: Place) -> dict[str, Any]:
    kind = "bind" if place.source.startswith("/") else "volume"
    found: dict[str, Any] = {
        "Type": kind,
        "Source": place.source,
        "Target": place.destination,
        "ReadOnly": place.read_only,
    }
    if kind == "volume" and not place.fresh:
        found["VolumeOptions"] = {"NoCopy": True}
    return found


def _left_out(definition: Mapping[str, Any]) -> Iterator[str]:
    host = definition.get("host_config") or {}
    yield from _left_out_networks(definition, str(host.get("NetworkMode") or ""))
    for key, value in sorted(host.items()):
        if key in (*_HOST, *_REPLACED) or not value or _is_default(key, value):
            continue
        yield _SAID.get(key, key)
    if str(host.get("IpcMode") or "").partition(":")[0] in ("host", "container"):
        yield "the IPC namespace of the host or another container"
    if [one for one in host.get("SecurityOpt") or [] if one not in _TIGHTENING]:
        yield "security options"
    if (host.get("LogConfig") or {}).get("Type") not in (None, "", "json-file", "local"):
        yield f"the log driver {host['LogConfig']['Type']}"


def _is_default(key: str, value: Any) -> bool:
    if key == "RestartPolicy":
        return value.get("Name") in (None, "", "no")
    return (key, value) in (("Runtime", "runc"), ("Cgroup", ""))


def _left_out_networks(definition: Mapping[str, Any], mode: str) -> Iterator[str]:
    if mode == "host":
        yield "the network of the host"
    elif mode.startswith("container:"):
        yield f"the network of {mode}"
    for name in sorted(definition.get("networks") or {}):
        if name not in ("none", "host"):
            yield f"the network {name}"
