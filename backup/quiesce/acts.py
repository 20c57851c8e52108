"""Containers made quiet, and put back as they were.

Whoever was stopped may have been created anew meanwhile (by compose, say): then the one that has
taken its place runs in the end. A request that was cut off may yet be obeyed by the engine, so what
was begun and not seen to be done is done again before it is undone.
"""

from datetime import datetime
from typing import Final

from backup.config import Quiesce
from backup.engine import (
    Engine,
    State,
    labelled_containers,
    pause,
    start,
    state,
    stop,
    unpause,
)
from backup.errors import EngineError, EngineUnavailable, NotOnEngine
from backup.quiesce.journal import Touched
from backup.quiesce.plan import NUMBER, PROJECT, SERVICE, Quieted

_KILLED: Final = 137
_LATE_S: Final = 60
"""So long after its grace a stop may still be under way at the engine."""
_CLOCK_S: Final = 2.0
"""How far an engine's time, as it was asked for, may be behind."""
_LONGEST_S: Final = 3600.0

Either = Quieted | Touched


def is_there(engine: Engine, identity: str) -> bool:
    """Whether an engine has a container of this id."""
    try:
        state(engine, identity)
    except NotOnEngine:
        return False
    return True


def found_again(engine: Engine, one: Either) -> str | None:
    """The id of a container, or of the one that has taken its place; None where there is none."""
    candidates = [one.id]
    if one.service[0]:
        labels = dict(zip((PROJECT, SERVICE, NUMBER), one.service, strict=True))
        candidates += labelled_containers(
            engine, {key: text for key, text in labels.items() if text}
        )
    for candidate in (*candidates, one.name):
        if is_there(engine, candidate):
            return candidate
    return None


def is_at_work(engine: Engine, one: Either) -> bool:
    """Whether a container runs, and is not paused."""
    found = found_again(engine, one)
    if found is None:
        return False
    now = state(engine, found)
    return (now.running or now.restarting) and not now.paused


def quiet(engine: Engine, one: Quieted) -> str | None:
    """Pause or stop a container. Returns what is worth a warning. Raises EngineError."""
    found = found_again(engine, one)
    if found is None:
        raise NotOnEngine("container", one.name)
    if one.how is Quiesce.PAUSE:
        pause(engine, found)
        return None
    began = engine.now()
    stop(engine, found, one.grace_s)
    now = state(engine, found)
    if now.running:
        raise EngineError(f"container {one.name!r} runs again as soon as it is stopped")
    if now.exit_code == _KILLED and 0 <= one.grace_s <= engine.now() - began:
        return f"did not stop within {one.grace_s} s and was killed (137)"
    return None


def resume(engine: Engine, one: Touched, began: float, *, settled: bool) -> str | None:
    """Let a container run as before. Returns what is worth a warning. Raises EngineError.

    One that runs already is left alone, and so is one that somebody has removed.
    """
    found = found_again(engine, one)
    if found is None:
        return "is gone, and nothing has taken its place: somebody removed it meanwhile"
    now = state(engine, found)
    if found == one.id and not settled and _may_be_under_way(engine, one, now, began):
        now = _settled(engine, one)
    if one.how is Quiesce.PAUSE:
        if now.paused and found == one.id:
            unpause(engine, found)
        elif not now.running:
            return "was stopped by somebody else while it was paused"
        elif settled and found == one.id:
            return "went on already: somebody else has unpaused it"
        return None
    if now.running or now.restarting:
        return "runs already: somebody else has started it"
    start(engine, found)
    return None


def end_of(engine: Engine, one: Touched) -> str | None:
    """Why a container that was started does not run after all, or None."""
    found = found_again(engine, one)
    if found is None or one.how is Quiesce.PAUSE:
        return None
    now = state(engine, found)
    if now.running or now.restarting:
        return None
    return f"was started again, and ended with exit code {now.exit_code}"


def failed_end_of(engine: Engine, one: Touched) -> str | None:
    """The same a while later, when one that ended well may have done its work."""
    found = found_again(engine, one)
    if found is None or state(engine, found).exit_code == 0:
        return None
    return end_of(engine, one)


def _may_be_under_way(engine: Engine, one: Touched, now: State, began: float) -> bool:
    """Whether an engine may yet obey what it was asked for: not long ago, of one that has run ever
    since."""
    lasts_s = one.grace_s if one.grace_s >= 0 else _LONGEST_S
    if not now.running or now.paused or engine.now() > began + lasts_s + _LATE_S:
        return False
    return datetime.fromisoformat(now.started_at).timestamp() < began + _CLOCK_S


def _settled(engine: Engine, one: Touched) -> State:
    try:
        if one.how is Quiesce.PAUSE:
            pause(engine, one.id)
        else:
            stop(engine, one.id, one.grace_s)
    except EngineUnavailable:
        raise
    except EngineError:  # it is paused by now, or gone, and the state tells
        pass
    return state(engine, one.id)
