"""One run: a plan's sources, captured one after the other, each committed on its own.

A source that fails does not keep the others from being saved; what failed is in the outcome, and
the exit code tells. A snapshot is committed by the statement after its helper has ended well.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from backup import __version__
from backup.anomaly import anomalies, is_comparable
from backup.capture import Captured, Wish, capture
from backup.engine import Access, Engine, Helper, VolumesFrom, helper
from backup.errors import BackupError, IntegrityError
from backup.exclusion import NOTHING, Exclusion
from backup.image.keeping import keep
from backup.report import Noted, OnEvent
from backup.repository import SHORT_ID, Repository, Snapshot, SnapshotId, Statistics, Writer
from backup.repository.timing import is_future
from backup.targets import IMAGE, Group, Plan, Source, alone
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
    `full` says that nothing is to be trusted. `tags` go into every snapshot. Where `watchful`, each
    is looked at for anomalies.
    """

    full: bool = False
    parent: tuple[SnapshotId, Snapshot] | None = None
    exclusion: Exclusion = NOTHING
    tags: Sequence[str] = ()
    watchful: bool = True


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
        work = _Run(engine, repository, writer, wishes, past, run, on_event)
        for group in plan.groups:
            yield from work.back_up_group(group)
        for image in plan.images:
            yield work.back_up_image(image)


_Past = Mapping[str, Sequence[tuple[SnapshotId, Snapshot]]]


def _past(repository: Repository, host: str, on_event: OnEvent) -> _Past:
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
        snapshot, volume=None, mount=None, definition=None, image=None, manifest=[]
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What all sources of a run share."""

    engine: Engine
    repository: Repository
    writer: Writer
    wishes: Wishes
    past: _Past
    run: str
    on_event: OnEvent

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
        before = self._so_far()
        parent = self._newest(name)
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

    def _newest(self, source: str) -> tuple[SnapshotId, Snapshot] | None:
        known = () if self.wishes.full or self.wishes.parent else self.past.get(source, ())
        return known[-1] if known else None

    def _look_anew(self, now: float) -> None:
        if now - self.writer.reading.taken > _READING_LASTS_S:
            self.writer.renew(self.repository.readings.renewed(self.writer.reading))

    def _so_far(self) -> dict[str, int]:
        """Return what the run has stored of all its sources."""
        names = ("added", "stored", "fresh", "compressed")
        return {name: getattr(self.writer, name) for name in names}

    def _counted(
        self, statistics: Statistics, before: Mapping[str, int], started: float
    ) -> Statistics:
        more = {name: count - before[name] for name, count in self._so_far().items()}
        seconds = round(time.monotonic() - started, 3)
        return msgspec.structs.replace(statistics, **more, seconds=seconds)

    def _back_up_source(self, reader: Helper, source: Source) -> Saved:
        started = time.monotonic()
        self._look_anew(started)
        writer = self.writer
        before = self._so_far()
        parent = self.wishes.parent or self._newest(source.name)
        wish = Wish(parent[1] if parent else None, self.wishes.exclusion)
        into = self.repository, writer
        captured = capture(
            reader, source.path, source.name, wish, into=into, on_event=self.on_event
        )
        writer.finish()
        statistics = self._counted(captured.statistics, before, started)
        snapshot = self._record(source, captured, statistics, parent[0] if parent else None)
        snapshot = self._looked_at(snapshot)
        return Saved(self.repository.commit(snapshot, writer), snapshot, captured.warnings)

    def _looked_at(self, snapshot: Snapshot) -> Snapshot:
        """Return the record with its anomalies, and tell of them."""
        if not self.wishes.watchful:
            return snapshot
        past = [each for _, each in self.past.get(snapshot.source, ())]
        found = anomalies(snapshot, past)
        for each in found:
            self.on_event(Noted(snapshot.source, b"", f"{each}; its old snapshots are kept"))
        return msgspec.structs.replace(snapshot, anomalies=found)

    def _record(
        self,
        source: Source,
        captured: Captured,
        statistics: Statistics,
        parent: SnapshotId | None,
    ) -> Snapshot:
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
            excludes=self.wishes.exclusion.described(),
            program=f"voltar {__version__}",
            notes=captured.notes,
            statistics=statistics,
            manifest=captured.manifest,
        )
