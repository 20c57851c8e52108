"""What is known about both engines before a migration is planned. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backup.engine import Container, Found, Host, Network, Port, State, User, Volume

LABEL = "voltar.migration"
"""On volumes and networks that a migration made: which one. By it they are known to be ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Something with data that is to be moved: a volume, or a directory or file of the host.

    `source` is its name or path; `kind` is volume, d or f. `anonymous` volumes are made by the
    target engine together with the container that mounts them at `destination`. `users` are other
    containers that have it.
    """

    kind: str
    source: str
    destination: str = ""
    volume: Volume | None = None
    anonymous: bool = False
    read_only: bool = False
    size: int = 0
    users: tuple[User, ...] = ()

    @property
    def name(self) -> str:
        """As snapshots call it."""
        return f"volume:{self.source}" if self.kind == "volume" else f"path:{self.source}"

    @property
    def elsewhere(self) -> bool:
        """Whether the engine only leads to the data: a server, a device, memory, a driver's own."""
        if self.volume is None:
            return False
        return self.volume.driver != "local" or bool({"device", "type"} & {*self.volume.options})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, by what is the same wherever it is: its id differs between image stores."""

    id: str
    layers: tuple[str, ...]
    config: dict[str, Any]
    architecture: str = ""
    size: int = 0
    tags: tuple[str, ...] = ()

    def same(self, other: "Image") -> bool:
        """Whether a container of one is a container of the other."""
        return bool(self.layers) and self.layers == other.layers and self.config == other.config


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source: what is moved, and all that belongs to it.

    `borrowed` are the paths of the host that the container mounts and that hold no data of its own:
    sockets, what belongs to the kernel. `inherited` are places of mounts that come with another
    container. `layer_changes` counts the paths that the container changed in its own layer.
    `containers` are all names, and whether they run; `joined` those that are in its network.
    """

    host: Host
    container: Container | None = None
    state: State | None = None
    image: Image | None = None
    data: tuple[Data, ...] = ()
    borrowed: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    layer_changes: int = 0
    containers: Mapping[str, bool] = field(default_factory=dict)
    joined: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What is moved, as the operator names it."""
        return f"container:{self.container.name}" if self.container else self.data[0].name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The target: what is there that could be in the way, or is needed.

    `containers` are names, and whether they run; `tags` the names of images, and whether each is
    the source's image; `places` what was found at the paths of the source.
    """

    host: Host
    containers: Mapping[str, bool] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    networks: tuple[Network, ...] = ()
    ports: Mapping[Port, str] = field(default_factory=dict)
    places: Mapping[str, Found] = field(default_factory=dict)
    image: Image | None = None
    tags: Mapping[str, bool] = field(default_factory=dict)
    free: int | None = None

    def network(self, name: str) -> Network | None:
        """The network of that name, if there is one."""
        return next((one for one in self.networks if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the operator decided.

    `rename` is the container's name on the target; `networks` say which networks to use there
    instead; `present` are volumes and paths of the host that are on the target already, to be
    used as they are.
    """

    rename: str | None = None
    networks: Mapping[str, str] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    stop_timeout_s: int | None = None
    health_timeout_s: float = 120.0
    accept_differences: bool = False


def bound_by(volume: Volume | None) -> str:
    """The directory of the host that a local volume is only another name for; "" for others."""
    device = volume.options.get("device", "") if volume else ""
    flags = volume.options.get("o", "").split(",") if volume else []
    return device if device.startswith("/") and "bind" in flags else ""
