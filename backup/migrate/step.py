"""The steps of a migration, as values: they are printed, performed, and written to the journal.

Every step can be performed again after it was interrupted, and can be taken back whether it was
performed, half performed, or only about to be.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    """One thing to do."""


class SendImage(Step, frozen=True, kw_only=True, tag="image"):
    """Have the image on the target. `reference` is the name that it gets there, "" for none."""

    id: str
    layers: tuple[str, ...]
    config: dict[str, Any]
    tags: tuple[str, ...] = ()
    reference: str = ""
    size: int = 0
    present: bool = False


class MakeNetwork(Step, frozen=True, kw_only=True, tag="network"):
    """Make a network like the source's."""

    name: str
    driver: str
    internal: bool = False
    attachable: bool = False
    ipv4: bool | None = None
    ipv6: bool = False
    ipam: dict[str, Any] = {}
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class MakeVolume(Step, frozen=True, kw_only=True, tag="volume"):
    """Make a volume like the source's, without its data."""

    name: str
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class MakePath(Step, frozen=True, kw_only=True, tag="path"):
    """Make a directory (d) or file (f) of the host. `anchor` is the nearest directory above it
    that is there already; where it is the path itself, that is an empty directory."""

    path: str
    kind: str
    anchor: str


class CreateContainer(Step, frozen=True, kw_only=True, tag="create"):
    """Create the container, without starting it, and compare it with the source's definition."""

    name: str
    definition: dict[str, Any]
    reference: str = ""
    accept_differences: bool = False


class StopSource(Step, frozen=True, kw_only=True, tag="stop"):
    """Stop the source for good: its restart policy is taken away first.

    `was` is running, paused or stopped; `policy` what its restart policy was.
    """

    id: str
    name: str
    was: str
    policy: tuple[str, int]
    timeout_s: int | None = None


class CopyData(Step, frozen=True, kw_only=True, tag="copy"):
    """Carry one volume or path, and compare. An anonymous volume is found by its place in the
    container, which the target engine made it for."""

    kind: str
    source: str
    destination: str = ""
    anonymous: bool = False
    size: int = 0

    @property
    def name(self) -> str:
        return f"volume:{self.source}" if self.kind == "volume" else f"path:{self.source}"


class StartTarget(Step, frozen=True, kw_only=True, tag="start"):
    """Start the container on the target."""

    name: str


class AwaitTarget(Step, frozen=True, kw_only=True, tag="await"):
    """Wait until the container is healthy, or has run for a while where it has no health check."""

    name: str
    health_check: bool
    timeout_s: float
    pause: bool = False


AnyStep = (
    SendImage
    | MakeNetwork
    | MakeVolume
    | MakePath
    | CreateContainer
    | StopSource
    | CopyData
    | StartTarget
    | AwaitTarget
)


FOUND_OUT: Final[Mapping[type[Any], Mapping[str, type[Any]]]] = {
    SendImage: {"image": str},
    CreateContainer: {"container": str, "volumes": dict},
    StopSource: {"was": str, "policy": list},
    CopyData: {"target": str, "entries": int, "size": int, "listing": str},
}
"""What a journal has of a step that is done."""


def described(step: AnyStep) -> str:
    """Return one line for the operator."""
    match step:
        case SendImage():
            named = step.reference or step.id[:19]
            there = f"image {named}: it is on the target already"
            return there if step.present else f"send image {named}"
        case MakeNetwork() | MakeVolume():
            return f"make {'network' if isinstance(step, MakeNetwork) else 'volume'} {step.name}"
        case MakePath():
            return f"make {'directory' if step.kind == 'd' else 'file'} {step.path}"
        case CopyData():
            return f"copy {step.name}, and compare every byte"
        case _:
            return _of_container(step)


def _of_container(step: CreateContainer | StopSource | StartTarget | AwaitTarget) -> str:
    match step:
        case CreateContainer():
            return f"create container {step.name}, and compare its definition"
        case StopSource(was="stopped"):
            return f"keep container {step.name} stopped on the source, its restart policy off"
        case StopSource():
            return f"stop container {step.name} on the source, its restart policy off"
        case StartTarget():
            return f"start container {step.name} on the target"
        case AwaitTarget():
            until = "is healthy" if step.health_check else "has run for a while"
            return f"wait until container {step.name} {until}"
