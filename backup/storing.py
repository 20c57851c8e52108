"""One source: read into the repository, and then committed.

Between the two nothing refers to what was stored. So several sources can be read while nobody
writes to them, and committed when all run again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Self

import msgspec

from backup import __version__
from backup.capture import Captured, Wish, capture
from backup.engine import Access, Engine, Helper, helper
from backup.errors import BackupError, IntegrityError
from backup.exclusion import NOTHING, Exclusion
from backup.quiesce.window import Downtime, Windows
from backup.report import OnEvent
from backup.repository import Repository, Snapshot, SnapshotId, Statistics, Writer
from backup.targets import Group, Source
from transports.errors import TransportError

_READING_LASTS_S: Final = 900.0
"""A source that is begun later looks at the store anew: the time to commit it counts from then."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A source that is in the repository; `downtimes` are of the containers that were quiet."""

    id: SnapshotId
    snapshot: Snapshot
    warnings: int
    downtimes: Sequence[Downtime] = ()

    def with_downtimes(self, downtimes: Sequence[Downtime]) -> Self:
        return replace(self, downtimes=downtimes)


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that is not, and why."""

    source: str
    error: BackupError | TransportError
    downtimes: Sequence[Downtime] = ()

    def with_downtimes(self, downtimes: Sequence[Downtime]) -> Self:
        return replace(self, downtimes=downtimes)


Outcome = Saved | Failed
Parent = tuple[SnapshotId, Snapshot] | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run captures its sources.

    Each is compared with its own newest snapshot of the same host, unless `parent` names one, or
    `full` says that nothing is to be trusted. `tags` go into every snapshot. `windows` are those in
    which nobody writes to what is read.
    """

    full: bool = False
    parent: tuple[SnapshotId, Snapshot] | None = None
    exclusion: Exclusion = NOTHING
    tags: Sequence[str] = ()
    windows: Windows | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A source that is stored and not committed yet; `parent` is what it was compared with."""

    source: Source
    captured: Captured
    parent: SnapshotId | None

    def counted(self, **counts: float) -> "Read":
        """The same, with so much more in its statistics."""
        old = self.captured.statistics
        new = {name: round(getattr(old, name) + more, 3) for name, more in counts.items()}
        statistics = msgspec.structs.replace(old, **new)
        return replace(self, captured=replace(self.captured, statistics=statistics))

    def after(self, hot: "Read") -> "Read":
        """The same, counted together with the hot reading before it."""
        last, first = self.captured.statistics, hot.captured.statistics
        names = ("read", "added", "stored", "seconds", "deleted")
        counts = {name: getattr(first, name) for name in names}
        unchanged = max(0, first.unchanged - (last.entries - last.unchanged))
        both = self.counted(**counts, unchanged=unchanged - last.unchanged)
        return replace(both, parent=hot.parent)


@dataclass(frozen=True, slots=True)
class Storing:
    """What all sources of a run share."""

    engine: Engine
    repository: Repository
    writer: Writer
    wishes: Wishes
    newest: Mapping[str, tuple[SnapshotId, Snapshot]]
    run: str
    on_event: OnEvent

    def back_up(self, reader: Helper, source: Source) -> Saved:
        """Save a source at once."""
        self.look_anew(time.monotonic())
        return self.commit(self.read(reader, source, self.parent(source), self.on_event))

    def guarded(self, name: str, save: Callable[[], Saved]) -> Outcome:
        try:
            return save()
        except IntegrityError:
            raise
        except BackupError as error:
            return Failed(name, error)

    def parent(self, source: Source) -> Parent:
        return self.wishes.parent or self.newest.get(source.name)

    def read(self, reader: Helper, source: Source, parent: Parent, on_event: OnEvent) -> Read:
        """Store a source; nothing refers to it yet."""
        before = self._so_far()
        wish = Wish(parent[1] if parent else None, self.wishes.exclusion)
        into = self.repository, self.writer
        captured = capture(reader, source.path, source.name, wish, into=into, on_event=on_event)
        read = Read(source, captured, parent and parent[0])
        return read.counted(**self._since(before))

    def finished(self, read: Read) -> Read:
        """Have all that was read on the store. Counted for this source, whosesoever it was."""
        before = self._so_far()
        self.writer.finish()
        return read.counted(**self._since(before))

    def _so_far(self) -> dict[str, float]:
        """What the run has stored of all its sources, and the clock."""
        counts = {"added": self.writer.added, "stored": self.writer.stored}
        return {**counts, "seconds": time.monotonic()}

    def _since(self, before: Mapping[str, float]) -> dict[str, float]:
        return {name: count - before[name] for name, count in self._so_far().items()}

    def commit(self, read: Read) -> Saved:
        read = self.finished(read)
        statistics = read.captured.statistics
        snapshot = self.record(read.source, read.captured, statistics, read.parent)
        warnings = read.captured.warnings
        return Saved(self.repository.commit(snapshot, self.writer), snapshot, warnings)

    def look_anew(self, now: float) -> None:
        if now - self.writer.reading.taken > _READING_LASTS_S:
            self.writer.renew(self.repository.readings.renewed(self.writer.reading))

    def record(
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


def reader_of(storing: Storing, group: Group) -> AbstractContextManager[Helper]:
    """A helper that sees a group's sources."""
    return helper(storing.engine, group.mounts, access=Access.READ, run=storing.run)
