"""Two engines on paper: what a survey would have found, some parts of it exchanged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backup.engine import Container, Host, Network, State, User, Volume
from backup.engine.definition import reduce
from backup.migrate.facts import Data, Ground, Image, Origin

ID = "0123456789ab" + "c" * 52
IMAGE = Image(
    id="sha256:i1",
    layers=("sha256:l1",),
    config={"Cmd": ["run"]},
    architecture="amd64",
    size=1 << 20,
    tags=("web:1",),
)


def host(**changes: Any) -> Host:
    base = Host(
        identity="A",
        name="old",
        url="unix:///a.sock",
        version="20.10",
        api=(1, 41),
        architecture="amd64",
        network_drivers=frozenset({"bridge", "macvlan"}),
        log_drivers=frozenset({"json-file"}),
        runtimes=frozenset({"runc"}),
        data_root="/var/lib/docker",
    )
    return replace(base, **changes)


def inspected(**changes: Any) -> dict[str, Any]:
    """A container as its engine shows it; the parts named are merged into those of a plain one."""
    base: dict[str, Any] = {
        "Id": ID,
        "Name": "/web",
        "Image": "sha256:i1",
        "State": {"Running": True, "Paused": False},
        "Config": {"Image": "web:1", "Hostname": ID[:12]},
        "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "always"}},
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [],
    }
    for key, value in changes.items():
        base[key] = base.get(key, {}) | value if isinstance(value, dict) else value
    return base


def origin(
    document: Mapping[str, Any] | None = None,
    *,
    data: tuple[Data, ...] = (),
    labels: Mapping[str, str] | None = None,
    **changes: Any,
) -> Origin:
    """The source: a container, made of an inspect document."""
    definition = reduce(document or inspected(), {"RepoTags": ["web:1"]})
    running = bool(definition["running"])
    container = Container(
        id=ID,
        name="web",
        running=running,
        paused=False,
        labels=dict(labels or {}),
        mounts=(),
        skipped=(),
        definition=definition,
    )
    state = State(status="running" if running else "exited", running=running, restart=("always", 0))
    base = Origin(host=host(), container=container, state=state, image=IMAGE, data=data)
    return replace(base, **changes)


def lone(data: Data) -> Origin:
    """The source: a volume."""
    return Origin(host=host(), data=(data,))


def ground(**changes: Any) -> Ground:
    """The target: an engine with nothing on it."""
    bridge = network("bridge", "172.17.0.0/16")
    there = host(identity="B", name="new", url="tcp://b:1", version="28.5", api=(1, 51))
    return replace(Ground(host=there, networks=(bridge,), free=1 << 40), **changes)


def network(name: str, subnet: str = "", **changes: Any) -> Network:
    ipam = {"Driver": "default", "Config": [{"Subnet": subnet}]} if subnet else {}
    return replace(Network(id=f"id-{name}", name=name, driver="bridge", ipam=ipam), **changes)


def volume(name: str = "data", **changes: Any) -> Data:
    """A volume that is moved; `options`, `driver` and `labels` are the volume's."""
    own = {key: changes.pop(key) for key in ("options", "driver", "labels") if key in changes}
    found = replace(Volume(name=name, driver="local"), **own)
    base = Data(kind="volume", source=name, destination="/data", volume=found, size=1 << 20)
    return replace(base, **changes)


def bound(path: str = "/srv/app", **changes: Any) -> Data:
    """A directory of the host that is moved."""
    base = Data(kind="d", source=path, destination="/app", size=1 << 20)
    return replace(base, **changes)


def user(name: str = "other", *, running: bool) -> User:
    return User(id="u", name=name, running=running, paused=False)
