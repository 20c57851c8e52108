"""Snapshots of one repository, copied into another: with other keys, at another store.

A copy says of which snapshot it is one (`original`), so the next run passes over what is there. It
keeps what the original says: time, host, source, run, tags, pin, definition, volume. Its parent is
the copy of the original's parent, where there is one. The oldest come first.

Some are stored together, so that many small ones do not need packs and an index each, and then each
is committed on its own. One that is damaged in the source does not keep the others from being
copied. What an interrupted run has stored is found by the next one, and not sent again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import msgspec

from backup.errors import IntegrityError, NoSuchSnapshot, RepositoryError, UsageError
from backup.report import Finished, Noted, OnEvent, Started
from backup.repository import SHORT_ID, Extent, Recorded, Repository, Snapshot, SnapshotId, Writer
from backup.repository.marker import forgotten
from backup.repository.writer import UPLOADS_BESIDE_READING
from backup.rewriting import Rewriter
from transports.errors import Unreadable

_READING_LASTS_S: Final = 900.0
"""One that is begun later looks at the store anew: the time to commit it counts from then."""
_TOGETHER: Final = 32
_SIZE_TOGETHER: Final = 256 << 20
_TOGETHER_S: Final = 300.0
"""Snapshots that are stored together, at most; new bytes, and seconds, that are enough."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A snapshot that is in the other repository now, and what that took there, in bytes."""

    original: Recorded
    id: SnapshotId
    added: int
    stored: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A snapshot that could not be copied, and why."""

    original: Recorded
    error: RepositoryError | Unreadable


@dataclass(frozen=True, slots=True)
class Gone:
    """A snapshot that was forgotten, and its data deleted, before it was copied."""

    original: Recorded


@dataclass(frozen=True, slots=True)
class Doubled:
    """A snapshot that another run has copied meanwhile, under this id."""

    original: Recorded
    id: SnapshotId


Outcome = Copied | Failed | Gone | Doubled


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be copied, the oldest first, and what is `present` in the target already.

    `bases` are the newest of the source that were copied before, of each host and source that is
    wanted, each with its copy. `ids` are those of copies, by the ids in the source; `there` is all
    that the target had.
    """

    wanted: Sequence[Recorded]
    present: Sequence[Recorded]
    bases: Sequence[tuple[Snapshot, Snapshot]]
    ids: dict[str, SnapshotId]
    there: frozenset[SnapshotId]


def planned(
    wanted: Sequence[Recorded], history: Sequence[Recorded], there: Sequence[Recorded]
) -> Plan:
    """Choose among snapshots those of which there is no copy that is not forgotten.

    `history` are all of the source, the oldest first, `there` those of the target. One that comes
    back to where it was made is there, too.
    """
    copies = {original_of(each): each for each in there if each.forgotten is None}
    ordered = sorted(wanted, key=lambda each: (each.snapshot.time, each.id))
    missing = [each for each in ordered if original_of(each) not in copies]
    both = [(each, copies[original_of(each)]) for each in history if original_of(each) in copies]
    newest = {_group(each): (each.snapshot, copy.snapshot) for each, copy in both}
    groups = dict.fromkeys(map(_group, missing))
    return Plan(
        wanted=missing,
        present=[each for each in ordered if original_of(each) in copies],
        bases=[newest[group] for group in groups if group in newest],
        ids={each.id: copy.id for each, copy in both},
        there=frozenset(each.id for each in there),
    )


def _group(recorded: Recorded) -> tuple[str, str]:
    return recorded.snapshot.host, recorded.snapshot.source


def original_of(recorded: Recorded) -> str:
    """Return the id of a snapshot in the repository in which it was made."""
    return recorded.snapshot.original or recorded.id


def demand_two(source: Repository, target: Repository) -> None:
    """Raise UsageError where both are the same repository."""
    if source.descriptor.id == target.descriptor.id:
        raise UsageError(
            f"{source.store.url} and {target.store.url} are the same repository",
            hint="-r names the one to copy to, --from the one to copy from",
        )


def copy(
    source: Repository, target: Repository, plan: Plan, on_event: OnEvent
) -> Iterator[Outcome]:
    """Copy snapshots; yield what became of each.

    Raises TransportError where a store fails, and not just an object of it; TooLate.
    """
    with (
        target.writer(uploads=UPLOADS_BESIDE_READING) as writer,
        closing(Rewriter(source, target, writer)) as rewriter,
    ):
        work = _Copier(source, target, rewriter, writer, dict(plan.ids), set(plan.there), on_event)
        work.learn(plan)
        for recorded in plan.wanted:
            yield from work.copied(recorded)
        yield from work.commit()


@dataclass(frozen=True, slots=True)
class _Stored:
    """A snapshot whose content is with the writer: its manifest, and the bytes that were new."""

    original: Recorded
    manifest: list[Extent]
    added: int


@dataclass(slots=True)
class _Copier:
    """One run; `ids` are those of copies by the ids of their originals in the source, `known` those
    of the target's snapshots that were looked at."""

    source: Repository
    target: Repository
    rewriter: Rewriter
    writer: Writer
    ids: dict[str, SnapshotId]
    known: set[SnapshotId]
    on_event: OnEvent
    _waiting: list[_Stored] = field(default_factory=list)
    _since: float = 0.0

    def learn(self, plan: Plan) -> None:
        """Take in where bodies are that were copied before."""
        for original, copied_before in plan.bases:
            try:
                self.rewriter.learn(original, copied_before)
            except RepositoryError as error:  # then it is read again
                text = f"{original.source}: what was copied before cannot be compared: {error}"
                self.on_event(Noted("repository", b"", text))

    def copied(self, recorded: Recorded) -> Iterator[Outcome]:
        """Copy one snapshot; yield what is settled by then."""
        if not self._waiting:
            self._begin()
        try:
            self._waiting.append(self._stored(recorded))
        except (IntegrityError, Unreadable) as error:
            yield Gone(recorded) if self._is_gone(recorded) else Failed(recorded, error)
        added = sum(each.added for each in self._waiting)
        late = time.monotonic() - self._since > _TOGETHER_S
        if late or added > _SIZE_TOGETHER or len(self._waiting) >= _TOGETHER:
            yield from self.commit()

    def commit(self) -> Iterator[Copied | Doubled]:
        """Commit what is stored; each took as much of the store as is its part of what was new."""
        before = self.writer.stored
        self.writer.finish()
        stored = self.writer.stored - before
        added = sum(each.added for each in self._waiting)
        doubles = self._doubles() if self._waiting else {}
        for each in self._waiting:
            there = doubles.get(original_of(each.original))
            if there is not None:
                self.ids[each.original.id] = there
                yield Doubled(each.original, there)
                continue
            yield self._committed(each, stored * each.added // added if added else 0)
        self._waiting.clear()

    def _doubles(self) -> dict[str, SnapshotId]:
        """What others have copied since this was looked at last: ids by those of the originals.

        A rule that keeps so many snapshots would count each of two copies.
        """
        fresh = [each for each in self.target.snapshot_ids() if each not in self.known]
        self.known.update(fresh)
        read = zip(fresh, self.target.records(fresh), strict=True)
        return {of.original: one for one, of in read if isinstance(of, Snapshot) and of.original}

    def _begin(self) -> None:
        self._since = time.monotonic()
        if self._since - self.writer.reading.taken > _READING_LASTS_S:
            self.writer.finish()
            self.writer.renew(self.target.readings.renewed(self.writer.reading))

    def _stored(self, recorded: Recorded) -> _Stored:
        name = f"{recorded.snapshot.source} {recorded.id[:SHORT_ID]}"
        before = self.writer.added
        self.on_event(Started("copy", name, recorded.snapshot.statistics.size))
        manifest = self.rewriter.rewrite(recorded.snapshot, self.on_event)
        self.on_event(Finished("copy", name))
        return _Stored(recorded, manifest, self.writer.added - before)

    def _committed(self, stored: _Stored, size: int) -> Copied:
        recorded, snapshot = stored.original, stored.original.snapshot
        counts = msgspec.structs.replace(snapshot.statistics, added=stored.added, stored=size)
        record: Snapshot = msgspec.structs.replace(
            snapshot,
            parent=self.ids.get(snapshot.parent or ""),
            original=original_of(recorded),
            statistics=counts,
            manifest=stored.manifest,
        )
        copy_id = self.target.commit(record, self.writer, pinned=recorded.pinned)
        self.ids[recorded.id] = copy_id
        self.known.add(copy_id)
        return Copied(recorded, copy_id, counts.added, counts.stored)

    def _is_gone(self, recorded: Recorded) -> bool:
        """Whether a prune may have deleted what a snapshot needs, since it was chosen."""
        try:
            self.source.snapshot(recorded.id)
            return forgotten(self.source.store, self.source.keys, recorded.id) is not None
        except NoSuchSnapshot:
            return True
        except RepositoryError:
            return False
