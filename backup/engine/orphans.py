"""What runs that were killed left behind.

A helper ends with its run (lifetime.py), but its container stays. A *running* helper has a living
owner and is left alone; one that has ended, was never started, or stands paused has none.
"""

import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from backup.engine import lifetime, private
from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.errors import EngineError

STARTING_S = 300
_ENDS_WITHIN_S = 5.0
_ANSWERS_WITHIN_S = 15.0
"""Engines kill within 10 s; one that takes longer for a container never answers."""
_ENDED = ("exited", "dead", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A helper container whose run is dead. Its `labels` tell what it was for."""

    id: str
    name: str
    state: str
    labels: dict[str, str]

    @property
    def run(self) -> str:
        """The run that it belonged to."""
        return self.labels.get(lifetime.RUN_LABEL, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """An orphan that the engine does not remove, and what it says or that it says nothing."""

    orphan: Orphan
    why: str


def labelled(engine: Engine, label: str, value: str, *states: str) -> tuple[str, ...]:
    """The ids of the helpers, living or dead, that have a label with this value; or only of those
    in one of these states."""
    wanted = json.dumps({"label": [lifetime.LABEL, f"{label}={value}"], "status": states})
    return tuple(str(one["Id"]) for one in engine.get("/containers/json", all=1, filters=wanted))


def orphans(engine: Engine) -> list[Orphan]:
    """Helpers without a living owner, the oldest first."""
    found: list[dict[str, Any]] = engine.get(
        "/containers/json", all=1, filters=json.dumps({"label": [lifetime.LABEL]})
    )
    now = engine.now()  # created times are by its clock, not ours
    ours = [one for one in found if lifetime.is_own(one["Labels"], *one["Names"] or [])]
    dead = [one for one in ours if _is_dead(one, now)]
    return [
        Orphan(
            id=str(one["Id"]),
            name=str((one["Names"] or [one["Id"]])[0]).lstrip("/"),
            state=str(one["State"]),
            labels=dict(one["Labels"]),
        )
        for one in sorted(dead, key=lambda one: int(one["Created"]))
    ]


def ended_at(engine: Engine, orphan: Orphan) -> str:
    """When the orphan's processes ended, by the engine's clock, as it writes it (RFC 3339)."""
    if orphan.state == "paused":
        _unpause(engine, orphan)  # then its first process finds its stdin closed, and ends
    limit = time.monotonic() + _ENDS_WITHIN_S
    while True:
        state = engine.find("container", orphan.name, f"/containers/{orphan.id}/json")["State"]
        if not state["Running"] or time.monotonic() > limit:
            return str(state["FinishedAt"])
        time.sleep(0.05)


def _unpause(engine: Engine, orphan: Orphan) -> None:
    try:
        engine.post(f"/containers/{orphan.id}/unpause", timeout_s=_ANSWERS_WITHIN_S)
    except Declined as err:
        if err.status not in (404, 409, 500):  # gone, or not paused any more
            raise


def remove(engine: Engine, orphan: Orphan) -> None:
    """Remove an orphan; its volumes stay. One that is gone already is no error."""
    if orphan.state == "paused":
        _unpause(engine, orphan)
    lifetime.remove(engine, orphan.id, timeout_s=_ANSWERS_WITHIN_S)


def remove_all(engine: Engine, run: str) -> None:
    """Remove every helper of a run, whatever it does; its volumes stay. For a run that is over:
    where its link was cut, the engine may not have noticed yet."""
    for identity in labelled(engine, lifetime.RUN_LABEL, run):
        lifetime.remove(engine, identity)


def sweep(engine: Engine, *, spared: Collection[str] = ()) -> list[Stuck]:
    """Remove all orphans but those with a `spared` id, and shared directories of dead runs.

    Returns those that are still there: an engine may lose a container for good (20.10 does when one
    is paused while a command starts in it), and that must not keep anybody from a backup.
    A caller who has to act on what an orphan's run half did asks `orphans` first.
    """
    stuck = []
    for one in orphans(engine):
        if one.id in spared:
            continue
        try:
            remove(engine, one)
        except EngineError as err:
            stuck.append(Stuck(orphan=one, why=str(err)))
    private.sweep()
    return stuck


def _is_dead(listed: dict[str, Any], now: float) -> bool:
    state = str(listed["State"])
    if state == "created":  # its owner may be about to start it
        return now - int(listed["Created"]) > STARTING_S
    return state in _ENDED
