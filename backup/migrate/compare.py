"""Is the container on the target what it is on the source? A diff of the two definitions.

Engines of different versions show the same container in slightly different ways; what is known to
be only that is in `_ALLOWED`, each with its reason. What is not set counts as absent, however it
is written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from backup.engine import unknown

_COMPARED: Final = ("config", "host_config", "networks", "mounts")
_ALLOWED: Final = (
    r"config\.Image",  # the id of an image differs between image stores
    r"config\.MacAddress",  # since API 1.44 the endpoint has it
    r"networks\..*\.MacAddress",
    r"networks\..*\.Aliases",  # Docker 25 no longer adds the container's name to them
    r"config\.OnBuild",
    r"host_config\.OomKillDisable",  # false, or null under cgroup v2
    r"host_config\.MemorySwappiness",  # -1, or null
    r"host_config\.MemorySwap",  # twice the memory, where it is not set and can be limited
    r"host_config\.KernelMemory(TCP)?",
    r"host_config\.Isolation",
    r"host_config\.CgroupnsMode",  # named by 20.10 as it was by default
    r"host_config\.(Masked|Readonly)Paths",  # newer engines hide more by default
    r"config\.ExposedPorts",  # left out where the network is that of another container
)
_IS_ALLOWED: Final = re.compile("|".join(f"(?:{one})" for one in _ALLOWED))


class Difference(NamedTuple):
    """One field that is not the same."""

    path: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.path}: {self.source} on the source, {self.target} on the target"


def differences(
    source: Mapping[str, Any], target: Mapping[str, Any], api: tuple[int, int]
) -> list[Difference]:
    """Return in what the target's definition is not the source's, but for what must differ.

    `api` is the target's: what it does not know has been told already.
    """
    one_side, other_side = (
        {
            **each,
            "host_config": _host_config(each),
            "networks": _networks(each),
            "mounts": _mounts(each),
        }
        for each in (source, target)
    )
    left_out = {one.rpartition(".")[2] for one in unknown(source, api)}
    return [
        one
        for key in _COMPARED
        for one in _differ(key, one_side[key], other_side[key])
        if not _IS_ALLOWED.fullmatch(one.path) and one.path.rpartition(".")[2] not in left_out
    ]


def _host_config(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The default network is the bridge; newer engines call it so."""
    found = dict(definition["host_config"])
    return found | ({"NetworkMode": "bridge"} if found.get("NetworkMode") == "default" else {})


def _networks(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What it is connected to, also where nothing was set for a network."""
    found = definition["networks"]
    return {name: {**endpoint, "connected": "yes"} for name, endpoint in found.items()}


def _mounts(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What is mounted where. Another engine has other names for anonymous volumes."""
    return {
        str(one.get("destination")): {
            "type": one.get("type"),
            "read_only": one.get("read_only"),
            "name": one.get("name") if one.get("requested") else "",
        }
        for one in definition["mounts"]
    }


def _differ(path: str, one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differ(f"{path}.{key}", one.get(key), other.get(key))
        return
    if _is_list(one) and _is_list(other) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differ(f"{path}.{number}", left, right)
        return
    if _plain(one) != _plain(other):
        yield Difference(path, _shown(one), _shown(other))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _plain(value: Any) -> Any:
    """What is not set, in one way only. An entry point of one empty word is a cleared one."""
    if isinstance(value, Mapping):
        kept = {key: plain for key, each in value.items() if (plain := _plain(each)) is not None}
        return kept or None
    return None if value in (None, "", 0, False, [], [""]) else value


def _shown(value: Any) -> str:
    return "not set" if _plain(value) is None else repr(value)
