"""A repository's life, against a plain model: a dictionary of what each snapshot should restore.

Files change, backups run from one end to the other, or are overtaken by prunes, or fail in the
middle; snapshots are forgotten, brought back, pinned and tagged; hours and days go by; indexes are
merged and made anew; the cache of this machine is lost or spoilt; objects are damaged and mended.
Whatever came before, after each step a check is clean, all that the model has restores bit for bit,
and what the model has no more is gone.
"""

import contextlib
import gc
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backup.delta import Kept, compared
from backup.errors import NoSuchSnapshot, Protected, RepositoryError, TooLate
from backup.members import archive
from backup.recorder import Recorder
from backup.report import ignore
from backup.repository import (
    MaxUnused,
    Pruned,
    Repository,
    Snapshot,
    SnapshotId,
    Statistics,
    Writer,
    check,
    prune_repository,
    repair_index,
)
from backup.repository.catalog import annotate, forget, history, unforget
from backup.repository.compaction import compact_indexes
from backup.repository.manifest import Stored, head_to_text
from backup.repository.timing import GRACE, MARGIN, UNDELETE
from backup.tar.split import split
from tests.aged import BODY_SIZE, NOTHING_UNUSED, Hours, opened_at, tiny_packs
from tests.faults import Fault, FaultyStore
from tests.memory_store import MemoryStore
from tests.saved import sealed, tables_of
from tests.tars import END, header, noise, padded
from transports.errors import TransportError
from transports.store import Store

NAMES = "abcdef"
DAMAGED = ("packs", "index", "snapshots", "condemned", "forgotten", "annotations")
FAILS = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.integers(1, 60), st.sampled_from([Fault.ERROR, Fault.LOST_REPLY, Fault.FULL])),
)
NUMBERS = st.integers(0, 999)
LIMITS = st.sampled_from([NOTHING_UNUSED, MaxUnused(share=0.3), MaxUnused()])
SPOILS = (
    "DELETE FROM chunks WHERE prefix % 2",
    "DELETE FROM listing WHERE pack % 2",
    "DELETE FROM listing",
    "DELETE FROM packs WHERE number % 2",
    "DELETE FROM objects WHERE id < '8'",
    "UPDATE packs SET data = zeroblob(length(data)) WHERE number % 2",
    "UPDATE packs SET size = size + 1 WHERE number % 2",
)


@dataclass
class Known:
    """What the model knows of a snapshot."""

    tar: bytes
    files: dict[str, int]
    forgotten: datetime | None = None
    pinned: bool = False
    tags: list[str] = field(default_factory=list)

    def is_over(self, now: datetime, undelete: timedelta) -> bool:
        forgotten = self.forgotten
        return forgotten is not None and not self.pinned and now >= forgotten + undelete


def tar(files: dict[str, int]) -> bytes:
    """Return an archive; a file's group is the number of its version, so that its header shows it.

    Small bodies that are alike make chunks that several snapshots share.
    """
    return b"".join(_file(name, version) for name, version in sorted(files.items())) + END


def _file(name: str, version: int) -> bytes:
    head = header(name.encode(), size=BODY_SIZE, at={116: b"%07o\0" % version})
    return head + padded(noise(BODY_SIZE, b"%d" % (version % 7)))


class Backup:
    """A backup that is under way: begun, half done, then finished whenever the test likes."""

    def __init__(
        self, repository: Repository, files: dict[str, int], parent: SnapshotId | None
    ) -> None:
        self.repository = repository
        self.files = dict(files)
        self.began = repository.clock()
        self._parent = parent
        self._writer: Writer = repository.writer()
        self._steps = self._record()

    def proceed(self) -> None:
        """Store half of the files; no index lists their packs yet."""
        for _ in range(len(self.files) // 2):
            next(self._steps, None)
        self._writer.flush()

    def finish(self) -> SnapshotId:
        for _ in self._steps:
            pass
        manifest = self._recorder.finish()
        self._writer.finish()
        snapshot = Snapshot(
            time=self.repository.clock(),
            host="here",
            source="volume:data",
            run="00",
            imported=True,
            parent=self._parent,
            manifest=manifest,
            statistics=Statistics(entries=self._recorder.entries),
        )
        return self.repository.commit(snapshot, self._writer)

    def __enter__(self) -> "Backup":
        self._writer.__enter__()
        self._recorder = Recorder(self.repository, self._writer)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.__exit__()

    def _record(self) -> Iterator[None]:
        """Take over what the parent has unchanged, as far as it may be referred to."""
        parent, known = None, dict[str, Stored]()
        if self._parent is not None:
            snapshot = self.repository.snapshot(self._parent)
            parent = compared(self.repository, snapshot, timedelta())
            known = {each.member.head: each for each in parent.members if each.member.kind == "f"}
        for entry in split([tar(self.files)]):
            same = known.get(head_to_text(entry.head))
            if parent and same and parent.there(same.extents):
                for _ in entry.body:
                    pass
                self._recorder.keep(Kept(1, 1, entry.size, same.lines))
            else:
                self._recorder.add(entry)
            yield


class Salts:
    """Stands for the module os where ids get their salts: the same ones in each life."""

    generator = random.Random()

    def urandom(self, size: int) -> bytes:
        return self.generator.randbytes(size)


class Life(RuleBasedStateMachine):
    """Rules are what people, machines and time do to a repository."""

    def __init__(self) -> None:
        super().__init__()
        Salts.generator.seed(1)
        self.place = tempfile.TemporaryDirectory()
        self.store = MemoryStore()
        self.hours = Hours()
        self.repository = sealed(self.store)
        self.files: dict[str, int] = {"a": 0, "b": 1}
        self.model: dict[SnapshotId, Known] = {}
        self.slow: Backup | None = None

    def teardown(self) -> None:
        self._drop_slow()
        self.place.cleanup()

    def process(self, store: Store | None = None) -> Repository:
        """Return the repository as a new process of this machine sees it."""
        repository = opened_at(self.repository, self.hours, store)
        repository.cache = Path(self.place.name)
        return repository

    # ------------------------------------------------------------------ backups

    @rule(name=st.sampled_from(NAMES), version=st.integers(0, 9))
    def change_a_file(self, name: str, version: int) -> None:
        self.files[name] = version

    @rule(name=st.sampled_from(NAMES))
    def remove_a_file(self, name: str) -> None:
        self.files.pop(name, None)

    @rule(fails=FAILS, compared=st.booleans())
    def back_up(self, fails: tuple[int, Fault] | None, compared: bool) -> None:
        parent = self._newest() if compared else None
        with self._failing(fails) as repository, Backup(repository, self.files, parent) as backup:
            self._keep(backup.finish(), backup.files)
        for snapshot_id in set(self.process().snapshot_ids()) - self.model.keys():
            assert fails is not None  # committed by the call whose reply was lost
            self._keep(snapshot_id, self.files)

    @precondition(lambda self: self.slow is None)
    @rule(compared=st.booleans(), half=st.booleans())
    def begin_a_slow_backup(self, compared: bool, half: bool) -> None:
        self.slow = Backup(self.process(), self.files, self._newest() if compared else None)
        self.slow.__enter__()
        if half:
            self.slow.proceed()

    @precondition(lambda self: self.slow is not None)
    @rule()
    def end_the_slow_backup(self) -> None:
        assert self.slow is not None
        try:
            self._keep(self.slow.finish(), self.slow.files)
        except RepositoryError:  # its parent may be gone by now
            assert self.hours() >= self.slow.began + GRACE - MARGIN
        self._drop_slow()

    # ------------------------------------------------------------------ what is said of snapshots

    @precondition(lambda self: self.model)
    @rule(which=NUMBERS, fails=FAILS)
    def forget_one(self, which: int, fails: tuple[int, Fault] | None) -> None:
        snapshot_id, kept = self._one(which)
        try:
            with self._failing(fails) as repository:
                forget(repository, [snapshot_id])
                assert not kept.pinned
        except Protected:
            assert kept.pinned
        if kept.forgotten is None and f"forgotten/{snapshot_id}" in self.store.objects:
            kept.forgotten = self.hours()

    @precondition(lambda self: self.model)
    @rule(which=NUMBERS)
    def bring_one_back(self, which: int) -> None:
        snapshot_id, kept = self._one(which)
        in_time = kept.forgotten and self.hours() < kept.forgotten + UNDELETE - MARGIN
        try:
            done = unforget(self.process(), snapshot_id)
            assert done is bool(kept.forgotten and in_time)
            kept.forgotten = None
        except TooLate:
            assert not in_time

    @precondition(lambda self: self.model)
    @rule(which=NUMBERS, pinned=st.booleans())
    def pin_one(self, which: int, pinned: bool) -> None:
        snapshot_id, kept = self._one(which)
        (recorded,) = (each for each in history(self.process()) if each.id == snapshot_id)
        try:
            annotate(self.process(), recorded, self.hours(), pinned=pinned)
        except NoSuchSnapshot:
            assert kept.forgotten
        kept.pinned = pinned

    @precondition(lambda self: self.model)
    @rule(which=NUMBERS, tags=st.lists(st.sampled_from("xyz"), max_size=2))
    def tag_one(self, which: int, tags: list[str]) -> None:
        snapshot_id, kept = self._one(which)
        (recorded,) = (each for each in history(self.process()) if each.id == snapshot_id)
        annotate(self.process(), recorded, self.hours(), tags=tags)
        kept.tags = tags

    # ------------------------------------------------------------------ time, prune, indexes

    @rule(hours=st.sampled_from([1, 6, 12, 22.5, 23.5, 25, 49]))
    def let_time_pass(self, hours: float) -> None:
        self.hours.hour += hours

    @rule(max_unused=LIMITS, fails=FAILS)
    def prune(self, max_unused: MaxUnused, fails: tuple[int, Fault] | None) -> None:
        over = self._over(UNDELETE)
        done = None
        with self._failing(fails) as repository:
            done = prune_repository(repository, ignore, max_unused=max_unused)
        self._bury(over, exactly=done is not None)
        if done is not None and self.slow is None:
            again = self._prune_dry(max_unused)
            assert (again.copied.number, again.condemned.number, again.adopted) == (0, 0, 0)

    @rule(max_unused=LIMITS)
    def prune_dry(self, max_unused: MaxUnused) -> None:
        before = dict(self.store.objects)
        self._prune_dry(max_unused)
        assert self.store.objects == before

    @rule(max_unused=LIMITS)
    def prune_alone(self, max_unused: MaxUnused) -> None:
        self._drop_slow()
        over = self._over(timedelta())
        prune_repository(self.process(), ignore, max_unused=max_unused, exclusive=True)
        self._bury(over)

    @rule(max_unused=LIMITS)
    def prune_until_all_is_done(self, max_unused: MaxUnused) -> None:
        for _ in range(8):
            self.hours.hour += 25
            over = self._over(UNDELETE)
            done = prune_repository(self.process(), ignore, max_unused=max_unused)
            self._bury(over)
            if not (done.adopted or done.condemned.number or done.deleted.number):
                break

        tables = tables_of(self.process())
        stored = sum(blob.length for table in tables for blob in table.blobs)
        limit = max_unused.limit(done.used)
        assert (done.condemned.number, done.deleted.number, done.waiting.number) == (0, 0, 0)
        assert done.unused <= limit
        assert stored == done.used + done.unused
        assert not [name for name in self.store.objects if name.startswith("condemned/")]

    @rule(fails=FAILS)
    def merge_indexes(self, fails: tuple[int, Fault] | None) -> None:
        with self._failing(fails) as repository:
            compact_indexes(repository, before=self.hours() - GRACE)

    @rule(fails=FAILS)
    def make_indexes_anew(self, fails: tuple[int, Fault] | None) -> None:
        with self._failing(fails) as repository:
            assert repair_index(repository, ignore).lost == {}

    # ------------------------------------------------------------------ damage

    @rule()
    def lose_the_cache(self) -> None:
        self._drop_slow()
        for path in Path(self.place.name).rglob("tables.sqlite3*"):
            path.unlink(missing_ok=True)  # a collected connection may remove its own

    @rule(statement=st.sampled_from(SPOILS))
    def spoil_the_cache(self, statement: str) -> None:
        for path in Path(self.place.name).rglob("tables.sqlite3"):
            with (
                contextlib.suppress(sqlite3.Error),  # it may be spoilt already
                contextlib.closing(sqlite3.connect(path)) as database,
                database,
            ):
                database.execute(statement)

    @rule(at=st.floats(0, 0.99))
    def cut_off_the_cache(self, at: float) -> None:
        """A power cut, say: nobody has the file open."""
        self._drop_slow()
        gc.collect()
        for path in Path(self.place.name).rglob("tables.sqlite3"):
            data = bytearray(path.read_bytes())
            del data[int(len(data) * at) :]
            path.write_bytes(data)

    @rule(which=NUMBERS, at=NUMBERS, bit=st.integers(0, 7))
    def damage_an_object_and_mend_it(self, which: int, at: int, bit: int) -> None:
        """Meanwhile it is noticed, and neither a prune nor a backup makes it worse."""
        names = [each for each in self.store.objects if each.split("/")[0] in DAMAGED]
        if not names:
            return
        name = names[which % len(names)]
        whole = self.store.objects[name]
        spoilt = bytearray(whole)
        spoilt[at % len(whole)] ^= 1 << bit
        self.store.objects[name] = bytes(spoilt)

        assert check(self.process(), ignore).damages
        over = self._over(UNDELETE)
        with contextlib.suppress(RepositoryError):
            prune_repository(self.process(), ignore, max_unused=NOTHING_UNUSED)
        with (
            contextlib.suppress(RepositoryError),
            Backup(self.process(), self.files, None) as backup,
        ):
            self._keep(backup.finish(), backup.files)
        if name in self.store.objects:
            self.store.objects[name] = whole
        self._bury(over, exactly=False)

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert check(self.process(), ignore).damages == []

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self._compare(opened_at(self.repository, self.hours))

    @rule()
    def read_everything_by_the_cache(self) -> None:
        self._compare(self.process())

    # ------------------------------------------------------------------ means

    def _compare(self, repository: Repository) -> None:
        found = {each.id: each for each in history(repository)}
        assert found.keys() == self.model.keys()
        for snapshot_id, each in found.items():
            kept = self.model[snapshot_id]
            said = (each.forgotten, each.pinned, each.snapshot.tags)
            assert said == (kept.forgotten, kept.pinned, kept.tags)
            assert b"".join(archive(repository, each.snapshot)) == kept.tar

    @contextlib.contextmanager
    def _failing(self, fails: tuple[int, Fault] | None) -> Iterator[Repository]:
        """A process whose store fails at some call."""
        if fails is None:
            yield self.process()
            return
        faulty = FaultyStore(self.store, *fails, Path())
        try:
            yield self.process(faulty)
        except TransportError:
            assert faulty.failed

    def _keep(self, snapshot_id: SnapshotId, files: dict[str, int]) -> None:
        self.model[snapshot_id] = Known(tar(files), dict(files))

    def _newest(self) -> SnapshotId | None:
        shown = [each for each, kept in self.model.items() if kept.forgotten is None]
        return shown[-1] if shown else None

    def _one(self, which: int) -> tuple[SnapshotId, Known]:
        return list(self.model.items())[which % len(self.model)]

    def _over(self, undelete: timedelta) -> list[SnapshotId]:
        now = self.hours()
        return [each for each, kept in self.model.items() if kept.is_over(now, undelete)]

    def _bury(self, over: list[SnapshotId], *, exactly: bool = True) -> None:
        there = self.process().snapshot_ids()
        for snapshot_id in over:
            if exactly or snapshot_id not in there:
                assert snapshot_id not in there
                del self.model[snapshot_id]

    def _prune_dry(self, max_unused: MaxUnused) -> Pruned:
        return prune_repository(self.process(), ignore, max_unused=max_unused, dry_run=True)

    def _drop_slow(self) -> None:
        if self.slow is not None:
            self.slow.__exit__()
            self.slow = None


def test_a_repository_does_what_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_packs(monkeypatch)
    monkeypatch.setattr("backup.repository.protocol._WORTH", 2)
    monkeypatch.setattr("backup.repository.crypto.os", Salts())

    run_state_machine_as_test(Life, settings=settings(max_examples=40, stateful_step_count=40))
