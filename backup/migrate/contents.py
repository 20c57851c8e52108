"""Preflight of the data: room, names, drivers, other users, paths of the host."""

from collections import defaultdict
from pathlib import PurePosixPath

from backup.migrate.facts import Data, Ground, Origin, Wishes, bound_by
from backup.migrate.findings import Findings, blocks, warns

_MARGIN = 64 << 20


def space(origin: Origin, ground: Ground, wishes: Wishes) -> Findings:
    """Whether there is room for the image and the volumes, and for each path where it goes."""
    carried = [one for one in origin.data if one.source not in wishes.present]
    needed = sum(one.size for one in carried if one.kind == "volume")
    if origin.image and ground.image is None:
        needed += 2 * origin.image.size  # the engine unpacks a saved image beside it
    yield from _room(needed, ground.free, "the target's engine")
    paths: dict[str, int] = defaultdict(int)
    for one in carried:
        if one.kind != "volume" and one.source in ground.places:
            paths[ground.places[one.source].anchor] += one.size
    for anchor, size in paths.items():
        free = [found.free for found in ground.places.values() if found.anchor == anchor]
        yield from _room(size, free[0], f"{anchor} on the target")


def _room(needed: int, free: int | None, where: str) -> Findings:
    if needed and free is not None and needed + needed // 20 + _MARGIN > free:
        yield blocks(
            f"{where} has {free >> 20} MiB free, and {(needed + _MARGIN) >> 20} MiB are needed",
            "make room there",
        )


def of_data(origin: Origin, ground: Ground, wishes: Wishes) -> Findings:
    """What is in the way of each volume and path."""
    for one in origin.data:
        if one.source in wishes.present:
            continue
        yield from _users(one)
        if one.kind == "volume":
            yield from _volume(one, ground)
        else:
            yield from _path(one, origin, ground)
    yield from _borrowed(origin, ground)
    yield from _present(origin, ground, wishes)


def _borrowed(origin: Origin, ground: Ground) -> Findings:
    """Sockets, and what else is the host's own."""
    for path in origin.borrowed:
        if path in ground.places and not ground.places[path].kind:
            yield blocks(
                f"the container uses {path} of its host, and the target has none",
                "make it there, or run the container without it",
            )
        else:
            yield warns(f"{path} is the host's: on the target the container gets the target's own")


def _present(origin: Origin, ground: Ground, wishes: Wishes) -> Findings:
    """What the operator says is on the target."""
    named = {one.source for one in origin.data if not one.anonymous}
    for each in sorted(wishes.present):
        found = ground.places.get(each)
        if each not in named:
            yield blocks(
                f"--present {each}: the container has no such volume or bind mount", "leave it out"
            )
        elif each not in ground.volumes and not (found and found.kind):
            yield blocks(f"--present {each}: the target has nothing there", "put it there")


def _users(one: Data) -> Findings:
    for user in one.users:
        if user.running and not user.writes:
            yield warns(f"{one.name} is also read by container {user.name!r}, which stays behind")
        elif user.running:
            yield blocks(
                f"{one.name} is used by the running container {user.name!r} too",
                f"stop it first: docker stop {user.name}",
            )
        else:
            yield warns(
                f"{one.name} is also used by container {user.name!r}, which stays behind",
                f"move it next, with --present {one.source}",
            )


def _volume(one: Data, ground: Ground) -> Findings:
    volume = one.volume
    if volume is None:
        return
    drivers = ground.host.volume_drivers
    if volume.driver not in drivers:
        yield blocks(
            f"the target has no volume driver {volume.driver!r}, which {one.name} needs",
            f"docker plugin install {volume.driver}",
        )
    there = ground.volumes.get(one.source)
    if one.elsewhere:
        device = volume.options.get("device") or f"the driver {volume.driver}"
        yield warns(
            f"the data of {one.name} are at {device}: its definition is moved, they are not"
        )
        path = bound_by(volume)
        if path in ground.places and not ground.places[path].kind:
            yield blocks(f"{one.name} leads to {path}, and the target has none", "make it there")
        if there and (there.driver, there.options) != (volume.driver, volume.options):
            yield blocks(f"the target has another {one.name}", f"docker volume rm {one.source}")
    elif there and not one.anonymous:
        yield blocks(
            f"there is a {one.name} on the target, and a migration never mixes or overwrites",
            f"--present {one.source} to use it as it is, or docker volume rm {one.source} there",
        )


def _path(one: Data, origin: Origin, ground: Ground) -> Findings:
    found = ground.places.get(one.source)
    root = origin.host.data_root
    inside = root and PurePosixPath(one.source).is_relative_to(root)
    if inside or (root and PurePosixPath(root).is_relative_to(one.source)):
        yield blocks(
            f"the container mounts {one.source}, which is the engine's own",
            f"--present {one.source} to use the target's",
        )
    elif found and found.kind and not (found.kind == one.kind == "d" and found.empty):
        yield blocks(
            f"{one.source} is on the target already, and a migration never mixes or overwrites",
            f"--present {one.source} to use it as it is, or remove it there",
        )
