"""Perform the steps of a plan, one after the other, with a journal beside them; or take them back.

`performing` and `undoing` are the two tables of what there is to do. An act of the first is written
down before and after; one of the second is done for every step that was begun, from the last one to
the first, and each for itself: that the target is gone must not keep the source from being put
right.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any, Final

from backup.engine import remove_all
from backup.errors import BackupError, EngineError, EngineUnavailable
from backup.migrate import making, moving
from backup.migrate.journal import MOVED, TAKEN_BACK, Record
from backup.migrate.step import (
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
from backup.migrate.work import Work
from backup.report import Started
from backup.restore import uninterrupted
from transports.errors import TransportError

Perform = Callable[[Work, int, Any], dict[str, Any]]
Undo = Callable[[Work, Any, Mapping[str, Any]], None]


def _leave(_work: Work, _step: Any, _facts: Mapping[str, Any]) -> None:
    """What was copied goes with what it was copied into."""


_PERFORMING: Final[Mapping[type[Any], Perform]] = {
    SendImage: making.send_image,
    MakeNetwork: making.make_network,
    MakeVolume: making.make_volume,
    MakePath: making.make_path,
    CreateContainer: making.create,
    StopSource: moving.stop_source,
    CopyData: moving.copy,
    StartTarget: moving.start_target,
    AwaitTarget: moving.await_target,
}
_UNDOING: Final[Mapping[type[Any], Undo]] = {
    SendImage: making.drop_image,
    MakeNetwork: making.drop_network,
    MakeVolume: making.drop_volume,
    MakePath: making.drop_path,
    CreateContainer: making.drop_container,
    StopSource: moving.start_source,
    CopyData: _leave,
    StartTarget: moving.stop_target,
    AwaitTarget: _leave,
}
_MADE_LATE: Final = (SendImage, MakeNetwork, MakeVolume, CreateContainer)
_LATE_S: Final = 2.0
_TAKEN_BACK: Final = "it is taken back: the source is as it was, and nothing is left on the target"


class Remedy(Enum):
    """What is to become of a migration that was killed."""

    FORWARD = "forward"
    BACK = "back"
    NOTHING = "nothing"


def apply(work: Work) -> None:
    """Perform what has not been done, to the end. A failure takes all of it back, and is raised.

    That is noted on the error, or what could not be taken back, which stays in the journal for
    `recover`.
    """
    try:
        for number, step in enumerate(work.record.header.steps):
            if number in work.record.done:
                continue
            work.journal.begin(number)
            facts = _PERFORMING[type(step)](work, number, step)
            work.journal.end(number, facts)
        work.journal.close_as(MOVED)
    except BaseException as error:
        with uninterrupted():
            work.engines.revive()
            try:
                left = take_back(work, answered=_is_answer(error))
            except BackupError as failure:  # only its last line is missing
                left = [str(failure)]
        for text in left or [_TAKEN_BACK]:
            error.add_note(text)
        raise


def _is_answer(error: BaseException) -> bool:
    """Whether nothing is under way any more at an engine."""
    return isinstance(error, BackupError) and not isinstance(error, EngineUnavailable)


def take_back(work: Work, *, answered: bool = False) -> list[str]:
    """Undo what was begun. Returns what could not be undone; the journal stays open then.

    Unless all was `answered`, an engine may yet be about to do the last thing it was asked for:
    what is made late is undone as well.

    A target that was started and cannot be stopped keeps the rest as it is: the source must not run
    beside it.
    """
    work.on_event(Started("take back", work.record.header.subject))
    _end_helpers(work)
    left = []
    for number in sorted(work.record.begun, reverse=True):
        step = work.record.header.steps[number]
        try:
            facts = work.record.facts.get(number, {})
            _UNDOING[type(step)](work, step, facts)
            if not answered and number not in work.record.done and isinstance(step, _MADE_LATE):
                time.sleep(_LATE_S)
                _UNDOING[type(step)](work, step, facts)
            work.journal.undo(number)
        except (BackupError, TransportError) as error:
            left.append(f"not taken back ({type(step).__struct_config__.tag}): {error}")
            if isinstance(step, StartTarget):
                left.append(
                    "the target may run, and so the source stays stopped: if that host is gone for "
                    f"good, `voltar migrate rollback {work.id} --without-target` starts it"
                )
                break
    if left:
        return [*left, f"`voltar recover {work.id}` tries again"]
    work.journal.close_as(TAKEN_BACK)
    return []


def _end_helpers(work: Work) -> None:
    """Remove what a cut link or a kill left of this migration's helpers: one that still writes has
    a volume that is to go. What is in the way of that is told of by the steps that need it."""
    for engine in work.engines.reachable():
        with suppress(EngineError, TransportError):
            remove_all(engine, work.id)


def remedy(record: Record) -> Remedy:
    """Decide about a migration whose run is dead.

    Once the target was about to be started, somebody may have used it, and what it was told would
    be lost: then it goes on, to the end that it would have had.
    """
    if record.outcome != "open":
        return Remedy.NOTHING
    started = any(number in record.begun for number, _ in record.steps(StartTarget))
    return Remedy.FORWARD if started else Remedy.BACK


def recover(work: Work) -> Remedy:
    """Bring a migration that was killed to an end. Raises what could not be taken back, too."""
    found = remedy(work.record)
    if found is Remedy.FORWARD:
        _end_helpers(work)
        apply(work)
    elif found is Remedy.BACK and (left := take_back(work)):
        raise BackupError(f"migration {work.id} could not be taken back: {left[0]}", hint=left[-1])
    return found


def downtime_s(record: Record) -> float | None:
    """Return how long neither source nor target ran; None where the source did not run before."""
    began = [record.begun.get(n) for n, step in record.steps(StopSource) if step.was != "stopped"]
    ended: list[datetime | None] = [record.done.get(n) for n, _ in record.steps(AwaitTarget)]
    if began and ended and began[0] and ended[0]:
        return (ended[0] - began[0]).total_seconds()
    return None
