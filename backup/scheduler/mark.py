"""How far a task has come, and when it is due: pure functions of that and the time."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

from backup.scheduler.task import Task

_DRIFT: Final = timedelta(hours=1)
"""A clock that is put back by less repeats nothing; by more, it was wrong before."""

Moment = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """All that was due up to `served` is done; `due` is what comes, or what waits since then."""

    said: str
    served: Moment
    due: Moment


def planned(task: Task, mark: Mark | None, now: datetime) -> Mark:
    """Return when a task is due, given how far it had come; None for one that was never seen.

    What was due and is not done stays due, also when the schedule is changed. Otherwise a changed
    schedule counts from now: nobody has missed what was not yet asked for.
    """
    if mark is None or is_ahead(mark, now):
        return served(task, now)
    if mark.due <= now:
        return replace(mark, said=task.said)
    if mark.said != task.said:
        return served(task, max(now, mark.served))
    return served(task, mark.served)  # the rules of the time zone may be others by now


def served(task: Task, moment: datetime) -> Mark:
    """Return the mark of a task of which all is done that was due up to a moment."""
    return Mark(said=task.said, served=moment, due=task.next(moment))


def is_ahead(mark: Mark, now: datetime) -> bool:
    """Whether a mark was made by a clock that was wrong: it would hold the task up until then."""
    return mark.served > now + _DRIFT


def start_of(task: Task, due: datetime, seed: str) -> datetime:
    """Return when a run begins: up to `jitter` later, and before it is due the next time.

    The same for each due time, or a restart would shift it; another on each machine (`seed`).
    """
    if not task.jitter_s:
        return due
    room = min(task.jitter_s, (task.next(due) - due).total_seconds())
    digest = hashlib.sha256(f"{seed} {task.key} {due.isoformat()}".encode()).digest()
    return due + timedelta(seconds=room * int.from_bytes(digest[:4]) / 2**32)
