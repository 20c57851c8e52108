"""Steps that begin with the stop of the source, and how each is taken back."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from backup.destination import PLACE
from backup.engine import (
    Access,
    Attached,
    Engine,
    State,
    helper,
    logs,
    pause,
    set_restart_policy,
    start,
    state,
    stop,
    unpause,
    users,
)
from backup.errors import InUse, MigrationFailed, NotOnEngine
from backup.migrate.facts import LABEL
from backup.migrate.step import AwaitTarget, CopyData, CreateContainer, StartTarget, StopSource
from backup.migrate.transfer import Side, carry, listing_digest
from backup.migrate.work import Work
from backup.report import Noted, Started

Facts = dict[str, Any]
_READ_AT: Final = "/voltar-source"
_POLL_S: Final = 0.2
_SETTLES_S: Final = 4.0
"""How long a container without a health check must run before it is believed to."""
_LOG_LINES: Final = 10
_NEVER: Final = ("", 0)


def stop_source(work: Work, number: int, step: StopSource) -> Facts:
    """Stop the source, once it is written down how it was; nothing starts it again by itself."""
    source = work.engines.source
    now = state(source, step.id)
    if "was" not in work.record.facts.get(number, {}):
        work.journal.note(number, {"was": _condition(now), "policy": list(now.restart)})
    work.on_event(Started("stop", f"container:{step.name}"))
    set_restart_policy(source, step.id, _NEVER)
    if now.paused:
        unpause(source, step.id)
    if now.running:
        stop(source, step.id, step.timeout_s)
    return {"stopped": True}


def _condition(now: State) -> str:
    if now.paused:
        return "paused"
    return "running" if now.running else "stopped"


def start_source(work: Work, step: StopSource, facts: Mapping[str, Any]) -> None:
    """Have the source as it was: restart policy, running, paused; unless somebody removed it."""
    if "was" not in facts:
        return
    source = work.engines.source
    try:
        state(source, step.id)
    except NotOnEngine:
        subject = f"container:{step.name}"
        work.on_event(Noted(subject, b"", "it was removed from the source: nothing is started"))
        return
    kind, most = facts["policy"]
    set_restart_policy(source, step.id, (str(kind), int(most)))
    if facts["was"] == "stopped":
        return
    if "stopped" not in facts:  # nobody knows whether the engine is about to: then it would be late
        stop(source, step.id, step.timeout_s)
    start(source, step.id)
    if facts["was"] == "paused" and not state(source, step.id).paused:
        pause(source, step.id)


def copy(work: Work, _number: int, step: CopyData) -> Facts:
    """Carry one volume or path, and prove it. Emptied first: the engine may have put the image's
    files into it, or an earlier run a part of the data."""
    target = _target_of(work, step)
    _demand_unused(work.engines.source, step)
    with _reading(work.engines.source, step, work.id) as source, ExitStack() as stack:
        place = PurePosixPath(target)
        at, within = PLACE, target
        if step.kind == "f":
            at, within = f"{PLACE}/{place.name}", str(place.parent)
        writer = stack.enter_context(
            helper(
                work.engines.target,
                (Attached(within, PLACE),),
                access=Access.WRITE,
                run=work.id,
                labels={LABEL: work.id},
            )
        )
        if step.kind != "f":
            writer.run(["find", PLACE, "-mindepth", "1", "-delete"])
        carried = carry(source, Side(writer, at, PLACE), step.name, work.on_event)
    return {
        "target": target,
        "entries": carried.entries,
        "size": carried.size,
        "listing": carried.listing,
    }


def _target_of(work: Work, step: CopyData) -> str:
    if not step.anonymous:
        return step.source
    places = work.record.fact(CreateContainer, "volumes") or {}
    return str(places[step.destination])


def _demand_unused(source: Engine, step: CopyData) -> None:
    if step.kind == "volume" and (
        running := [one.name for one in users(source, step.source) if one.running and one.writes]
    ):
        raise InUse(
            f"{step.name} is used by the running container {running[0]!r} by now",
            hint=f"docker stop {running[0]}",
        )


@contextmanager
def _reading(engine: Engine, step: CopyData, run: str) -> Iterator[Side]:
    name = f"/{PurePosixPath(step.source).name}" if step.kind == "f" else ""
    at = f"{_READ_AT}{name}"
    with helper(engine, (Attached(step.source, at),), access=Access.READ, run=run) as reader:
        yield Side(reader, at, _READ_AT)


def listed(engine: Engine, step: CopyData, run: str) -> str:
    """Return the digest of what a listing of the source shows now."""
    with _reading(engine, step, run) as side:
        return listing_digest(side)


def start_target(work: Work, _number: int, step: StartTarget) -> Facts:
    """Start the container; one that runs already is left alone."""
    work.on_event(Started("start", f"container:{step.name}"))
    start(work.engines.target, step.name)
    return {}


def stop_target(work: Work, _step: StartTarget, _facts: Mapping[str, Any]) -> None:
    """Stop the container before the source runs again: two must not serve the same."""
    try:
        stop(work.engines.target, container_id(work), 0)
    except NotOnEngine:
        return


def container_id(work: Work) -> str:
    """Return the id of the container that was made on the target."""
    return str(work.record.fact(CreateContainer, "container") or work.passing_name)


def await_target(work: Work, _number: int, step: AwaitTarget) -> Facts:
    """Wait until the container is healthy, or has run for a while. Raises MigrationFailed, with
    the last lines of its log."""
    work.on_event(Started("await", f"container:{step.name}"))
    target, identity = work.engines.target, container_id(work)
    limit_s = step.timeout_s if step.health_check else min(_SETTLES_S, step.timeout_s)
    limit = time.monotonic() + limit_s
    while True:
        now = state(target, identity)
        if not now.running or now.restarts:
            raise _failed(target, identity, step, f"ended with exit code {now.exit_code}")
        if now.health == "healthy":
            break
        if time.monotonic() > limit:
            if step.health_check:
                raise _failed(target, identity, step, f"is {now.health} after {limit_s:.0f} s")
            break
        time.sleep(_POLL_S)
    if step.pause and not now.paused:
        pause(target, identity)
    return {}


def _failed(engine: Engine, identity: str, step: AwaitTarget, what: str) -> MigrationFailed:
    error = MigrationFailed(
        f"container {step.name!r} {what} on the target",
        hint="--health-timeout gives it more time" if "after" in what else None,
    )
    for line in logs(engine, identity, _LOG_LINES):
        error.add_note(f"{step.name}: {line}")
    return error
