"""One run: a plan's sources, captured one after the other, each committed on its own.

A source that fails does not keep the others from being saved; what failed is in the outcome, and
the exit code tells. A snapshot is committed by the statement after its helper has ended well.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from backup import __version__
from backup.anomaly import is_comparable
from backup.database.dump import keep as keep_dump
from backup.engine import Engine, VolumesFrom
from backup.errors import BackupError, IntegrityError
from backup.image.keeping import keep
from backup.job.storing import Failed, Outcome, Past, Saved, Storing, Wishes, counted, reader_of
from backup.job.together import back_up_together
from backup.quiesce.plan import Unit
from backup.quiesce.window import Windows
from backup.report import Noted, OnEvent
from backup.repository import SHORT_ID, Repository, Snapshot, SnapshotId
from backup.repository.timing import is_future
from backup.targets import IMAGE, Dump, Group, Plan, alone

__all__ = ["Failed", "Outcome", "Saved", "Wishes", "back_up", "new_run"]


def new_run() -> str:
    """Return a new run's id."""
    return secrets.token_hex(8)


def back_up(
    engine: Engine,
    repository: Repository,
    plan: Plan,
    wishes: Wishes,
    *,
    run: str,
    on_event: OnEvent,
) -> Iterator[Outcome]:
    """Capture a plan's sources; yield what became of each.

    A source's own failure is yielded. What concerns all of them is raised: TransportError (the
    store is gone), IntegrityError.
    """
    past = _past(repository, engine.name, on_event)
    for error in repository.readings.current().damaged:
        on_event(Noted("repository", b"", f"{error}; `voltar check` says more"))
    with repository.writer() as writer:
        storing = Storing(engine, repository, writer, wishes, past, run, on_event)
        work = _Run(storing)
        if wishes.windows is not None and wishes.windows.skipped is not None:
            wishes.windows.leave_out(_names(plan), wishes.windows.skipped)
            return
        for dump in plan.dumps:  # first: their servers must run, and what follows may stop them
            yield storing.guarded(dump.source, partial(work.save_dump, dump))
        if wishes.windows is None:
            for group in plan.groups:
                yield from work.back_up_group(group)
        else:
            for unit in wishes.windows.units:
                yield from work.back_up_unit(unit, wishes.windows)
        for image in plan.images:
            yield work.back_up_image(image)


def _names(plan: Plan) -> list[str]:
    """Return the names of all sources of a plan."""
    dumps = [each.source for each in plan.dumps]
    return [
        *dumps,
        *(each.name for each in plan.sources),
        *(f"{IMAGE}{each}" for each in plan.images),
    ]


def _past(repository: Repository, host: str, on_event: OnEvent) -> Past:
    """Return the snapshots of each source of a host, the oldest first, and only the newest whole.

    A record that is damaged is told of and passed over: it must not keep anything from being saved.
    """
    found, damaged = repository.readable()
    for error in damaged:
        on_event(Noted("repository", b"", str(error)))
    now = repository.clock()
    past: dict[str, list[tuple[SnapshotId, Snapshot]]] = {}
    for snapshot_id, snapshot in found:
        if is_future(snapshot.time, now):
            text = f"snapshot {snapshot_id[:SHORT_ID]} is dated in the future: a clock was wrong"
            on_event(Noted(snapshot.source, b"", text))
        elif snapshot.host == host and (snapshot.image or is_comparable(snapshot)):
            known = past.setdefault(snapshot.source, [])
            known[-1:] = [(each, _light(one)) for each, one in known[-1:]]
            known.append((snapshot_id, snapshot))
    return past


def _light(snapshot: Snapshot) -> Snapshot:
    """Return a record without what makes it large: of all but the newest, only counts are asked."""
    return msgspec.structs.replace(
        snapshot, volume=None, mount=None, definition=None, others=[], image=None, manifest=[]
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A run at work."""

    storing: Storing

    def back_up_group(self, group: Group) -> Iterator[Outcome]:
        waiting = list(group.sources)
        try:
            with reader_of(self.storing, group) as reader:
                while waiting:
                    source = waiting.pop(0)
                    save = partial(self.storing.back_up, reader, source)
                    yield self.storing.guarded(source.name, save)
        except IntegrityError:
            raise
        except BackupError as error:
            if len(waiting) < len(group.sources) or not isinstance(group.mounts, VolumesFrom):
                yield from (Failed(source.name, error) for source in waiting)
                return
            # A volume at /etc, say, has no place for the files that the engine puts there, and what
            # is mounted read-only gets none: one such mount must not keep the others from being
            # saved.
            for source in waiting:
                yield from self.back_up_group(alone(source))

    def back_up_unit(self, unit: Unit, windows: Windows) -> Iterator[Outcome]:
        """Save a unit's sources, those of which users are to be quiet together."""
        if unit.refused is not None:
            yield from (Failed(source.name, unit.refused) for source in unit.sources)
        elif unit.quieted or unit.hooks:
            yield from back_up_together(self.storing, unit, windows)
        else:
            for group in unit.groups:
                yield from self.back_up_group(group)

    def back_up_image(self, reference: str) -> Outcome:
        """Save an image, but for what an earlier snapshot of it has."""
        name = f"{IMAGE}{reference}"
        return self.storing.guarded(name, partial(self._save_image, name, reference))

    def _save_image(self, name: str, reference: str) -> Saved:
        storing = self.storing
        storing.look_anew(time.monotonic())
        writer, before = storing.writer, storing.so_far()
        parent = storing.newest(name)
        into = storing.repository, writer
        told = storing.on_event
        kept = keep(storing.engine, reference, parent and parent[1], into=into, on_event=told)
        writer.finish()
        snapshot = Snapshot(
            time=kept.time,
            host=storing.engine.name,
            source=name,
            run=storing.run,
            image=kept.image,
            parent=parent[0] if parent else None,
            tags=list(storing.wishes.tags),
            program=f"voltar {__version__}",
            imported=True,
            statistics=counted(kept.statistics, storing.since(before)),
            manifest=kept.manifest,
        )
        return Saved(storing.repository.commit(snapshot, writer), snapshot, 0)

    def save_dump(self, dump: Dump) -> Saved:
        """Save what a container's database writes of itself."""
        storing = self.storing
        storing.look_anew(time.monotonic())
        writer, before = storing.writer, storing.so_far()
        kept = keep_dump(storing.engine, dump, (storing.repository, writer), storing.on_event)
        writer.finish()
        snapshot = Snapshot(
            time=kept.time,
            host=storing.engine.name,
            source=dump.source,
            run=storing.run,
            definition=kept.definition,
            tags=list(storing.wishes.tags),
            program=f"voltar {__version__}",
            imported=True,
            notes=kept.notes,
            statistics=counted(kept.statistics, storing.since(before)),
            manifest=kept.manifest,
        )
        snapshot = storing.looked_at(snapshot)
        saved = Saved(storing.repository.commit(snapshot, writer), snapshot, kept.notes)
        if kept.directory is not None:
            storing.dumped.append(kept.directory)
        return saved
