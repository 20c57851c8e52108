"""One run: a plan's sources, captured one after the other, each committed on its own.

A source that fails does not keep the others from being saved; what failed is in the outcome, and
the exit code tells. A snapshot is committed by the statement after its helper has ended well.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from backup import __version__
from backup.capture import Captured, capture
from backup.engine import Access, Engine, Helper, VolumesFrom, helper
from backup.errors import BackupError, IntegrityError
from backup.report import OnEvent
from backup.repository import Repository, Snapshot, SnapshotId, Statistics, Writer
from backup.targets import Group, Plan, Source, alone
from transports.errors import TransportError


@dataclass(frozen=True, slots=True)
class Saved:
    """A source that is in the repository."""

    id: SnapshotId
    snapshot: Snapshot
    warnings: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that is not, and why."""

    source: str
    error: BackupError | TransportError


Outcome = Saved | Failed


def new_run() -> str:
    """Return a new run's id."""
    return secrets.token_hex(8)


def back_up(
    engine: Engine, repository: Repository, plan: Plan, *, run: str, on_event: OnEvent
) -> Iterator[Outcome]:
    """Capture a plan's sources; yield what became of each.

    A source's own failure is yielded. What concerns all of them is raised: TransportError (the
    store is gone), IntegrityError.
    """
    with repository.writer() as writer:
        for group in plan.groups:
            yield from _back_up_group(engine, (repository, writer), group, run, on_event)


def _back_up_group(
    engine: Engine, into: tuple[Repository, Writer], group: Group, run: str, on_event: OnEvent
) -> Iterator[Outcome]:
    waiting = list(group.sources)
    try:
        with helper(engine, group.mounts, access=Access.READ, run=run) as reader:
            while waiting:
                source = waiting.pop(0)
                yield _guarded(engine, into, reader, source, run, on_event)
    except IntegrityError:
        raise
    except BackupError as error:
        if len(waiting) < len(group.sources) or not isinstance(group.mounts, VolumesFrom):
            yield from (Failed(source.name, error) for source in waiting)
            return
        # A volume at /etc, say, has no place for the files that the engine puts there, and what is
        # mounted read-only gets none: one such mount must not keep the others from being saved.
        for source in waiting:
            yield from _back_up_group(engine, into, alone(source), run, on_event)


def _guarded(
    engine: Engine,
    into: tuple[Repository, Writer],
    reader: Helper,
    source: Source,
    run: str,
    on_event: OnEvent,
) -> Outcome:
    try:
        return _back_up_source(engine, into, reader, source, run, on_event)
    except IntegrityError:
        raise
    except BackupError as error:
        return Failed(source.name, error)


def _back_up_source(
    engine: Engine,
    into: tuple[Repository, Writer],
    reader: Helper,
    source: Source,
    run: str,
    on_event: OnEvent,
) -> Saved:
    repository, writer = into
    started = time.monotonic()
    added_before, stored_before = writer.added, writer.stored
    captured = capture(reader, source.path, source.name, into=into, on_event=on_event)
    writer.finish()
    statistics = msgspec.structs.replace(
        captured.statistics,
        added=writer.added - added_before,
        stored=writer.stored - stored_before,
        seconds=round(time.monotonic() - started, 3),
    )
    snapshot = _record(engine, source, captured, statistics, run)
    return Saved(repository.commit(snapshot), snapshot, captured.warnings)


def _record(
    engine: Engine, source: Source, captured: Captured, statistics: Statistics, run: str
) -> Snapshot:
    return Snapshot(
        time=captured.time,
        host=engine.name,
        source=source.name,
        run=run,
        volume=source.volume,
        mount=source.mount,
        definition=source.definition,
        program=f"voltar {__version__}",
        notes=captured.notes,
        statistics=statistics,
        manifest=captured.manifest,
    )
