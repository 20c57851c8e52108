"""What is to be done: a pure function from what is known of two engines to findings and steps.

The order is the point of it. What is made on the target comes first, while the source still runs:
image, networks, volumes, paths, and the container itself, which is compared with the source's. What
follows is the downtime: stop, copy, compare, start, wait. A pass that copies ahead of the stop goes
between the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backup.engine import PREDEFINED, Network, own_network
from backup.errors import UsageError
from backup.migrate.facts import LABEL, Data, Ground, Origin, Wishes
from backup.migrate.findings import Finding, blocking
from backup.migrate.preflight import preflight
from backup.migrate.reachability import to_make
from backup.migrate.step import (
    AnyStep,
    AwaitTarget,
    CopyData,
    CreateContainer,
    MakeNetwork,
    MakePath,
    MakeVolume,
    SendImage,
    StartTarget,
    StopSource,
)

_ANONYMOUS = "com.docker.volume.anonymous"
_KNOWS_ANONYMOUS = (1, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was found, and what would be done. `claims` is what nobody else may migrate meanwhile;
    `source` and `target` are the engines' addresses, `engines` their identities."""

    subject: str
    source: str
    target: str
    engines: tuple[str, str]
    claims: tuple[str, ...]
    findings: tuple[Finding, ...]
    steps: tuple[AnyStep, ...]

    @property
    def blocked(self) -> tuple[Finding, ...]:
        """The findings that must be settled first."""
        return blocking(self.findings)

    @property
    def size(self) -> int:
        """The bytes of data that are to be carried."""
        return sum(step.size for step in self.steps if isinstance(step, CopyData))


def plan(origin: Origin, ground: Ground, wishes: Wishes) -> Plan:
    """Return the plan. Raises UsageError for wishes that mean nothing here."""
    if origin.container is None and (wishes.rename or wishes.networks or wishes.present):
        raise UsageError("--rename, --network and --present are for containers")
    return Plan(
        subject=origin.name,
        source=origin.host.url,
        target=ground.host.url,
        engines=(origin.host.identity, ground.host.identity),
        claims=tuple(dict.fromkeys([origin.name, *(one.name for one in origin.data)])),
        findings=preflight(origin, ground, wishes),
        steps=tuple(_steps(origin, ground, wishes)),
    )


def _steps(origin: Origin, ground: Ground, wishes: Wishes) -> Iterator[AnyStep]:
    yield from _ahead(origin, ground, wishes)
    if origin.container:
        yield _create(origin, ground, wishes)
        yield _stop(origin, wishes)
    for one in origin.data:
        if _is_copied(one, wishes):
            yield CopyData(
                kind=one.kind,
                source=one.source,
                destination=one.destination,
                anonymous=one.anonymous,
                size=one.size,
            )
    if origin.container and origin.state and origin.state.running:
        yield from _start(origin, wishes)


def _ahead(origin: Origin, ground: Ground, wishes: Wishes) -> Iterator[AnyStep]:
    """What the container needs before it can be created."""
    if origin.image:
        yield _send(origin, ground)
    yield from (_network(one) for one in to_make(origin, ground, wishes))
    for one in origin.data:
        if one.kind == "volume":
            if not one.anonymous and one.source not in ground.volumes:
                yield _volume(one, ground)
        elif _is_copied(one, wishes) and one.source in ground.places:
            anchor = ground.places[one.source].anchor
            yield MakePath(path=one.source, kind=one.kind, anchor=anchor)


def _is_copied(one: Data, wishes: Wishes) -> bool:
    return (
        not one.elsewhere and one.kind in ("volume", "d", "f") and one.source not in wishes.present
    )


def _send(origin: Origin, ground: Ground) -> SendImage:
    assert origin.image  # noqa: S101
    return SendImage(
        id=origin.image.id,
        layers=origin.image.layers,
        config=origin.image.config,
        tags=origin.image.tags,
        reference=_reference(origin, ground),
        size=origin.image.size,
        present=ground.image is not None,
    )


def _reference(origin: Origin, ground: Ground) -> str:
    """The name of the image on the target; "" where it has none: only the id leads to it then."""
    assert origin.container  # noqa: S101
    reference = str(origin.container.definition["image"]["reference"] or "")
    ids = reference.startswith("sha256:") or "@" in reference
    digits = set(reference) <= set("0123456789abcdef") and len(reference) >= 12
    if ids or digits or ground.tags.get(reference) is False:
        return ""
    return reference


def _network(one: Network) -> MakeNetwork:
    return MakeNetwork(
        name=one.name,
        driver=one.driver,
        internal=one.internal,
        attachable=one.attachable,
        ipv4=one.ipv4,
        ipv6=one.ipv6,
        ipam=one.ipam,
        options=one.options,
        labels={key: value for key, value in one.labels.items() if key != LABEL},
    )


def _volume(one: Data, ground: Ground) -> MakeVolume:
    assert one.volume  # noqa: S101
    labels = {key: value for key, value in one.volume.labels.items() if key != LABEL}
    if one.volume.anonymous and ground.host.api >= _KNOWS_ANONYMOUS:
        labels[_ANONYMOUS] = ""
    return MakeVolume(
        name=one.source, driver=one.volume.driver, options=one.volume.options, labels=labels
    )


def _create(origin: Origin, ground: Ground, wishes: Wishes) -> CreateContainer:
    assert origin.container  # noqa: S101
    return CreateContainer(
        name=wishes.rename or origin.container.name,
        definition=moved(origin.container.definition, wishes.networks),
        reference=_reference(origin, ground),
        accept_differences=wishes.accept_differences,
    )


def moved(definition: Mapping[str, Any], networks: Mapping[str, str]) -> dict[str, Any]:
    """Return a definition with other networks. A static address belongs to the network left. A
    container that has left the network it was made in is made in another of its own."""
    host = dict(definition["host_config"])
    own, ends = own_network(host), definition["networks"]
    if ends and own not in ends:
        own = host["NetworkMode"] = next(iter(ends))
    if own in networks:
        host["NetworkMode"] = networks[own]
    endpoints = {}
    for name, endpoint in ends.items():
        if name not in networks:
            endpoints[name] = endpoint
        elif networks[name] in PREDEFINED:
            endpoints[networks[name]] = {}
        else:
            kept = {key: value for key, value in endpoint.items() if key != "IPAMConfig"}
            endpoints[networks[name]] = kept
    return {**definition, "host_config": host, "networks": endpoints}


def _stop(origin: Origin, wishes: Wishes) -> StopSource:
    assert origin.container and origin.state  # noqa: S101, PT018
    running = "paused" if origin.state.paused else "running"
    return StopSource(
        id=origin.container.id,
        name=origin.container.name,
        was=running if origin.state.running else "stopped",
        policy=origin.state.restart,
        timeout_s=wishes.stop_timeout_s,
    )


def _start(origin: Origin, wishes: Wishes) -> Iterator[AnyStep]:
    assert origin.container and origin.state  # noqa: S101, PT018
    name = wishes.rename or origin.container.name
    test = (origin.container.definition["config"].get("Healthcheck") or {}).get("Test") or []
    yield StartTarget(name=name)
    yield AwaitTarget(
        name=name,
        health_check=bool(test) and test[0] != "NONE",
        timeout_s=wishes.health_timeout_s,
        pause=origin.state.paused,
    )
