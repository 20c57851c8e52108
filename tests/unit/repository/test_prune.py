"""Prune on real repositories in memory: what goes, what stays, when, and what is told of it."""

import contextlib
import random
import sqlite3
from collections import Counter
from datetime import timedelta

import pytest

from backup.errors import IntegrityError, TooLate
from backup.report import ignore
from backup.repository import (
    EVERYTHING,
    Group,
    MaxUnused,
    Snapshot,
    catalog,
    check,
    prune_repository,
    repair_index,
    sealed,
)
from backup.repository.actor import CondemnedRecord
from backup.repository.compaction import compact_indexes
from backup.repository.manifest import Extent
from backup.repository.repack import PackState, chosen
from backup.repository.timing import GRACE, LONGEST_WRITE, MARGIN, UNDELETE
from backup.repository.usage import Walker
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, chunks_of, content, reopened, save
from tests.tars import END, header, padded
from transports.errors import Refused

DAY = GRACE + timedelta(hours=1)
SIZE = 400_000


def body(number, size=SIZE):
    return random.Random(number).randbytes(size)


def tar(*numbers):
    files = (header(b"f%d" % n, size=SIZE) + padded(body(n)) for n in numbers)
    return b"".join(files) + END


class Life:
    """A repository whose clock stands still until it is told to go on."""

    def __init__(self, make):
        self.now = NOW
        self.repository = make(MemoryStore())
        self.repository.clock = self.clock

    def clock(self):
        return self.now

    def again(self):
        other = reopened(self.repository)
        other.clock = self.clock
        return other

    def save(self, *numbers, day=0):
        return save(self.again(), [tar(*numbers)], number=day)

    def forget(self, *ids):
        catalog.forget(self.again(), ids)

    def forgotten(self, number):
        """Save a snapshot that was forgotten longer ago than it can be brought back."""
        saved = self.save(number)
        self.forget(saved)
        self.later()
        return saved

    def later(self, span=DAY):
        self.now += span

    def prune(self, **wishes):
        return prune_repository(self.again(), ignore, **wishes)

    def kinds(self):
        return Counter(name.split("/")[0] for name in self.repository.store.objects)

    def sound(self):
        assert check(self.again(), ignore, EVERYTHING).damages == []


def with_manifest_of(recorded, time):
    """A snapshot that refers to what another one does, and whose backup took until now."""
    return Snapshot(time=time, host="h", source="volume:data", run="r", manifest=recorded.manifest)


@pytest.fixture(params=sorted(MAKERS))
def life(request):
    return Life(MAKERS[request.param])


def test_nothing_that_is_used_goes(life):
    ids = [life.save(1, 2), life.save(2, 3)]
    before = content(life.again())
    objects = dict(life.repository.store.objects)

    for _ in range(3):
        done = life.prune()
        life.later()
        assert (done.condemned.number, done.deleted.number, done.copied.number) == (0, 0, 0)

    assert life.repository.store.objects == objects
    assert set(content(life.again())) == set(before) == set(ids)


def test_what_was_forgotten_comes_free_in_two_steps(life):
    gone, stays = life.save(1), life.save(2)
    kept = content(life.again())[stays]
    life.later()
    life.forget(gone)
    assert life.prune().snapshots == 0

    life.later()
    first = life.prune()
    assert (first.snapshots, first.deleted.number) == (1, 0)
    assert first.condemned.size > SIZE
    assert first.free_at == life.now + GRACE
    assert life.prune().waiting == first.condemned

    life.later()
    second = life.prune()
    assert second.deleted == first.condemned
    assert second.waiting.number == 0
    assert content(life.again()) == {stays: kept}
    assert sum(map(len, life.repository.store.objects.values())) < 1.5 * SIZE
    life.sound()


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_only_forgotten_snapshots_hold_is_told(life, dry_run):
    early, late, _ = life.save(1, 2), life.save(2, 3), life.save(3, 4)
    life.forget(early)
    life.later(timedelta(hours=5))
    life.forget(late)

    done = life.prune(dry_run=dry_run)

    assert done.held.number == 2
    assert 2 * SIZE < done.held.size < 2.1 * SIZE
    assert done.held_until == life.now + UNDELETE
    life.later()
    gone = life.prune(dry_run=dry_run)
    assert (gone.held.number, gone.held.size, gone.held_until) == (0, 0, None)


def test_all_rubbish_is_gone_in_the_end(life):
    life.forget(*[life.save(n, day=n) for n in range(20)])

    for _ in range(4):
        life.later()
        life.prune()

    kinds = life.kinds()
    assert not set(kinds) & {"packs", "index", "snapshots", "forgotten", "condemned", "annotations"}


def test_a_pinned_snapshot_stays_though_it_was_forgotten(life):
    """Nobody is let to do both; a clash of two hosts may leave it so."""
    saved = life.save(1)
    life.forget(saved)
    marker = {n: d for n, d in life.repository.store.objects.items() if n.startswith("forgotten")}
    catalog.unforget(life.again(), saved)
    (recorded,) = catalog.history(life.again())
    catalog.annotate(life.again(), recorded, life.now, pinned=True)
    life.repository.store.objects |= marker
    life.later()

    assert life.prune().snapshots == 0
    assert life.repository.snapshot_ids() == [saved]


def test_nothing_is_buried_while_what_may_be_a_pin_cannot_be_read(life):
    saved = life.save(1)
    life.forget(saved)
    name = "annotations/" + "5" * 64
    life.repository.store.put(name, b"a pin, damaged")
    life.later()

    assert life.prune().snapshots == 0
    life.repository.store.delete(name)

    assert life.prune().snapshots == 1


def test_annotations_go_with_their_snapshot(life):
    gone, stays = life.save(1), life.save(2)
    for recorded in catalog.history(life.again()):
        catalog.annotate(life.again(), recorded, life.now, tags=["a"])
    life.forget(gone)
    life.later()
    life.prune()

    assert [each.id for each in catalog.history(life.again())] == [stays]
    assert life.kinds()["annotations"] == 1


def test_a_running_backup_is_left_alone(life):
    """Its packs are listed, and no snapshot uses them yet."""
    running = life.again()
    with running.writer() as writer:
        pending = writer.add(body(1), Group.DATA)
        writer.finish()
    life.later(GRACE - timedelta(hours=2))

    assert life.prune().condemned.number == 0
    assert pending.id in life.again().readings.current()

    life.later(timedelta(hours=3))
    assert life.prune().condemned.number == 1


def test_packs_that_no_index_lists_are_listed_again(life):
    life.save(1)
    with life.again().writer() as writer:
        pending = writer.add(body(2), Group.DATA)
        writer.flush()
    store = life.repository.store
    assert pending.id not in life.again().readings.current()

    assert life.prune().adopted == 1

    assert pending.id in life.again().readings.current()
    life.later()
    assert life.prune().condemned.number == 1
    life.later()
    life.prune()
    assert pending.id.hex() not in chunks_of(life.again())
    assert all(len(data) > 0 for data in store.objects.values())


def test_a_pack_that_is_none_goes(life):
    life.save(1)
    name = "packs/" + "5" * 64
    life.repository.store.put(name, b"what a torn write left")

    assert life.prune().condemned.number == 1
    assert life.prune().waiting.number == 1
    life.later()
    last = life.prune()

    assert name not in life.repository.store.objects
    assert (last.deleted.number, last.waiting.number) == (1, 0)
    life.sound()


def test_what_is_used_in_a_condemned_pack_is_copied_before_it_goes(life):
    """A backup refers to a pack that a prune condemns at the same moment."""
    gone = life.save(1)
    life.later()
    life.forget(gone)
    life.later()
    overlapping = life.again()
    overlapping.readings.current()

    assert life.prune().condemned.number > 0
    saved = save(overlapping, [tar(1)], number=5)
    good = content(life.again())[saved]
    life.later()
    done = life.prune()

    assert done.copied.size > SIZE
    assert done.deleted.number > 0
    assert content(life.again()) == {saved: good}
    life.sound()


def test_condemned_packs_are_not_referred_to(life):
    life.forgotten(1)
    life.prune()

    saved = life.save(1)
    life.later()
    done = life.prune()

    assert done.copied.number == 0
    assert list(content(life.again())) == [saved]
    life.sound()


def test_a_backup_that_comes_too_late_puts_again_what_went(life):
    """It relied on a pack that was condemned after its reading, and is about to be deleted."""
    gone = life.forgotten(1)
    slow = life.again()
    with slow.writer() as writer:
        recorded = slow.snapshot(gone)
        life.prune()
        life.later(GRACE - timedelta(minutes=30))
        snapshot = with_manifest_of(recorded, life.now)
        saved = slow.commit(snapshot, writer)
    assert writer.reading.view.time == life.now

    life.later(timedelta(hours=2))
    done = life.prune()

    assert (done.deleted.number > 0, done.copied.number) == (True, 0)
    assert list(content(life.again())) == [saved]
    life.sound()


def test_a_backup_whose_packs_are_gone_is_not_committed(life):
    gone = life.forgotten(1)
    slow = life.again()
    recorded = slow.snapshot(gone)
    with slow.writer() as writer:
        life.prune()
        life.later()
        life.prune()
        snapshot = with_manifest_of(recorded, life.now)
        with pytest.raises(TooLate, match="took so long that what it relied on is deleted"):
            slow.commit(snapshot, writer)

    assert life.repository.snapshot_ids() == []


def slow_to_put(life, meanwhile):
    """A repository where a snapshot gets to the store after something else has happened.

    The machine sleeps meanwhile: no time passes by its monotonic clock.
    """

    class Slow(MemoryStore):
        def put(self, name, data):
            if name.startswith("snapshots/"):
                meanwhile()
            super().put(name, data)

    slow = life.again()
    slow.store = Slow()
    slow.store.create()
    slow.store.objects = life.repository.store.objects
    return slow


def test_a_snapshot_that_got_there_too_late_stops_no_prune_for_good(life):
    """Its packs were deleted before it came, and it will never be whole."""

    def pruned_twice():
        life.prune()
        life.later()
        life.prune()

    stays, gone = life.save(2), life.forgotten(1)
    slow = slow_to_put(life, pruned_twice)
    snapshot = with_manifest_of(slow.snapshot(gone), life.now)

    with pytest.raises(TooLate, match="what it relied on is deleted"):
        slow.commit(snapshot)

    assert [each for each, _ in life.again().snapshots()] == [stays]
    life.later()
    life.prune()
    assert life.again().snapshot_ids() == [stays]
    life.sound()


def test_a_snapshot_that_gets_there_too_late_each_time_is_forgotten(life):
    slow = slow_to_put(life, life.later)
    snapshot = with_manifest_of(slow.snapshot(life.save(1)), life.now)

    with pytest.raises(TooLate, match="again and again"):
        slow.commit(snapshot)

    assert len(life.again().snapshot_ids()) == 2
    assert len(life.again().snapshots()) == 1


def test_a_snapshot_that_got_there_too_late_once_is_put_in_time(life):
    late = iter([DAY])
    slow = slow_to_put(life, lambda: life.later(next(late, timedelta(0))))
    saved = life.save(1)

    again = slow.commit(with_manifest_of(slow.snapshot(saved), life.now))

    assert {each for each, _ in life.again().snapshots()} == {saved, again}


@pytest.mark.parametrize("span", [GRACE - MARGIN - timedelta(seconds=1), GRACE - MARGIN])
def test_the_deadline_is_that_of_the_rules(life, span):
    repository = life.again()
    with repository.writer() as writer:
        seen = writer.reading
        life.later(span)
        repository.commit(Snapshot(time=NOW, host="h", source="s", run="r"), writer)

    assert (writer.reading is seen) == (span < GRACE - MARGIN)


def test_a_condemned_list_that_comes_too_late_is_taken_back(life, monkeypatch):
    life.forgotten(1)
    ticks = iter(range(0, 10**9, int(LONGEST_WRITE.total_seconds()) + 1))
    monkeypatch.setattr("backup.repository.actor.time.monotonic", lambda: next(ticks))

    with pytest.raises(TooLate, match="condemning packs took longer than"):
        life.prune()

    assert life.kinds()["condemned"] == 0


def test_a_reader_follows_what_prune_moves(life):
    """It has looked where the chunks are; they are copied elsewhere, and their packs deleted."""
    saved = life.save(1, 2, 3)
    good = content(life.again())[saved]
    reader = life.again()
    reader.readings.current()
    (snapshot,) = [record for found, record in reader.snapshots() if found == saved]
    packs = [name for name in life.repository.store.objects if name.startswith("packs/")]
    life.forget(life.save(9))
    condemn(life, packs)
    life.later()
    assert life.prune().deleted.number >= len(packs)

    lines = list(reader.manifest(snapshot))

    assert lines
    assert content(reader)[saved] == good


def condemn(life, names):
    """Put a condemned list by hand: any choice of prune is safe, that one too."""
    record = CondemnedRecord(life.now, [name.split("/")[1] for name in names])
    list_id, data = sealed.encode(life.repository.keys, "condemned", record)
    life.repository.store.put(f"condemned/{list_id}", data)


def test_everything_condemned_is_copied_first(life):
    ids = [life.save(1, 2), life.save(3)]
    good = content(life.again())
    condemn(life, [n for n in life.repository.store.objects if n.startswith("packs/")])
    life.later()

    done = life.prune()

    assert done.copied.number > 0
    assert content(life.again()) == good
    assert set(good) == set(ids)
    life.sound()


def test_a_condemned_list_that_cannot_be_read_stops_prune_and_no_backup(life):
    life.save(1)
    life.repository.store.put("condemned/" + "1" * 64, b"rubbish")

    with pytest.raises(IntegrityError, match="no pack was deleted: condemned/1111111111111111"):
        life.prune()
    saved = life.save(1, day=1)

    assert saved in content(life.again())
    packs = life.kinds()["packs"]
    assert packs == 4, "nothing is live, so all is stored again"

    assert repair_index(life.again(), ignore).uncondemned == 1
    life.prune()
    life.sound()


def test_a_damaged_index_stops_prune_and_no_backup(life):
    life.save(1)
    (name,) = [n for n in life.repository.store.objects if n.startswith("index/")]
    life.repository.store.objects[name] = life.repository.store.objects[name][:-1]

    with pytest.raises(IntegrityError, match="no pack was deleted: index/"):
        life.prune()
    saved = life.save(2, day=1)
    repository = life.again()
    assert list(repository.manifest(repository.snapshot(saved)))

    done = repair_index(life.again(), ignore)
    assert (done.packs, done.replaced, done.lost) == (4, 2, {})
    assert len(content(life.again())) == 2
    life.sound()


def test_a_pack_whose_table_is_damaged_stays_listed_by_what_an_index_says(life):
    life.save(1)
    whole = content(life.again())
    objects = life.repository.store.objects
    for name in [name for name in objects if name.startswith("packs/")]:
        objects[name] = objects[name][:-9] + bytes(9)

    done = repair_index(life.again(), ignore)

    assert (done.packs, done.replaced, len(done.lost)) == (2, 1, 2)
    assert content(life.again()) == whole


def test_a_pack_of_another_size_than_its_index_says_is_not_listed(life):
    life.save(1)
    objects = life.repository.store.objects
    for name in [name for name in objects if name.startswith("packs/")]:
        objects[name] = objects[name][:-1]

    done = repair_index(life.again(), ignore)

    assert (done.packs, len(done.lost)) == (0, 2)
    assert life.kinds().get("index", 0) == 0


def test_a_snapshot_that_lacks_something_stops_prune_before_anything_is_deleted(life):
    broken, gone = life.save(1), life.save(2)
    life.forget(gone)
    life.later()
    life.prune()
    life.later()
    (pack, _) = max(
        ((n, d) for n, d in life.repository.store.objects.items() if n.startswith("packs/")),
        key=lambda item: (needed(life, broken, item[0]), len(item[1])),
    )
    life.repository.store.delete(pack)
    objects = dict(life.repository.store.objects)

    with pytest.raises(IntegrityError, match=f"snapshot {broken[:10]} is damaged"):
        life.prune()

    assert life.repository.store.objects == objects


def test_a_prune_that_stops_has_buried_what_was_forgotten_and_does_not_deny_it(life):
    stays, gone = life.save(1), life.forgotten(2)
    damaged = f"snapshots/{stays}"
    life.repository.store.objects[damaged] = life.repository.store.objects[damaged][:-1]
    packs = life.kinds()["packs"]

    with pytest.raises(IntegrityError, match=f"no pack was deleted: snapshot {stays[:10]} is"):
        life.prune()

    assert gone not in life.repository.snapshot_ids()
    assert life.kinds()["packs"] == packs


def needed(life, snapshot_id, name):
    repository = life.again()
    chunks = Walker(repository.read).chunks(repository.snapshot(snapshot_id).manifest)
    places = [repository.readings.find(bytes.fromhex(chunk)) for chunk in chunks]
    return name.split("/")[1] in {place[0].id for place in places}


def test_a_dry_run_says_the_same_and_does_nothing(life):
    life.forget(life.save(1, 2))
    life.save(2, 3)
    life.later()
    objects = dict(life.repository.store.objects)

    said = life.prune(dry_run=True)

    assert life.repository.store.objects == objects
    done = life.prune()
    assert (said.snapshots, said.condemned, said.deleted) == (
        done.snapshots,
        done.condemned,
        done.deleted,
    )
    assert said.copied.number == done.copied.number


def test_exclusive_waits_for_nothing(life):
    gone, stays = life.save(1), life.save(2)
    life.forget(gone)

    done = life.prune(exclusive=True)

    assert (done.snapshots, done.condemned.number, done.waiting.number) == (1, 0, 0)
    assert done.deleted.size > SIZE
    assert life.repository.snapshot_ids() == [stays]
    assert sum(map(len, life.repository.store.objects.values())) < 1.5 * SIZE
    life.sound()


def test_without_the_right_to_delete_nothing_is_broken(life, monkeypatch):
    gone, stays = life.save(1), life.save(2)
    life.forget(gone)
    life.later()

    def refuse(_, name):
        raise Refused(f"cannot delete {name}")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "delete", refuse)
        with pytest.raises(Refused):
            life.prune()
        other = life.save(3, day=2)
        life.forget(other)

    assert set(content(life.again())) == {stays}
    life.sound()


@pytest.mark.parametrize("limit", [MaxUnused(), MaxUnused(share=0.05), MaxUnused(size=0)])
def test_waste_is_kept_below_the_limit(life, limit):
    first = life.save(*range(8))
    stays = life.save(0)
    life.forget(first)
    life.later()
    done = life.prune(max_unused=limit)
    good = content(life.again())[stays]
    life.later()
    life.prune(max_unused=limit)

    assert (done.copied.number > 0) == (limit != MaxUnused())
    size = sum(map(len, life.repository.store.objects.values()))
    assert (size > 7 * SIZE) == (limit == MaxUnused())
    assert content(life.again()) == {stays: good}
    life.sound()


def test_many_small_packs_become_few(life):
    ids = [life.save(n, day=n) for n in range(18)]
    good = content(life.again())
    assert life.kinds()["packs"] == 36
    life.later()

    life.prune()
    life.later()
    life.prune()

    assert life.kinds()["packs"] <= 4
    assert content(life.again()) == good
    assert len(good) == len(ids)
    life.sound()


def test_many_small_indexes_become_few(life):
    for number in range(12):
        life.save(number, day=number)
    good = content(life.again())
    assert life.kinds()["index"] == 12
    life.prune()
    assert life.kinds()["index"] == 12, "they are young"
    life.later()

    done = life.prune(max_unused=MaxUnused())

    assert done.merged == 11
    assert life.kinds()["index"] == 1
    assert content(life.again()) == good
    life.sound()


def test_prune_beside_a_local_cache_sees_what_others_did(life, tmp_path):
    def cached():
        repository = life.again()
        repository.cache = tmp_path
        return repository

    gone = save(cached(), [tar(1)], number=0)
    stays = save(life.again(), [tar(2)], number=1)
    catalog.forget(cached(), [gone])
    for _ in range(3):
        life.later()
        prune_repository(cached(), ignore)

    assert list(content(cached())) == [stays]
    assert save(cached(), [tar(1)], number=3) in content(life.again())
    life.sound()


@pytest.mark.parametrize(
    "spoil", ["DELETE FROM listing", "DELETE FROM packs", "DELETE FROM chunks"], ids=str
)
def test_a_cache_that_has_lost_rows_costs_nothing(life, tmp_path, spoil):
    """Indexes that many runs have left are merged, and nobody's packs are left out."""
    ids = [life.save(number, day=number) for number in range(10)]
    life.later()
    life.later()
    cached = life.again()
    cached.cache = tmp_path
    cached.readings.current()
    (file,) = tmp_path.rglob("*.sqlite3")
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(spoil)

    compact_indexes(cached, before=life.now)
    life.sound()
    prune_repository(cached, ignore)
    life.sound()

    assert content(life.again()).keys() == set(ids)


def test_what_a_run_did_before_it_mistrusted_the_cache_is_told(life, tmp_path):
    life.save(1)
    cached = life.again()
    cached.cache = tmp_path
    cached.readings.current()
    (file,) = tmp_path.rglob("*.sqlite3")
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM chunks")
    with life.again().writer() as writer:
        writer.add(body(2), Group.DATA)
        writer.flush()

    assert prune_repository(cached, ignore).adopted == 1


@pytest.mark.parametrize("number", range(6))  # which of two packs counts as used is by chance
def test_of_what_is_stored_twice_one_copy_is_not_condemned(life, number):
    slow = life.again()
    slow.readings.current()
    wasteful = life.save(1, 2, 3)
    save(slow, [tar(1, 2)], number=1)
    life.forget(wasteful)
    life.later()
    life.later()

    done = life.prune(max_unused=MaxUnused(size=0))

    assert done.condemned.number > 1
    assert life.prune(max_unused=MaxUnused(size=0), dry_run=True).copied.number == 0


# ------------------------------------------------------------------------------- pure choices


def pack(name, blobs, used, *, young=False, manifests=False):
    return PackState(name, blobs + 500, blobs, used, young, manifests)


def test_the_most_wasteful_packs_are_repacked_until_it_is_enough():
    big = 20 << 20
    packs = [pack("a", big, big), pack("b", big, big // 10), pack("c", big, big * 8 // 10)]

    assert chosen(packs, MaxUnused(share=0.2)) == ([], ["b"])
    assert chosen(packs, MaxUnused(size=0)) == ([], ["b", "c"])
    assert chosen(packs, MaxUnused()) == ([], [])


def test_young_packs_are_never_chosen():
    big = 20 << 20
    packs = [pack("a", big, 0, young=True), pack("b", big, 1, young=True), pack("c", big, 0)]

    assert chosen(packs, MaxUnused(size=0)) == (["c"], [])


def test_small_packs_of_both_kinds_are_not_mixed_up():
    small = [pack(f"d{n:02}", 1000, 1000) for n in range(15)]
    manifests = [pack(f"m{n:02}", 1000, 1000, manifests=True) for n in range(16)]

    assert chosen(small + manifests, MaxUnused()).repacked == [each.id for each in manifests]


def test_a_share_is_of_all_that_stays():
    assert MaxUnused(share=0.5).limit(100) == 100
    assert MaxUnused(share=1.0).limit(100) == float("inf")
    assert MaxUnused(size=7).limit(100) == 7


# ------------------------------------------------------------------------------- the walk


@pytest.mark.parametrize("size", [7, 40, 200, 5000])
def test_a_walk_names_every_chunk_wherever_the_manifest_is_cut(life, size):
    repository = life.repository
    with repository.writer() as writer:
        data = [writer.add(body(n, 300), Group.DATA) for n in range(30)]
        writer.finish()
    lines = b"".join(
        b'["m","f%d","f",420,0,0,300,0,"","",300,[["%s",0,300]]]\n' % (n, each.hex.encode())
        for n, each in enumerate(data)
    )
    pieces = [lines[at : at + size] for at in range(0, len(lines), size)]
    with repository.writer() as writer:
        parts = [writer.add(piece, Group.MANIFEST) for piece in pieces]
        writer.finish()
    manifest = [Extent(p.hex, 0, len(piece)) for p, piece in zip(parts, pieces, strict=True)]
    walker = Walker(life.again().read)

    first = set(walker.chunks(manifest))
    again = set(walker.chunks(manifest))

    assert first == {each.hex for each in data} | {each.hex for each in parts}
    assert again >= {each.hex for each in parts}


def test_a_walk_refuses_a_manifest_that_is_cut_off(life):
    repository = life.repository
    with repository.writer() as writer:
        part = writer.add(b'["!","a","b"]\n["!","c"', Group.MANIFEST)
        writer.finish()

    with pytest.raises(IntegrityError, match="in the middle of a record"):
        list(Walker(life.again().read).chunks([Extent(part.hex, 0, part.size)]))
