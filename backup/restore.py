"""Restore: a snapshot's entries into a volume, read back before it is called good.

A target is a new volume or an empty one. Before anything is written the whole manifest was surveyed
and the target looked at. The helper that writes is the journal: its labels say which volume it
fills, whether it made it, and how the root directory was. Once the volume was read back and
compared, the helper is renamed; one that is found dead and not renamed belonged to a run that was
killed, and what it did is taken back (`take_back`) by the next run. So a target is as it was, or
completely restored.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from backup.capture import TAR_CREATE
from backup.engine import (
    Access,
    Attached,
    Engine,
    Helper,
    Orphan,
    container,
    create_volume,
    ended_at,
    helper,
    orphans,
    remove,
    remove_volume,
    sweep,
    users,
    volume,
)
from backup.errors import BackupError, InUse, NotOnEngine, UsageError
from backup.members import selection
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Snapshot, VolumeFacts
from backup.survey import Survey
from backup.tarsplit import split
from backup.verify import ATTRIBUTES, verify_contents, verify_listing

TARGET: Final = "/voltar-target"
_VOLUME: Final = "voltar.restore"
_MADE: Final = "voltar.restore-made"
_ROOT: Final = "voltar.restore-root"
_PROVEN: Final = "voltar-restored-"
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LABEL: Final = "security.selinux"  # the system's own, which the restored root is given anew
TAR_EXTRACT: Final = (
    "tar",
    "--extract",
    "--file=-",
    "--preserve-permissions",
    "--same-owner",
    "--numeric-owner",
    "--delay-directory-restore",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--warning=no-timestamp",
    "--quoting-style=escape",
    "--blocking-factor=512",
)


class Verify(Enum):
    """How a restored volume is read back: what a listing shows, or every byte as well."""

    LISTING = "listing"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Target:
    """A volume to restore into. `make` says how to make it; None where it exists and is empty.

    `root` is then what its root directory is like, as `_empty` reads it.
    """

    name: str
    make: VolumeFacts | None
    root: str = ""


def target(engine: Engine, name: str, facts: VolumeFacts | None, run: str) -> Target:
    """Look at a volume before anything is restored into it.

    Raises InUse where a running container uses it, or where it is not empty.
    """
    try:
        volume(engine, name)
    except NotOnEngine:
        return Target(name, facts or VolumeFacts(name=name))
    running = [user.name for user in users(engine, name) if user.running]
    if running:
        raise InUse(
            f"volume {name!r} is used by the running container {running[0]!r}",
            hint=f"stop it first (docker stop {running[0]}), or restore into a new volume",
        )
    return Target(name, None, _root_of_empty(engine, name, run))


def _root_of_empty(engine: Engine, name: str, run: str) -> str:
    """Return what an empty volume's root directory is like. Raises InUse where it is not empty."""
    with helper(engine, (Attached(name, TARGET),), access=Access.READ, run=run) as reader:
        root = reader.run(["find", TARGET, "-maxdepth", "0", "-printf", "%U %G %m %T@"]).decode()
        found = reader.run(["find", TARGET, "-mindepth", "1", "-printf", "%P", "-quit"])
        with reader.reading([*TAR_CREATE, "--file=-", "."], within=TARGET) as stream:
            keys = [key for entry in split(stream) for key in entry.pax]
    if found:
        raise InUse(
            f"volume {name!r} is not empty, and a restore never mixes or overwrites",
            hint="restore into a new volume: --to NEWNAME",
        )
    own = [key for key in keys if key.startswith(ATTRIBUTES) and not key.endswith(_LABEL)]
    if own:
        raise InUse(
            f"the root directory of volume {name!r} has {own[0].split('.', 1)[1]} of its own, "
            "which a restore could not take away",
            hint="restore into a new volume: --to NEWNAME",
        )
    return root


def restore(
    engine: Engine, found: Survey, into: Target, *, run: str, verify: Verify, on_event: OnEvent
) -> None:
    """Fill a target with what a survey chose, and prove it. Any failure takes back what was done.

    Raises VerificationFailed, EngineError, IntegrityError, TransportError.
    """
    source = found.snapshot.source
    on_event(Started("restore", source, found.size, found.entries))
    with _filling(engine, into, run) as writer:
        blocks = _told(selection(found), on_event)
        writer.writing(TAR_EXTRACT, blocks, within=TARGET)
        verify_listing(writer, TARGET, found)
        if verify is Verify.FULL:
            verify_contents(writer, TARGET, found, on_event)
    on_event(Finished("restore", source))


@contextmanager
def _filling(engine: Engine, into: Target, run: str) -> Iterator[Helper]:
    """A helper that may write the target; the target is as it was unless the `with` ends well."""
    if into.make is not None:
        _make(engine, into.name, into.make, run)
    labels = {_VOLUME: into.name, _MADE: "1" if into.make else "0", _ROOT: into.root}
    mounts = (Attached(into.name, TARGET),)
    try:
        with helper(engine, mounts, access=Access.WRITE, run=run, labels=labels) as writer:
            yield writer
            writer.rename(_PROVEN + run)
    except BaseException as error:
        _undo(engine, labels, run, error)
        raise


def _make(engine: Engine, name: str, like: VolumeFacts, run: str) -> None:
    """Make a volume like one that was captured. Raises InUse, and makes none, where it has data.

    A driver's options may lead to where the captured volume's own data are: a server, a device.
    """
    create_volume(engine, name, driver=like.driver, options=like.options, labels=like.labels)
    try:
        if like.options or like.driver != "local":
            _root_of_empty(engine, name, run)
    except BaseException as error:
        remove_volume(engine, name)
        if isinstance(error, InUse):
            options = ", ".join(f"{key}={value}" for key, value in like.options.items())
            raise InUse(
                f"a volume like {like.name!r} (driver {like.driver}, {options}) is not empty: its "
                "options lead to where data are",
                hint=f"make an empty one (docker volume create {name}) and restore into that",
            ) from error
        raise


def _undo(engine: Engine, labels: dict[str, str], run: str, because: BaseException) -> None:
    try:
        _empty(engine, labels, run)
        if labels[_MADE] == "1":
            remove_volume(engine, labels[_VOLUME])
    except BackupError as error:
        because.add_note(
            f"volume {labels[_VOLUME]!r} is not complete, and could not be put back: {error}"
        )


def _empty(engine: Engine, labels: dict[str, str], run: str) -> None:
    """Empty a target that a restore had begun to fill; the root of one that was there is as it was.

    The helper has the labels of the one before it, so a run that is killed here is found again.
    """
    mounts = (Attached(labels[_VOLUME], TARGET),)
    with helper(engine, mounts, access=Access.WRITE, run=run, labels=labels) as writer:
        writer.run(["find", TARGET, "-mindepth", "1", "-delete"])
        if labels[_MADE] == "1":
            return  # it will be removed
        uid, gid, mode, mtime = labels[_ROOT].split()
        writer.run(["chown", f"{uid}:{gid}", TARGET])
        writer.run(["chmod", mode, TARGET])
        writer.run(["touch", "--date", f"@{mtime}", TARGET])


@dataclass(frozen=True, slots=True)
class DeadRestore:
    """A restore that was killed before it was proven.

    `left` says why what it did was not taken back, or is None where it was.
    """

    volume: str
    left: str | None


def take_back_dead_restores(engine: Engine, run: str) -> list[DeadRestore]:
    """Undo the restores that were killed before they were proven, and remove dead helpers.

    Called at the start of every run. What somebody has used since is theirs: it is left alone.
    """
    dead = []
    for orphan in orphans(engine):
        name = orphan.labels.get(_VOLUME)
        if name is not None and not orphan.name.startswith(_PROVEN):
            dead.append(DeadRestore(name, _take_back(engine, orphan, name, run)))
    sweep(engine)
    return dead


def _take_back(engine: Engine, orphan: Orphan, name: str, run: str) -> str | None:
    left = _claimed(engine, orphan, name, run)
    if left is None:
        _empty(engine, orphan.labels, run)
    remove(engine, orphan)
    if left is None and orphan.labels[_MADE] == "1":
        remove_volume(engine, name)
    return left


def _claimed(engine: Engine, orphan: Orphan, name: str, run: str) -> str | None:
    """Return why a volume is not only the dead restore's any more, or None."""
    try:
        volume(engine, name)
    except NotOnEngine:
        return "it was removed since"
    using = users(engine, name)
    if using:
        return f"container {using[0].name!r} has it now"
    # a volume that was made anew is newer in its root directory, which is looked at as well
    since = ended_at(engine, orphan)
    with helper(engine, (Attached(name, TARGET),), access=Access.READ, run=run) as reader:
        changed = reader.run(["find", TARGET, "-newerct", since, "-printf", "%P", "-quit"])
    return "it was changed since" if changed else None


def _told(blocks: Iterator[memoryview], on_event: OnEvent) -> Iterator[memoryview]:
    for block in blocks:
        on_event(Advanced(len(block)))
        yield block


def target_name(engine: Engine, text: str, snapshot: Snapshot) -> str:
    """Return the volume that a restore's target names.

    volume:NAME or NAME is that volume, there or not; container:NAME is the volume that the
    container mounts where the snapshot's was mounted. Raises UsageError, NotOnEngine.
    """
    kind, colon, name = text.partition(":")
    if (colon and kind not in ("volume", "container")) or not _NAME.fullmatch(
        name if colon else text
    ):
        raise UsageError(f"{text!r} is no target", hint="write volume:NAME or container:NAME")
    if not colon:
        return _unambiguous(engine, text)
    if kind == "volume":
        return name
    mounts = [mount for mount in container(engine, name).mounts if mount.kind == "volume"]
    place = snapshot.mount.destination if snapshot.mount else None
    fitting = [mount for mount in mounts if mount.destination == place] or mounts
    if len(fitting) != 1:
        raise UsageError(
            f"container {name!r} has {len(mounts)} volumes, none of them at {place}",
            hint="name the volume: --to volume:NAME",
        )
    return fitting[0].source


def _unambiguous(engine: Engine, name: str) -> str:
    try:
        container(engine, name)
    except NotOnEngine:
        return name
    try:
        volume(engine, name)
    except NotOnEngine:
        hint = f"write container:{name} for its volume, or volume:{name} for a new one"
        raise UsageError(f"{name!r} is a container, and not a volume", hint=hint) from None
    raise UsageError(
        f"{name!r} is a volume and a container", hint=f"write volume:{name} or container:{name}"
    )
