"""A container's definition: what the engine says about it, less what is not needed to create it
again.

The engine takes back what `inspect` shows (`Config`, `HostConfig`, endpoints) field by field, even
fields that we do not know; so nothing is picked out, and only this is changed:

    made by the engine     host name from the id, generated MAC and IP addresses, aliases from the
    id,
                           console size, the id file
    ambiguous              an entry point that the user cleared shows as null, and null means the
                           image's: it becomes [""]; ports that the image exposes are shown, and
                           refused where the container joins the network of another
    bound to this moment   ids of other containers (network, pid, ipc, volumes-from) and of the
                           network become names
"""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1
_ENDPOINT = ("IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority")
_NO_ALIASES = ("bridge", "host", "none", "default")
_JOINABLE = ("NetworkMode", "PidMode", "IpcMode")
_SHORT_ID = 12
_VOLATILE = ("ContainerIDFile", "ConsoleSize")

Inspect = Mapping[str, Any]
NameOf = Callable[[str], str]


def reduce(
    inspect: Inspect,
    image: Inspect | None,
    *,
    engine_version: str = "",
    name_of: NameOf = lambda identity: identity,
) -> dict[str, Any]:
    """The definition, ready for JSON. `image` is the image's inspect, None where it is gone;
    `name_of` gives the name of another container by its id."""
    state = inspect.get("State") or {}
    return {
        "format": FORMAT,
        "name": _name(inspect),
        "created": inspect.get("Created"),
        "engine_version": engine_version,
        "running": bool(state.get("Running")),
        "paused": bool(state.get("Paused")),
        "platform": inspect.get("Platform") or "linux",
        "image": _image(inspect, image),
        "config": _config(inspect, image),
        "host_config": _host_config(inspect, name_of),
        "networks": _networks(inspect),
        "mounts": [_mount(one, inspect) for one in inspect.get("Mounts") or []],
    }


def environment(definition: Mapping[str, Any]) -> dict[str, str]:
    """The environment that the user set, without what the image sets."""
    inherited = set((definition["image"].get("config") or {}).get("Env") or [])
    own = [one for one in definition["config"].get("Env") or [] if one not in inherited]
    return {name: value for name, _, value in (one.partition("=") for one in own)}


def _name(inspect: Inspect) -> str:
    return str(inspect["Name"]).lstrip("/")


def _short_id(inspect: Inspect) -> str:
    return str(inspect["Id"])[:_SHORT_ID]


def _image(inspect: Inspect, image: Inspect | None) -> dict[str, Any]:
    found = image or {}
    return {
        "reference": (inspect.get("Config") or {}).get("Image"),
        "id": inspect.get("Image"),
        "tags": list(found.get("RepoTags") or []),
        "repo_digests": list(found.get("RepoDigests") or []),
        "layers": list((found.get("RootFS") or {}).get("Layers") or []),
        "architecture": found.get("Architecture"),
        "config": found.get("Config"),
    }


def _config(inspect: Inspect, image: Inspect | None) -> dict[str, Any]:
    config = dict(inspect.get("Config") or {})
    host = inspect.get("HostConfig") or {}
    network = str(host.get("NetworkMode") or "")
    shared = network == "host" or network.startswith("container:") or host.get("UTSMode") == "host"
    if shared or config.get("Hostname") == _short_id(inspect):
        config.pop("Hostname", None)
    if shared:
        config.pop("Domainname", None)
    if network.startswith("container:"):
        config.pop("ExposedPorts", None)
    inherited = ((image or {}).get("Config") or {}).get("Entrypoint")
    if not config.get("Entrypoint") and inherited:
        config["Entrypoint"] = [""]
    return config


def _host_config(inspect: Inspect, name_of: NameOf) -> dict[str, Any]:
    host = {k: v for k, v in (inspect.get("HostConfig") or {}).items() if k not in _VOLATILE}
    for key in _JOINABLE:
        kind, _, other = str(host.get(key) or "").partition(":")
        if kind == "container" and other:
            host[key] = f"container:{name_of(other)}"
    if host.get("NetworkMode"):
        host["NetworkMode"] = _network_name(str(host["NetworkMode"]), inspect)
    if host.get("VolumesFrom"):
        host["VolumesFrom"] = [_from(one, name_of) for one in host["VolumesFrom"]]
    if host.get("Links"):
        host["Links"] = [_link(one) for one in host["Links"]]
    return host


def _network_name(mode: str, inspect: Inspect) -> str:
    """A network may have been named by its id, which another engine does not know."""
    endpoints = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    if mode in endpoints or len(mode) < _SHORT_ID:
        return mode
    for name, one in endpoints.items():
        if str((one or {}).get("NetworkID") or "").startswith(mode):
            return str(name)
    return mode


def _from(one: str, name_of: NameOf) -> str:
    identity, colon, mode = one.partition(":")
    return f"{name_of(identity)}{colon}{mode}"


def _link(one: str) -> str:
    """`/database:/web/db` as inspect shows it, `database:db` as create wants it."""
    target, _, alias = one.partition(":")
    return f"{target.lstrip('/')}:{alias.rpartition('/')[2]}" if alias else target.lstrip("/")


def _networks(inspect: Inspect) -> dict[str, Any]:
    found = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: _endpoint(name, one or {}, inspect) for name, one in found.items()}


def _endpoint(name: str, found: Inspect, inspect: Inspect) -> dict[str, Any]:
    """What the user decided about one network; addresses that the engine gave are left out."""
    endpoint = {key: found[key] for key in _ENDPOINT if found.get(key)}
    configured = (inspect.get("Config") or {}).get("MacAddress")
    if configured and configured == found.get("MacAddress"):
        endpoint["MacAddress"] = configured
    aliases = [one for one in endpoint.pop("Aliases", []) if one != _short_id(inspect)]
    if aliases and name not in _NO_ALIASES:
        endpoint["Aliases"] = aliases
    return endpoint


def _mount(found: Inspect, inspect: Inspect) -> dict[str, Any]:
    mount = {
        "type": found.get("Type"),
        "name": found.get("Name"),
        "source": found.get("Source"),
        "destination": found.get("Destination"),
        "driver": found.get("Driver"),
        "read_only": not found.get("RW", True),
        "propagation": found.get("Propagation"),
        "requested": _requested(str(found.get("Destination")), inspect),
    }
    return {key: value for key, value in mount.items() if value not in (None, "")}


def _requested(destination: str, inspect: Inspect) -> bool:
    """False for a volume that only the image or a bare `-v /path` asked for: an anonymous one."""
    host = inspect.get("HostConfig") or {}
    binds = [str(one).split(":") for one in host.get("Binds") or []]
    named = [one[1] for one in binds if len(one) > 1]
    named += [str(one.get("Target")) for one in host.get("Mounts") or [] if one.get("Source")]
    return _clean(destination) in map(_clean, named)


def _clean(place: str) -> str:
    """A place as the engine shows it, which takes `/data//x/.` as it is written."""
    return posixpath.normpath(f"/{place.lstrip('/')}")
