"""Can it be moved? Every rule looks at facts only, and says what settles what it finds.

What concerns a container's networks and ports is in reachability.py, what concerns its data in
contents.py.
"""

from backup.engine import fixed_ports, unknown, unknown_vital
from backup.migrate import contents, reachability
from backup.migrate.facts import Ground, Origin, Wishes
from backup.migrate.findings import Finding, Findings, blocks, warns

_SWARM = "com.docker.swarm.service.name"
_PROJECT = "com.docker.compose.project"
_FREE_OF_NAMES = ("", "private", "host", "shareable", "none", "default", "bridge")


def preflight(origin: Origin, ground: Ground, wishes: Wishes) -> tuple[Finding, ...]:
    """Return all that was found; those that block come first."""
    found = [*contents.space(origin, ground, wishes), *contents.of_data(origin, ground, wishes)]
    if origin.container:
        for rule in (
            _kind,
            _condition,
            _versions,
            _architecture,
            _image,
            _name,
            _needs,
            _host_bound,
            _losses,
        ):
            found += rule(origin, ground, wishes)
        found += reachability.of_networks(origin, ground, wishes)
        found += reachability.of_ports(origin, ground, fixed_ports(origin.container.definition))
    return tuple(sorted(dict.fromkeys(found), key=lambda one: one.severity.value))


def _host_config(origin: Origin) -> dict[str, object]:
    assert origin.container  # noqa: S101  asked of containers only
    found: dict[str, object] = origin.container.definition["host_config"]
    return found


def _kind(origin: Origin, _ground: Ground, _wishes: Wishes) -> Findings:
    """Containers that cannot be moved by themselves."""
    container, state = origin.container, origin.state
    if container is None or state is None:
        return
    if service := container.labels.get(_SWARM):
        yield blocks(
            f"the container belongs to the swarm service {service!r}",
            "move the service: the swarm would start another container in its place",
        )
    if _host_config(origin).get("AutoRemove"):
        yield blocks(
            "the container was run with --rm: the engine deletes it as soon as it is stopped",
            "run it without --rm first",
        )
    if state.status in ("dead", "removing"):
        yield blocks(f"the container is {state.status}", "remove it, and run it again")


def _condition(origin: Origin, _ground: Ground, _wishes: Wishes) -> Findings:
    """What is known of how it is now."""
    container, state = origin.container, origin.state
    if container is None or state is None:
        return
    if state.restarting:
        yield warns("the container keeps failing and is being restarted again and again")
    if state.health == "unhealthy":
        yield warns("the container is unhealthy now, so it may never be healthy on the target")
    if container.paused:
        yield warns("the container is paused: it runs again for the moment in which it is stopped")
    for name in origin.joined:
        yield warns(
            f"container {name!r} is in its network, and has none once it is stopped",
            f"move container:{name} next",
        )
    if project := container.labels.get(_PROJECT):
        yield warns(
            f"it is part of the compose project {project!r}, whose directory is not moved",
            "copy the project's directory to the target, to manage the container from there",
        )


def _versions(origin: Origin, ground: Ground, _wishes: Wishes) -> Findings:
    """What the target's API does not know."""
    if origin.container is None:
        return
    api = ".".join(map(str, ground.host.api))
    if fields := unknown_vital(origin.container.definition, ground.host.api):
        yield blocks(
            f"the target's API {api} does not know {', '.join(fields)}, which decides what the "
            "container mounts",
            "move it to a newer engine, or mount the whole volume",
        )
    if fields := unknown(origin.container.definition, ground.host.api):
        yield warns(f"the target's API {api} does not know, and leaves out: {', '.join(fields)}")


def _architecture(origin: Origin, ground: Ground, _wishes: Wishes) -> Findings:
    theirs, image = ground.host.architecture, origin.image
    if image is None or not image.architecture or image.architecture == theirs:
        return
    text = f"the image is for {image.architecture}, and the target runs {theirs}"
    if image.architecture != origin.host.architecture:
        yield warns(f"{text}; the source emulates it, the target may not")
    else:
        yield blocks(text, f"build or pull the image for {theirs}, and move the volumes by name")


def _image(origin: Origin, ground: Ground, _wishes: Wishes) -> Findings:
    if origin.container is None:
        return
    reference = origin.container.definition["image"]["reference"]
    if origin.image is None:
        yield blocks(
            f"the container's image {reference} was removed from the source by force",
            "pull it there again, or `docker commit` the container and run that image",
        )
        return
    if ground.tags.get(reference) is False:
        yield warns(
            f"{reference} is another image on the target, and stays so: the container's image is "
            "named by its id there"
        )
    elif "@" in reference:
        yield warns(f"the digest in {reference} cannot be moved: the image is named by its id")
    elif reference not in origin.image.tags and not reference.startswith("sha256:"):
        yield warns(f"{reference} is another image by now; the one that the container runs is sent")


def _name(origin: Origin, ground: Ground, wishes: Wishes) -> Findings:
    assert origin.container  # noqa: S101
    name = wishes.rename or origin.container.name
    if name in ground.containers:
        yield blocks(
            f"there is a container {name!r} on the target",
            "--rename NEW, or remove it there",
        )


def _needs(origin: Origin, ground: Ground, _wishes: Wishes) -> Findings:
    """Other containers that it joins, links to, or has its volumes from; the last need not run."""
    config = _host_config(origin)
    running: dict[str, str] = {}
    for key in ("NetworkMode", "PidMode", "IpcMode"):
        kind, _, name = str(config.get(key) or "").partition(":")
        if kind == "container":
            running[name] = f"joins container {name!r} ({key})"
    for one in _listed(config, "Links"):
        name = one.partition(":")[0]
        running[name] = f"links to container {name!r}"
    names = [one.partition(":")[0] for one in _listed(config, "VolumesFrom")]
    lending = {name: f"has volumes from container {name!r}" for name in names}
    starts = bool(origin.state and origin.state.running)
    for name, text in (lending | running).items():
        if name not in ground.containers:
            yield blocks(
                f"it {text}, which is not on the target", f"move container:{name} there first"
            )
        elif name in running and not ground.containers[name]:
            finding = blocks if starts else warns
            yield finding(f"it {text}, which does not run on the target", f"docker start {name}")
        if starts and name in running and origin.containers.get(name) is False:
            yield warns(
                f"it {text}, which does not run on the source: once stopped, it cannot be started "
                "here again if the move fails",
                f"voltar migrate rollback container:{name}, should it come to that",
            )


def _listed(config: dict[str, object], key: str) -> list[str]:
    found = config.get(key)
    return [str(one) for one in found] if isinstance(found, list) else []


def _host_bound(origin: Origin, ground: Ground, _wishes: Wishes) -> Findings:
    """Drivers, runtimes, devices, profiles."""
    config, host = _host_config(origin), ground.host
    log = config.get("LogConfig")
    kind = str(log.get("Type") or "") if isinstance(log, dict) else ""
    if kind not in ("", "none") and host.log_drivers and kind not in host.log_drivers:
        yield blocks(f"the target has no log driver {kind!r}", f"docker plugin install {kind}")
    runtime = str(config.get("Runtime") or "")
    if runtime and host.runtimes and runtime not in host.runtimes:
        yield blocks(f"the target has no runtime {runtime!r}", "install it there")
    yield from _devices(config, ground)
    if config.get("CgroupParent"):
        yield warns(f"its cgroup parent {config['CgroupParent']!r} must be on the target")
    for one in _listed(config, "SecurityOpt"):
        name, _, value = one.replace(":", "=", 1).partition("=")
        if name == "apparmor" and value not in ("unconfined", "docker-default"):
            yield warns(f"the AppArmor profile {value!r} must be loaded on the target")
    for name in ("userns", "rootless", "selinux"):
        if (name in origin.host.security) != (name in host.security):
            yield warns(f"only one of the engines uses {name}: owners and rights may mean others")


def _devices(config: dict[str, object], ground: Ground) -> Findings:
    devices = config.get("Devices")
    for one in devices if isinstance(devices, list) else ():
        path = str(one["PathOnHost"])
        if path in ground.places and not ground.places[path].kind:
            yield blocks(
                f"the target has no device {path}", "attach it there, or run without --device"
            )
    if config.get("DeviceRequests"):
        yield warns("it asks for devices such as GPUs, and the target's cannot be looked at")


def _losses(origin: Origin, _ground: Ground, _wishes: Wishes) -> Findings:
    """What stays behind."""
    count = origin.layer_changes
    if count:
        paths = "1 path" if count == 1 else f"{count} paths"
        yield warns(
            f"{paths} changed in the container's own layer (`docker diff`), which is not moved",
            "keep in volumes what is to last, or `docker commit` it and run that image",
        )
    assert origin.container  # noqa: S101
    ends = origin.container.definition["networks"]
    others = [name for name, end in ends.items() if not end.get("MacAddress")]
    if 0 < len(others) < len(ends):
        yield warns(
            f"one MAC address goes with it; that in network {others[0]!r} is another on the "
            "target, for the engine does not tell whether it was asked for"
        )
