"""Restore: a snapshot's entries into a volume, read back before it is called good.

A target is a new volume or an empty one. Before anything is written the whole manifest was surveyed
and the target looked at. The helper that writes is the journal: its labels say which volume it
fills, whether it made it, and how the root directory was. Once the volume was read back and
compared, the helper is renamed; one that is found dead and not renamed belonged to a run that was
killed, and what it did is taken back by the next run. So a target is as it was, or
completely restored.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from backup.destination import PLACE, Target, demand_empty, demand_unused, make
from backup.engine import (
    Access,
    Attached,
    Engine,
    Helper,
    Orphan,
    ended_at,
    helper,
    labelled,
    orphans,
    remove,
    remove_volume,
    users,
    volume,
)
from backup.errors import BackupError, EngineError, InUse, NotOnEngine
from backup.members import selection
from backup.report import Advanced, Finished, OnEvent, Started
from backup.survey import Survey
from backup.verify import verify_contents, verify_listing

_VOLUME: Final = "voltar.restore"
_MADE: Final = "voltar.restore-made"
_ROOT: Final = "voltar.restore-root"
_ENDS_WITHIN_S: Final = 5.0
_PROVEN: Final = "voltar-restored-"
TAR_EXTRACT: Final = (
    "tar",
    "--extract",
    "--file=-",
    "--preserve-permissions",
    "--same-owner",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--warning=no-timestamp",
    "--quoting-style=escape",
    "--blocking-factor=512",
)
_TELL_SIZE: Final = 1 << 20
_ANY_ORDER: Final = "--delay-directory-restore"


class Verify(Enum):
    """How a restored volume is read back: what a listing shows, or every byte as well."""

    LISTING = "listing"
    FULL = "full"


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
        writer.writing(extraction(found), blocks, within=PLACE)
        verify_listing(writer, PLACE, found)
        if verify is Verify.FULL:
            verify_contents(writer, PLACE, found, on_event)
    on_event(Finished("restore", source))


def extraction(found: Survey) -> list[str]:
    """Return the command that extracts what a survey chose.

    tar gives a directory its time, mode and attributes when it comes to something that is not in
    it. Where more may come later it must wait until the end, and then looks through all that wait
    for every directory: with a hundred thousand of them that takes minutes.
    """
    return [*TAR_EXTRACT] if found.ordered else [*TAR_EXTRACT, _ANY_ORDER]


@contextmanager
def _filling(engine: Engine, into: Target, run: str) -> Iterator[Helper]:
    """A helper that may write the target; the target is as it was unless the `with` ends well."""
    if into.make is not None:
        make(engine, into.name, into.make, run)
    labels = {_VOLUME: into.name, _MADE: "1" if into.make else "0", _ROOT: into.root}
    mounts = (Attached(into.name, PLACE),)
    try:
        with helper(engine, mounts, access=Access.WRITE, run=run, labels=labels) as writer:
            _demand_alone(engine, writer, into.name)
            try:
                yield writer
                writer.rename(_PROVEN + run)
            except BaseException as error:
                with uninterrupted():
                    _undo(engine, writer, labels, run, error)
                raise
    except BaseException:
        if into.make is not None:
            with uninterrupted(), suppress(EngineError):  # somebody else may have it now
                remove_volume(engine, into.name)
        raise


def _demand_alone(engine: Engine, writer: Helper, name: str) -> None:
    """Look at the target once more, when every other run can see that this one is about to fill it.

    Raises InUse; nothing was written then.
    """
    others = [one for one in labelled(engine, _VOLUME, name) if one != writer.id]
    if others:
        raise _being_filled(name)
    demand_unused(engine, name)
    demand_empty(writer, name)


def await_end(engine: Engine, name: str) -> bool:
    """Wait for the end of what fills a volume, and return whether it was awaited.

    A run that was killed a moment ago has a helper yet, whose end comes by itself. Raises InUse
    where it lives on: then its run does.
    """
    limit = time.monotonic() + _ENDS_WITHIN_S
    awaited = False
    while labelled(engine, _VOLUME, name, "running"):
        if time.monotonic() > limit:
            raise _being_filled(name)
        awaited = True
        time.sleep(0.1)
    return awaited


def _being_filled(name: str) -> InUse:
    return InUse(f"another restore fills volume {name!r}", hint="wait until it has ended")


def _undo(
    engine: Engine, writer: Helper, labels: dict[str, str], run: str, because: BaseException
) -> None:
    """Put a target back. The writer is ended first, but stays until that is done: it is the journal
    by which the next run finds what a run left that is killed in here."""
    try:
        writer.kill()
        demand_unused(engine, labels[_VOLUME])
        _empty(engine, labels, run)
    except BackupError as error:
        because.add_note(
            f"volume {labels[_VOLUME]!r} is not complete, and could not be put back: {error}"
        )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no signal end what must not stay half done; kill -9 does, and the next run goes on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _empty(engine: Engine, labels: dict[str, str], run: str) -> None:
    """Empty a target that a restore had begun to fill; the root of one that was there is as it was.

    The helper has the labels of the one before it, so a run that is killed here is found again.
    """
    mounts = (Attached(labels[_VOLUME], PLACE),)
    with helper(engine, mounts, access=Access.WRITE, run=run, labels=labels) as writer:
        writer.run(["find", PLACE, "-mindepth", "1", "-delete"])
        if labels[_MADE] == "1":
            return  # it will be removed
        uid, gid, mode, mtime = labels[_ROOT].split()
        writer.run(["chown", f"{uid}:{gid}", PLACE])
        writer.run(["chmod", mode, PLACE])
        writer.run(["touch", "--date", f"@{mtime}", PLACE])


@dataclass(frozen=True, slots=True)
class DeadRestore:
    """A restore that was killed before it was proven.

    `left` says why what it did was not taken back, or is None where it was; `helper` is the id of
    the container that tells of it.
    """

    volume: str
    helper: str
    left: str | None


def take_back_dead_restores(engine: Engine, run: str) -> list[DeadRestore]:
    """Undo the restores that were killed before they were proven.

    Called at the start of every run. What somebody has used since is theirs: it is left alone. What
    cannot be undone now is tried again by the next run: its helper must stay until then.
    """
    dead = []
    for orphan in orphans(engine):
        name = orphan.labels.get(_VOLUME)
        if name is not None and not orphan.name.startswith(_PROVEN):
            try:
                left = _take_back(engine, orphan, name, run)
            except BackupError as error:
                left = str(error)
            dead.append(DeadRestore(name, orphan.id, left))
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
    if orphan.state == "created":
        return _claimed_unstarted(engine, name, run)
    using = users(engine, name)
    if using:
        return f"container {using[0].name!r} has it now"
    # a volume that was made anew is newer in its root directory, which is looked at as well
    since = ended_at(engine, orphan)
    with helper(engine, (Attached(name, PLACE),), access=Access.READ, run=run) as reader:
        changed = reader.run(["find", PLACE, "-newerct", since, "-printf", "x", "-quit"])
    return "it was changed since" if changed else None


def _claimed_unstarted(engine: Engine, name: str, run: str) -> str | None:
    """Return why a volume stays whose restore never began to write: because there is data in it."""
    with helper(engine, (Attached(name, PLACE),), access=Access.READ, run=run) as reader:
        try:
            demand_empty(reader, name)
        except InUse:
            return "it has data"
    return None


def _told(blocks: Iterator[memoryview], on_event: OnEvent) -> Iterator[memoryview]:
    """Tell how far the work is; an event for each small block would cost more than it shows."""
    untold = 0
    for block in blocks:
        untold += len(block)
        if untold >= _TELL_SIZE:
            on_event(Advanced(untold))
            untold = 0
        yield block
    on_event(Advanced(untold))
