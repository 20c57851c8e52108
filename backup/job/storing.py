"""One source: read into the repository, and then committed.

Between the two nothing refers to what was stored. So several sources can be read while nobody
writes to them, and committed when all run again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Self

import msgspec

from backup import __version__
from backup.anomaly import anomalies
from backup.capture import Captured, Wish, capture
from backup.config import HotCopy
from backup.database import danger
from backup.database.danger import Directory
from backup.engine import Access, Engine, Helper, helper
from backup.errors import BackupError, IntegrityError, InUse
from backup.exclusion import NOTHING, Exclusion
from backup.quiesce.window import Downtime, Windows
from backup.report import Noted, OnEvent, ignore
from backup.repository import Repository, Snapshot, SnapshotId, Statistics, Writer
from backup.targets import Group, Source
from transports.errors import TransportError

_READING_LASTS_S: Final = 900.0
"""A source that is begun later looks at the store anew: the time to commit it counts from then."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A source that is in the repository; `downtimes` are of the containers that were quiet.

    `in_dump`: files of a database were left out, for the run has its dump."""

    id: SnapshotId
    snapshot: Snapshot
    warnings: int
    downtimes: Sequence[Downtime] = ()
    in_dump: bool = False

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
Past = Mapping[str, Sequence[tuple[SnapshotId, Snapshot]]]


def counted(old: Statistics, more: Mapping[str, int | float]) -> Statistics:
    """Statistics, with so much more in them."""
    new = {name: round(getattr(old, name) + count, 3) for name, count in more.items()}
    return msgspec.structs.replace(old, **new)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run captures its sources.

    Each is compared with its own newest snapshot of the same host, unless `parent` names one, or
    `full` says that nothing is to be trusted. `tags` go into every snapshot. Where `watchful`, each
    is looked at for anomalies. `windows` are those in which nobody writes to what is read.
    `hot_copy` says what becomes of a database's files that are written to nevertheless.
    """

    full: bool = False
    parent: tuple[SnapshotId, Snapshot] | None = None
    exclusion: Exclusion = NOTHING
    tags: Sequence[str] = ()
    watchful: bool = True
    windows: Windows | None = None
    hot_copy: HotCopy = HotCopy.WARN


@dataclass(frozen=True, slots=True)
class Read:
    """A source that is stored and not committed yet; `parent` is what it was compared with, and
    `exclusion` what was left out."""

    source: Source
    captured: Captured
    parent: SnapshotId | None
    exclusion: Exclusion

    def counted(self, **counts: int | float) -> "Read":
        """The same, with so much more in its statistics."""
        statistics = counted(self.captured.statistics, counts)
        return replace(self, captured=replace(self.captured, statistics=statistics))

    def after(self, hot: "Read") -> "Read":
        """The same, counted together with the hot reading before it."""
        last, first = self.captured.statistics, hot.captured.statistics
        names = ("read", "added", "stored", "fresh", "compressed", "seconds", "deleted")
        counts = {name: getattr(first, name) for name in names}
        unchanged = max(0, first.unchanged - (last.entries - last.unchanged))
        unchanged_size = max(0, first.unchanged_size - (last.size - last.unchanged_size))
        both = self.counted(
            **counts,
            unchanged=unchanged - last.unchanged,
            unchanged_size=unchanged_size - last.unchanged_size,
        )
        return replace(both, parent=hot.parent)


@dataclass(frozen=True, slots=True)
class Storing:
    """What all sources of a run share. `dumped` are the data of servers whose dumps it stored."""

    engine: Engine
    repository: Repository
    writer: Writer
    wishes: Wishes
    past: Past
    run: str
    on_event: OnEvent
    dumped: list[Directory] = field(default_factory=list)

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
        return self.wishes.parent or self.newest(source.name)

    def newest(self, source: str) -> Parent:
        known = () if self.wishes.full or self.wishes.parent else self.past.get(source, ())
        return known[-1] if known else None

    def read(self, reader: Helper, source: Source, parent: Parent, on_event: OnEvent) -> Read:
        """Store a source; nothing refers to it yet. Raises InUse for a hot copy that is refused."""
        wish = self._wish(reader, source, parent)
        return self._read(reader, source, wish, parent, on_event)

    def read_ahead(self, reader: Helper, source: Source) -> Read:
        """Store what is to be read again, whoever writes to it now."""
        parent = self.parent(source)
        wish = Wish(parent and parent[1], self.wishes.exclusion)
        return self._read(reader, source, wish, parent, ignore)

    def _read(
        self, reader: Helper, source: Source, wish: Wish, parent: Parent, on_event: OnEvent
    ) -> Read:
        before = self.so_far()
        into = self.repository, self.writer
        captured = capture(reader, source.path, source.name, wish, into=into, on_event=on_event)
        read = Read(source, captured, parent and parent[0], wish.exclusion)
        return read.counted(**self.since(before))

    def _wish(self, reader: Helper, source: Source, parent: Parent) -> Wish:
        """How to capture a source, after a look for databases that write meanwhile."""
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

    def finished(self, read: Read) -> Read:
        """Have all that was read on the store. Counted for this source, whosesoever it was."""
        before = self.so_far()
        self.writer.finish()
        return read.counted(**self.since(before))

    def so_far(self) -> dict[str, int | float]:
        """What the run has stored of all its sources, and the clock."""
        names = ("added", "stored", "fresh", "compressed")
        counts = {name: getattr(self.writer, name) for name in names}
        return {**counts, "seconds": time.monotonic()}

    def since(self, before: Mapping[str, int | float]) -> dict[str, int | float]:
        return {name: count - before[name] for name, count in self.so_far().items()}

    def commit(self, read: Read) -> Saved:
        read = self.finished(read)
        snapshot = self.looked_at(self.record(read))
        warnings = read.captured.warnings
        in_dump = read.exclusion != self.wishes.exclusion
        committed = self.repository.commit(snapshot, self.writer)
        return Saved(committed, snapshot, warnings, in_dump=in_dump)

    def looked_at(self, snapshot: Snapshot) -> Snapshot:
        """Return the record with its anomalies, and tell of them."""
        if not self.wishes.watchful:
            return snapshot
        past = [each for _, each in self.past.get(snapshot.source, ())]
        found = anomalies(snapshot, past)
        for each in found:
            self.on_event(Noted(snapshot.source, b"", f"{each}; its old snapshots are kept"))
        return msgspec.structs.replace(snapshot, anomalies=found)

    def look_anew(self, now: float) -> None:
        if now - self.writer.reading.taken > _READING_LASTS_S:
            self.writer.renew(self.repository.readings.renewed(self.writer.reading))

    def record(self, read: Read) -> Snapshot:
        source, captured = read.source, read.captured
        return Snapshot(
            time=captured.time,
            host=self.engine.name,
            source=source.name,
            run=self.run,
            volume=source.volume,
            mount=source.users[0].mount if source.users else None,
            definition=source.users[0].definition if source.users else None,
            others=list(source.users[1:]),
            parent=read.parent,
            tags=list(self.wishes.tags),
            excludes=read.exclusion.described(),
            program=f"voltar {__version__}",
            notes=captured.notes,
            statistics=captured.statistics,
            manifest=captured.manifest,
        )


def reader_of(storing: Storing, group: Group) -> AbstractContextManager[Helper]:
    """A helper that sees a group's sources."""
    return helper(storing.engine, group.mounts, access=Access.READ, run=storing.run)
