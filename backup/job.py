"""One run: a plan's sources, captured one after the other, each committed on its own.

A source that fails does not keep the others from being saved; what failed is in the outcome, and
the exit code tells. A snapshot is committed by the statement after its helper has ended well.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import msgspec

from backup import __version__
from backup.capture import Captured, Wish, capture
from backup.config import HotCopy
from backup.database import danger
from backup.database.dump import keep as keep_dump
from backup.engine import Access, Engine, Helper, VolumesFrom, helper
from backup.errors import BackupError, IntegrityError, InUse
from backup.exclusion import NOTHING, Exclusion
from backup.image.keeping import keep
from backup.report import Noted, OnEvent
from backup.repository import SHORT_ID, Repository, Snapshot, SnapshotId, Statistics, Writer
from backup.repository.timing import is_future
from backup.targets import IMAGE, Dump, Group, Plan, Source, alone
from transports.errors import TransportError

_READING_LASTS_S: Final = 900.0
"""A source that is begun later looks at the store anew: the time to commit it counts from then."""


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


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run captures its sources.

    Each is compared with its own newest snapshot of the same host, unless `parent` names one, or
    `full` says that nothing is to be trusted. `tags` go into every snapshot. `hot_copy` says what
    becomes of a database's files that are written to meanwhile.
    """

    full: bool = False
    parent: tuple[SnapshotId, Snapshot] | None = None
    exclusion: Exclusion = NOTHING
    tags: Sequence[str] = ()
    hot_copy: HotCopy = HotCopy.WARN


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
    newest = {} if wishes.full or wishes.parent else _newest(repository, engine.name, on_event)
    for error in repository.readings.current().damaged:
        on_event(Noted("repository", b"", f"{error}; `voltar check` says more"))
    with repository.writer() as writer:
        work = _Run(engine, repository, writer, wishes, newest, run, on_event)
        for dump in plan.dumps:  # first: their servers must run, and what follows may stop them
            yield work.back_up_dump(dump)
        for group in plan.groups:
            yield from work.back_up_group(group)
        for image in plan.images:
            yield work.back_up_image(image)


def _newest(
    repository: Repository, host: str, on_event: OnEvent
) -> dict[str, tuple[SnapshotId, Snapshot]]:
    """Return the newest snapshot of each source of a host.

    A record that is damaged is told of and passed over: it must not keep anything from being saved.
    """
    found, damaged = repository.readable()
    for error in damaged:
        on_event(Noted("repository", b"", str(error)))
    now = repository.clock()
    newest = {}
    for snapshot_id, snapshot in found:
        if is_future(snapshot.time, now):
            text = f"snapshot {snapshot_id[:SHORT_ID]} is dated in the future: a clock was wrong"
            on_event(Noted(snapshot.source, b"", text))
        elif snapshot.host == host and (snapshot.image or not snapshot.imported):
            newest[snapshot.source] = snapshot_id, snapshot
    return newest


@dataclass(frozen=True, slots=True)
class _Run:
    """What all sources of a run share."""

    engine: Engine
    repository: Repository
    writer: Writer
    wishes: Wishes
    newest: Mapping[str, tuple[SnapshotId, Snapshot]]
    run: str
    on_event: OnEvent
    dumped: list[danger.Directory] = field(default_factory=list)

    def back_up_group(self, group: Group) -> Iterator[Outcome]:
        waiting = list(group.sources)
        try:
            with helper(self.engine, group.mounts, access=Access.READ, run=self.run) as reader:
                while waiting:
                    source = waiting.pop(0)
                    save = partial(self._back_up_source, reader, source)
                    yield self._guarded(source.name, save)
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

    def back_up_image(self, reference: str) -> Outcome:
        """Save an image, but for what an earlier snapshot of it has."""
        name = f"{IMAGE}{reference}"
        return self._guarded(name, partial(self._save_image, name, reference))

    def back_up_dump(self, dump: Dump) -> Outcome:
        """Save what a container's database writes of itself."""
        return self._guarded(dump.source, partial(self._save_dump, dump))

    def _guarded(self, name: str, save: Callable[[], Saved]) -> Outcome:
        try:
            return save()
        except IntegrityError:
            raise
        except BackupError as error:
            return Failed(name, error)

    def _save_image(self, name: str, reference: str) -> Saved:
        started = time.monotonic()
        self._look_anew(started)
        writer = self.writer
        before = writer.added, writer.stored
        parent = self.newest.get(name)
        into = self.repository, writer
        kept = keep(self.engine, reference, parent and parent[1], into=into, on_event=self.on_event)
        writer.finish()
        snapshot = Snapshot(
            time=kept.time,
            host=self.engine.name,
            source=name,
            run=self.run,
            image=kept.image,
            parent=parent[0] if parent else None,
            tags=list(self.wishes.tags),
            program=f"voltar {__version__}",
            imported=True,
            statistics=self._counted(kept.statistics, before, started),
            manifest=kept.manifest,
        )
        return Saved(self.repository.commit(snapshot, writer), snapshot, 0)

    def _save_dump(self, dump: Dump) -> Saved:
        started = time.monotonic()
        self._look_anew(started)
        writer = self.writer
        before = writer.added, writer.stored
        kept = keep_dump(self.engine, dump, (self.repository, writer), self.on_event)
        writer.finish()
        snapshot = Snapshot(
            time=kept.time,
            host=self.engine.name,
            source=dump.source,
            run=self.run,
            definition=kept.definition,
            tags=list(self.wishes.tags),
            program=f"voltar {__version__}",
            imported=True,
            notes=kept.notes,
            statistics=self._counted(kept.statistics, before, started),
            manifest=kept.manifest,
        )
        saved = Saved(self.repository.commit(snapshot, writer), snapshot, kept.notes)
        if kept.directory is not None:
            self.dumped.append(kept.directory)
        return saved

    def _look_anew(self, now: float) -> None:
        if now - self.writer.reading.taken > _READING_LASTS_S:
            self.writer.renew(self.repository.readings.renewed(self.writer.reading))

    def _counted(
        self, statistics: Statistics, before: tuple[int, int], started: float
    ) -> Statistics:
        return msgspec.structs.replace(
            statistics,
            added=self.writer.added - before[0],
            stored=self.writer.stored - before[1],
            seconds=round(time.monotonic() - started, 3),
        )

    def _back_up_source(self, reader: Helper, source: Source) -> Saved:
        started = time.monotonic()
        self._look_anew(started)
        writer = self.writer
        before = writer.added, writer.stored
        parent = self.wishes.parent or self.newest.get(source.name)
        wish = self._wish(reader, source, parent)
        into = self.repository, writer
        captured = capture(
            reader, source.path, source.name, wish, into=into, on_event=self.on_event
        )
        writer.finish()
        statistics = self._counted(captured.statistics, before, started)
        snapshot = self._record(source, (captured, wish), statistics, parent and parent[0])
        return Saved(self.repository.commit(snapshot, writer), snapshot, captured.warnings)

    def _wish(
        self, reader: Helper, source: Source, parent: tuple[SnapshotId, Snapshot] | None
    ) -> Wish:
        """Return how to capture a source, after a look for databases that write meanwhile."""
        exclusion = self.wishes.exclusion
        seen = danger.seen(self.engine, reader, source, self.dumped)
        if seen.hot and self.wishes.hot_copy is HotCopy.REFUSE:
            raise InUse(seen.hot[0].refusal)
        known = {each.path: each.warning for each in seen.hot}
        if self.wishes.hot_copy is HotCopy.ALLOW:
            known = {}
        if seen.replaced:
            exclusion = replace(exclusion, patterns=(*exclusion.patterns, *seen.replaced))
        return Wish(parent and parent[1], exclusion, known)

    def _record(
        self,
        source: Source,
        captured_as: tuple[Captured, Wish],
        statistics: Statistics,
        parent: SnapshotId | None,
    ) -> Snapshot:
        captured, wish = captured_as
        return Snapshot(
            time=captured.time,
            host=self.engine.name,
            source=source.name,
            run=self.run,
            volume=source.volume,
            mount=source.mount,
            definition=source.definition,
            parent=parent,
            tags=list(self.wishes.tags),
            excludes=wish.exclusion.described(),
            program=f"voltar {__version__}",
            notes=captured.notes,
            statistics=statistics,
            manifest=captured.manifest,
        )
