"""After a migration: the source is removed, or taken into use again."""

from dataclasses import dataclass, field

from backup.engine import (
    container,
    remove_container,
    remove_volume,
    set_restart_policy,
    state,
    stop,
    users,
    volume,
)
from backup.errors import InUse, MigrationFailed, NotOnEngine, UsageError
from backup.migrate.facts import LABEL
from backup.migrate.journal import FINISHED, FINISHING, MOVED, OPEN, ROLLED_BACK, Record
from backup.migrate.moving import listed, start_source
from backup.migrate.step import CopyData, CreateContainer, MakeVolume, StopSource
from backup.migrate.work import Work


@dataclass(slots=True)
class Removed:
    """What is gone from the source, and what stays and why."""

    removed: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)


def demand_moved(record: Record) -> None:
    """Raise UsageError unless the migration came to its end, and nothing was decided since."""
    if record.outcome != MOVED:
        now = "not at its end" if record.outcome == OPEN else record.outcome
        raise UsageError(f"migration {record.header.id} is {now}", hint=_hint(record))


def _hint(record: Record) -> str | None:
    if record.outcome == FINISHING:
        return "a part of the source may be gone: the target has the data"
    return f"voltar recover {record.header.id}" if record.outcome == OPEN else None


def finish(work: Work) -> Removed:
    """Remove the source, once it was compared again: its data must be what was moved, and the
    target must be there. Directories of the host are never removed.

    Raises MigrationFailed, and removes nothing, where that is not so. From its first removal on
    there is no way back, whatever ends it.
    """
    if work.record.outcome != FINISHING:
        demand_moved(work.record)
    _demand_target(work)
    _demand_unchanged(work)
    work.journal.close_as(FINISHING)
    done = Removed()
    source = work.engines.source
    for _, step in work.record.steps(StopSource):
        remove_container(source, step.id)
        done.removed.append(f"container:{step.name}")
    for _, step in work.record.steps(CopyData):
        if step.kind != "volume":
            done.kept.append((step.name, "directories of the host are for you to remove"))
        elif step.anonymous and work.record.header.subject.startswith("container:"):
            done.removed.append(step.name)
        else:
            _remove_volume(work, step, done)
    copied = {step.source for _, step in work.record.steps(CopyData)}
    for _, made in work.record.steps(MakeVolume):
        if made.name not in copied:
            done.kept.append((f"volume:{made.name}", "its data are elsewhere, and were not moved"))
    work.journal.close_as(FINISHED)
    return done


def _remove_volume(work: Work, step: CopyData, done: Removed) -> None:
    try:
        remove_volume(work.engines.source, step.source)
    except NotOnEngine:
        pass
    except InUse as error:
        done.kept.append((step.name, str(error)))
        return
    done.removed.append(step.name)


def _demand_target(work: Work) -> None:
    target = work.engines.target
    try:
        if identity := work.record.fact(CreateContainer, "container"):
            container(target, str(identity))
        for number, step in work.record.steps(CopyData):
            if step.kind == "volume":
                found = volume(target, str(work.record.facts[number]["target"]))
                if not step.anonymous and found.labels.get(LABEL) != work.id:
                    raise MigrationFailed(
                        f"{step.name} on the target is another one than was moved; the source stays"
                    )
    except NotOnEngine as error:
        raise MigrationFailed(
            f"what was moved is not on the target any more: {error}; the source stays",
            hint=f"voltar migrate rollback {work.id}",
        ) from error


def _demand_unchanged(work: Work) -> None:
    source = work.engines.source
    for _, step in work.record.steps(StopSource):
        try:
            if state(source, step.id).running:
                raise InUse(f"container {step.name!r} runs on the source: it was started again")
        except NotOnEngine:
            continue
    for number, step in work.record.steps(CopyData):
        if step.kind == "volume":
            _demand_same(work, number, step)


def _demand_same(work: Work, number: int, step: CopyData) -> None:
    try:
        running = [one.name for one in users(work.engines.source, step.source) if one.running]
        if running:
            raise InUse(f"{step.name} is used on the source by container {running[0]!r}")
        now = listed(work.engines.source, step, work.id)
    except NotOnEngine:
        return  # removed by hand, or by a run that was killed
    if now != work.record.facts[number]["listing"]:
        raise MigrationFailed(
            f"{step.name} was changed on the source since it was moved; the source stays",
            hint="`docker volume rm` removes it, if what changed is not needed",
        )


def roll_back(work: Work, *, without_target: bool) -> None:
    """Take the source into use again. The target is stopped first and keeps all that it has.

    Raises EngineUnavailable where the target cannot be reached, unless it is to be left alone: then
    a migration that never came to its end is given up, too.
    """
    if not (without_target and work.record.outcome == OPEN):
        demand_moved(work.record)
    _demand_source(work)
    if not without_target:
        _retire(work)
    for number, step in work.record.steps(StopSource):
        start_source(work, step, work.record.facts.get(number, {}))
    work.journal.close_as(ROLLED_BACK)


def _demand_source(work: Work) -> None:
    """Raise NotOnEngine unless there is something to go back to."""
    for _, step in work.record.steps(StopSource):
        state(work.engines.source, step.id)
    for _, step in work.record.steps(CopyData):
        if step.kind == "volume":
            volume(work.engines.source, step.source)


def _retire(work: Work) -> None:
    identity = work.record.fact(CreateContainer, "container")
    if identity is None:
        return
    try:
        set_restart_policy(work.engines.target, str(identity), ("", 0))
        stop(work.engines.target, str(identity))
    except NotOnEngine:
        return
