"""What an engine and its host are like, as far as it decides whether a container can run there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backup.engine.connect import Engine

_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One engine's facts. `identity` tells whether two addresses lead to the same engine."""

    identity: str
    name: str
    url: str
    version: str
    api: tuple[int, int]
    architecture: str
    containerd_store: bool = False
    volume_drivers: frozenset[str] = frozenset({"local"})
    network_drivers: frozenset[str] = frozenset()
    log_drivers: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset()
    security: frozenset[str] = frozenset()
    cgroup_version: str = ""
    data_root: str = ""


def host(engine: Engine) -> Host:
    """The facts of a connected engine."""
    return parsed(engine.info, url=engine.url, api=engine.api_version)


def parsed(info: Mapping[str, Any], *, url: str, api: str) -> Host:
    """The facts in an engine's answer to `/info`."""
    plugins = info.get("Plugins") or {}
    machine = str(info.get("Architecture", ""))
    statuses = info.get("DriverStatus") or []
    return Host(
        identity=f"{info.get('ID', '')} {info.get('DockerRootDir', '')} {info.get('Name', '')}",
        name=str(info.get("Name", "")),
        url=url,
        version=str(info.get("ServerVersion", "")),
        api=api_number(api),
        architecture=_MACHINES.get(machine, machine),
        containerd_store=any(list(one[:2]) == ["driver-type", _SNAPSHOTTER] for one in statuses),
        volume_drivers=frozenset(plugins.get("Volume") or ["local"]),
        network_drivers=frozenset(plugins.get("Network") or []),
        log_drivers=frozenset(plugins.get("Log") or []),
        runtimes=frozenset(info.get("Runtimes") or {}),
        security=frozenset(_security(info)),
        cgroup_version=str(info.get("CgroupVersion") or ""),
        data_root=str(info.get("DockerRootDir") or ""),
    )


def api_number(text: str) -> tuple[int, int]:
    """`1.41` as a pair that can be compared."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _security(info: Mapping[str, Any]) -> list[str]:
    """The names among the security options: `name=seccomp,profile=default` is seccomp."""
    parts = [str(one).partition(",")[0] for one in info.get("SecurityOptions") or []]
    return [one.removeprefix("name=") for one in parts]
