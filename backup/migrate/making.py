"""Steps that make something on the target, and how each is taken back.

Nothing is taken back but what is proven to be ours: volumes and networks have a label, the
container a name of ours until its id is written down, and of paths and image names the journal says
that they were not there.
"""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, Final

from backup.destination import PLACE
from backup.engine import (
    Access,
    Attached,
    Engine,
    Network,
    container,
    container_names,
    create_container,
    create_network,
    create_volume,
    find_image,
    helper,
    host,
    look,
    make_directory,
    networks,
    remove_container,
    remove_image,
    remove_network,
    remove_volume,
    rename,
    request,
    tag_image,
    volume,
    volumes,
)
from backup.errors import (
    BackupError,
    EngineError,
    EngineUnavailable,
    InUse,
    MigrationFailed,
    NotOnEngine,
)
from backup.image.destination import Destination
from backup.image.transfer import Options, send
from backup.migrate.compare import differences
from backup.migrate.facts import LABEL, Image
from backup.migrate.step import (
    CopyData,
    CreateContainer,
    MakeNetwork,
    MakePath,
    MakeVolume,
    SendImage,
)
from backup.migrate.survey import known_image, same_image
from backup.migrate.work import Work
from backup.report import Event, Noted, Started

Facts = dict[str, Any]
_SHOWN: Final = 20
_UNTAGGED: Final = Options(untagged=True)
_BEGINS_WITHIN_S: Final = 3.0
_UNPACKED_PER_S: Final = 32 << 20
_POLL_S: Final = 0.5


def send_image(work: Work, number: int, step: SendImage) -> Facts:
    """Have the image on the target, whole, and by its name where that is free."""
    target = work.engines.target
    wanted = _image(step)
    found = same_image(target, wanted)
    if found is None:
        work.journal.note(number, {"absent": True})
        found = known_image(target, _sent(work, number, step))
    if found is None or not found.same(wanted):
        raise MigrationFailed(
            f"image {step.reference or step.id} was sent, and is not the same on the target"
        )
    if step.reference and not _named(target, step.reference):
        work.journal.note(number, {"named": True})
        tag_image(target, found.id, *_divided(step.reference))
    return {"image": found.id}


def _sent(work: Work, number: int, step: SendImage) -> str:
    """Send the image; returns its id. It is written down when the engine has all of it."""

    def told(event: Event) -> None:
        if isinstance(event, Started) and event.work == "unpack":
            work.journal.note(number, {"unpacking": True})
        work.on_event(event)

    try:
        (sent,) = send(work.engines.source, work.engines.target, [step.id], _UNTAGGED, told)
    except EngineUnavailable:
        raise
    except BackupError:
        work.journal.note(number, {"unpacking": False})
        raise
    work.journal.note(number, {"sent": sent.image_id, "unpacking": False})
    return sent.image_id


def _image(step: SendImage) -> Image:
    return Image(id=step.id, layers=step.layers, config=step.config, tags=step.tags)


def _named(engine: Engine, reference: str) -> bool:
    try:
        find_image(engine, reference)
    except NotOnEngine:
        return False
    return True


def drop_image(work: Work, step: SendImage, facts: Mapping[str, Any]) -> None:
    """Take away the name and the image that were not there before, and what was under way."""
    target = work.engines.target
    if facts.get("unpacking"):
        _await(target, _image(step), _BEGINS_WITHIN_S + step.size / _UNPACKED_PER_S)
    if facts.get("absent"):
        Destination(target).forget(step.layers)
    found = same_image(target, _image(step))
    if found and facts.get("named") and _with_tag(step.reference) in found.tags:
        remove_image(target, step.reference)
    if facts.get("absent"):
        left = same_image(target, _image(step))
        if left is None and "sent" in facts:
            left = known_image(target, str(facts["sent"]))
        if left is not None and not left.tags:
            with suppress(EngineError):  # a container of somebody else has it by now
                remove_image(target, left.id)


def _await(target: Engine, wanted: Image, within_s: float) -> None:
    """Wait a while for an image that the engine had all of when it was last heard of."""
    limit = time.monotonic() + within_s
    while same_image(target, wanted) is None and time.monotonic() < limit:
        time.sleep(_POLL_S)


def _divided(reference: str) -> tuple[str, str]:
    repository, _, tag = _with_tag(reference).rpartition(":")
    return repository, tag


def _with_tag(reference: str) -> str:
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def make_network(work: Work, _number: int, step: MakeNetwork) -> Facts:
    """Make a network like the source's, with our label."""
    for one in networks(work.engines.target):
        if one.name == step.name:
            if one.labels.get(LABEL) == work.id:
                return {"network": one.id}
            raise InUse(f"there is a network {step.name!r} on the target by now")
    wanted = Network(
        id="",
        name=step.name,
        driver=step.driver,
        internal=step.internal,
        attachable=step.attachable,
        ipv4=step.ipv4,
        ipv6=step.ipv6,
        ipam=step.ipam,
        options=step.options,
        labels={**step.labels, LABEL: work.id},
    )
    return {"network": create_network(work.engines.target, wanted)}


def drop_network(work: Work, step: MakeNetwork, _facts: Mapping[str, Any]) -> None:
    """Remove the network if it is ours."""
    target = work.engines.target
    for one in networks(target):
        if one.name == step.name and one.labels.get(LABEL) == work.id:
            remove_network(target, one.id)


def make_volume(work: Work, _number: int, step: MakeVolume) -> Facts:
    """Make a volume like the source's, with our label."""
    labels = {**step.labels, LABEL: work.id}
    if not _is_ours(work, step.name):
        target = work.engines.target
        with suppress(InUse):
            create_volume(
                target, step.name, driver=step.driver, options=step.options, labels=labels
            )
        if not _is_ours(work, step.name):
            raise InUse(f"there is a volume {step.name!r} on the target by now")
    return {}


def _is_ours(work: Work, name: str) -> bool:
    try:
        return volume(work.engines.target, name).labels.get(LABEL) == work.id
    except NotOnEngine:
        return False


def drop_volume(work: Work, step: MakeVolume, _facts: Mapping[str, Any]) -> None:
    """Remove the volume if it is ours."""
    if _is_ours(work, step.name):
        remove_volume(work.engines.target, step.name)


def make_path(work: Work, number: int, step: MakePath) -> Facts:
    """Make a directory or file where there is nothing; of an empty directory, remember the root."""
    target = work.engines.target
    found = look(target, step.path, work.id)
    known = work.record.facts.get(number, {})
    if found.kind and not known and not (found.kind == step.kind == "d" and found.empty):
        raise InUse(f"there is something at {step.path} on the target by now")
    if found.kind and not known:
        with _at(work, step.path) as writer:
            root = writer.run(["find", PLACE, "-maxdepth", "0", "-printf", "%U %G %m %T@"])
        work.journal.note(number, {"root": root.decode()})
        return {}
    work.journal.note(number, {"made": found.anchor if not found.kind else known.get("made")})
    place = PurePosixPath(step.path)
    make_directory(target, str(place if step.kind == "d" else place.parent))
    if step.kind == "f":
        with _at(work, str(place.parent)) as writer:
            writer.run(["touch", f"{PLACE}/{place.name}"])
    return {}


def _at(work: Work, path: str) -> Any:
    mounts = (Attached(path, PLACE),)
    return helper(work.engines.target, mounts, access=Access.WRITE, run=work.id)


def drop_path(work: Work, step: MakePath, facts: Mapping[str, Any]) -> None:
    """Remove what was made, and the directories above it that were made for it and are empty."""
    if "root" in facts:
        with _at(work, step.path) as writer:
            uid, gid, mode, mtime = str(facts["root"]).split()
            writer.run(["find", PLACE, "-mindepth", "1", "-delete"])
            writer.run(["chown", f"{uid}:{gid}", PLACE])
            writer.run(["chmod", mode, PLACE])
            writer.run(["touch", "--date", f"@{mtime}", PLACE])
    if "made" not in facts:
        return
    anchor = PurePosixPath(str(facts["made"]))
    inner = PurePosixPath(step.path).relative_to(anchor)
    with _at(work, str(anchor)) as writer:
        writer.run(["rm", "-rf", "--", f"{PLACE}/{inner}"])
        for parent in list(inner.parents)[:-1]:
            writer.run(["rmdir", "--", f"{PLACE}/{parent}"], ok=(0, 1))


def create(work: Work, number: int, step: CreateContainer) -> Facts:
    """Create the container under a passing name, compare it, and give it its own."""
    target = work.engines.target
    remove_container(target, work.passing_name)
    if step.name in container_names(target):
        raise InUse(f"there is a container {step.name!r} on the target by now")
    image = work.record.fact(SendImage, "image")
    api, before = host(target).api, {one.name for one in volumes(target)}
    wanted = request(step.definition, step.reference or str(image), api)
    identity, warnings = create_container(target, work.passing_name, wanted)
    work.journal.note(number, {"container": identity})
    for text in warnings:
        work.on_event(Noted(f"container:{step.name}", b"", text))
    made = container(target, identity)
    other = differences(step.definition, made.definition, api)
    if other and not step.accept_differences:
        shown = "; ".join(map(str, other[:_SHOWN]))
        raise MigrationFailed(
            f"the target would make another container of it: {shown}",
            hint="--accept-differences, if you can live with that",
        )
    for one in other:
        work.on_event(Noted(f"container:{step.name}", b"", str(one)))
    places = {one.destination: one.source for one in made.mounts if one.kind == "volume"}
    _demand_new(work, places, before)
    rename(target, identity, step.name)
    return {"container": identity, "volumes": places}


def _demand_new(work: Work, places: Mapping[str, str], before: set[str]) -> None:
    """Raise MigrationFailed where a volume that was to come about with the container, and so will
    be emptied, is somebody's."""
    for _, step in work.record.steps(CopyData):
        name = places.get(step.destination, "")
        if step.anonymous and (not name or name in before):
            found = f"volume {name!r}, which was there before" if name else "no volume"
            raise MigrationFailed(
                f"at {step.destination} the target would give the container {found}, "
                f"and {step.name} cannot go there",
                hint="run the container anew on the source, as --volumes-from has changed since",
            )


def drop_container(work: Work, _step: CreateContainer, facts: Mapping[str, Any]) -> None:
    """Remove the container, with the anonymous volumes that were made for it."""
    remove_container(work.engines.target, str(facts.get("container") or work.passing_name))
    remove_container(work.engines.target, work.passing_name)


def fresh_id() -> str:
    """Return the id of a new migration."""
    return secrets.token_hex(8)
