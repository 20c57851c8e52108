"""Writer, index and reader: chunks go into packs and come out again."""

import hashlib
import pickle
import signal
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Generator

import pytest

from backup.errors import IntegrityError
from backup.repository import Group, Repository, index
from backup.repository.index import IndexedPack
from backup.repository.manifest import Extent
from backup.repository.names import ChunkId
from backup.repository.pack import TARGET_SIZE, Blob, PackTable
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, chunks_of, plain, reopened, save, sealed, tables_of
from tests.tars import END, header
from transports.errors import ConnectionLost, ObjectNotFound, OutOfSpace


def noise(number: int, size: int = 2000) -> bytes:
    return hashlib.shake_128(b"%d" % number).digest(size)


class WatchedStore(MemoryStore):
    """Counts calls; `refuse`, where set, is raised by puts of that kind."""

    def __init__(self):
        super().__init__()
        self.gets = []
        self.puts = []
        self.refuse = {}

    def put(self, name, data):
        if (error := self.refuse.get(name.split("/")[0])) is not None:
            raise error
        self.puts.append(name)
        super().put(name, data)

    def get(self, name, offset=0, length=None):
        self.gets.append((name, offset, length))
        return super().get(name, offset, length)

    def kinds(self):
        return [name.split("/")[0] for name in self.puts]


@pytest.fixture
def store():
    return WatchedStore()


@pytest.fixture(params=MAKERS)
def repository(request, store):
    repository = MAKERS[request.param](store)
    store.puts.clear()
    return repository


def write(repository, chunks, group=Group.DATA):
    with repository.writer() as writer:
        pending = [writer.add(chunk, group) for chunk in chunks]
        writer.finish()
    return [one.id for one in pending], writer


def place(repository: Repository, chunk: ChunkId) -> tuple[IndexedPack, Blob]:
    """Where a chunk lies, which must be known."""
    found = repository.readings.find(chunk)
    assert found is not None
    return found


def extents(ids, chunks):
    return [Extent(i.hex(), 0, len(chunk)) for i, chunk in zip(ids, chunks, strict=True)]


def test_chunks_come_back(repository):
    chunks = [noise(n, 1 + 700 * n) for n in range(50)]

    ids, _ = write(repository, chunks)

    read = reopened(repository).read(extents(ids, chunks))
    assert [bytes(piece) for piece in read] == chunks


def test_packs_are_put_before_their_index(repository, store):
    write(repository, [noise(1)])

    assert store.kinds() == ["packs", "index"]


def test_a_chunk_is_stored_once(repository, store):
    ids, writer = write(repository, [noise(1)] * 40 + [noise(2)])

    assert len(set(ids)) == 2
    assert writer.added == 4000
    assert len(chunks_of(reopened(repository))) == 2


def test_what_another_run_stored_is_not_stored_again(repository, store):
    write(repository, [noise(1), noise(2)])
    store.puts.clear()

    _, writer = write(reopened(repository), [noise(2), noise(1)])

    assert store.puts == []
    assert (writer.added, writer.stored) == (0, 0)


def test_stored_counts_what_packs_take(repository, store):
    _, writer = write(repository, [bytes(100_000), noise(1)])

    packs = [len(data) for name, data in store.objects.items() if name.startswith("packs/")]
    assert writer.stored == sum(packs) < writer.added


def test_groups_have_packs_of_their_own(repository):
    with repository.writer() as writer:
        data = writer.add(noise(1), Group.DATA)
        manifest = writer.add(noise(2), Group.MANIFEST)
        writer.finish()

    again = reopened(repository)
    assert place(again, data.id)[0] != place(again, manifest.id)[0]


def test_a_buffer_that_an_attempt_may_still_send_is_not_used_again(monkeypatch):
    """The client for buckets goes on with a call that was given up, until its own time is over."""
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 10_000)
    attempts = []

    class Store(WatchedStore):
        def put(self, name, data):
            if name.startswith("packs/"):
                attempts.append((bytes(data), pickle.PickleBuffer(data)))
            super().put(name, data)

    write(plain(Store()), [noise(n) for n in range(40)])

    assert len(attempts) > 6
    assert all(held.raw() == sent for sent, held in attempts)


def test_an_interrupt_forgets_no_pack_that_is_on_its_way(store):
    repository = plain(store)
    arrived, leave = threading.Event(), threading.Event()
    put = store.put

    def slow(name, data):
        arrived.set()
        leave.wait(10)
        put(name, data)

    def interrupt():
        arrived.wait(10)
        time.sleep(0.1)  # until it is waited for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        leave.set()

    store.put = slow
    threading.Thread(target=interrupt).start()

    with pytest.raises(KeyboardInterrupt):
        write(repository, [noise(1)])

    assert store.kinds()[-2:] == ["packs", "index"]


def test_packs_are_closed_when_they_are_full(repository, monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 10_000)

    write(repository, [noise(n) for n in range(40)])

    sizes = [table.size for table in tables_of(reopened(repository))]
    assert len(sizes) == 8
    assert max(sizes) < 14_000
    assert TARGET_SIZE == 32 << 20


def test_long_runs_store_indexes_on_the_way(repository, store, monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 2000)
    monkeypatch.setattr("backup.repository.index.PACKS_PER_OBJECT", 3)

    write(repository, [noise(n) for n in range(20)])

    kinds = store.kinds()
    assert Counter(kinds)["packs"] == 20
    assert 5 <= Counter(kinds)["index"] <= 8
    assert kinds.index("index") <= 9


def test_slow_runs_store_indexes_on_the_way(repository, store, monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 2000)
    monkeypatch.setattr("backup.repository.writer._INDEX_EVERY_S", -1.0)

    write(repository, [noise(n) for n in range(20)])

    assert Counter(store.kinds())["index"] >= 2


def test_several_sources_of_one_run_each_have_their_index(repository, store):
    with repository.writer() as writer:
        for number in range(3):
            writer.add(noise(number), Group.DATA)
            writer.finish()
        writer.finish()

    assert store.kinds() == ["packs", "index"] * 3


def test_nothing_stored_is_no_index(repository, store):
    write(repository, [])

    assert store.puts == []


@pytest.mark.parametrize("kind", ["packs", "index"])
def test_an_error_of_the_store_ends_the_run(repository, store, kind):
    store.refuse[kind] = OutOfSpace("full")

    with pytest.raises(OutOfSpace), repository.writer() as writer:
        writer.add(noise(1), Group.DATA)
        writer.finish()

    assert [name for name in store.puts if name.startswith("index")] == []


def test_an_error_of_the_store_ends_the_run_soon(repository, store, monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 2000)
    store.refuse["packs"] = ConnectionLost("gone")
    added = 0

    with pytest.raises(ConnectionLost), repository.writer() as writer:
        for number in range(10_000):
            writer.add(noise(number), Group.DATA)
            added += 1

    assert added < 100


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()], ids=repr)
def test_leaving_by_an_error_lists_what_is_stored_and_leaves_no_thread(
    repository, store, monkeypatch, error
):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 1)
    with pytest.raises(type(error)), repository.writer() as writer:
        for number in range(40):
            writer.add(noise(number), Group.DATA)
        raise error

    stored = store.kinds().count("packs")
    assert 0 < stored < 40
    assert len(reopened(repository).readings.current().view.live) == stored
    assert [t.name for t in threading.enumerate() if t.name.startswith("voltar")] == []


def test_memory_is_bounded_while_the_store_is_slow(repository, store, monkeypatch):
    monkeypatch.setattr("backup.repository.writer.TARGET_SIZE", 10_000)
    gate = threading.Event()
    progress = []
    put = store.put
    store.put = lambda name, data: (gate.wait(20), put(name, data))

    def run():
        with repository.writer() as writer:
            for number in range(400):
                writer.add(noise(number), Group.DATA)
                progress.append(number)
            writer.finish()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(1)
    stuck_at = len(progress)
    gate.set()
    thread.join(20)

    assert stuck_at < 60
    assert len(progress) == 400


def test_an_id_is_known_once_it_was_asked_for(repository):
    with repository.writer() as writer:
        pending = writer.add(b"chunk", Group.DATA)

        assert pending.id == repository.keys.chunk_id(b"chunk")
        writer.finish()
        assert pending.settled
        assert (pending.size, pending.group) == (5, Group.DATA)


def test_literals_and_extents_come_in_their_order(repository):
    (chunk,), _ = write(repository, [noise(1)])
    name = chunk.hex()

    read = reopened(repository).read(
        [b"head", Extent(name, 10, 5), b"", Extent(name, 0, 2000), Extent(name, 1999, 1), b"tail"]
    )

    expected = [b"head", noise(1)[10:15], b"", noise(1), noise(1)[1999:], b"tail"]
    assert [bytes(piece) for piece in read] == expected


def test_neighbours_are_fetched_by_one_request(repository, store):
    chunks = [noise(n) for n in range(30)]
    ids, _ = write(repository, chunks)
    again = reopened(repository)
    assert len(chunks_of(again)) == 30
    store.gets.clear()

    list(again.read(extents(ids, chunks)))

    assert len(store.gets) == 1


def test_what_lies_far_apart_is_not_fetched_as_one(repository, store):
    chunks = [noise(1), noise(2, 300_000), noise(3)]
    ids, _ = write(repository, chunks)
    again = reopened(repository)
    assert len(chunks_of(again)) == 3
    store.gets.clear()

    list(again.read([Extent(ids[0].hex(), 0, 2000), Extent(ids[2].hex(), 0, 2000)]))

    assert sum(length for _, _, length in store.gets) < 5000


def test_many_batches_are_read_in_order(repository, monkeypatch):
    monkeypatch.setattr("backup.repository.reader._BATCH_SIZE", 3000)
    monkeypatch.setattr("backup.repository.reader._LARGEST_REQUEST", 5000)
    chunks = [noise(n, 500 + n * 37) for n in range(100)]
    ids, _ = write(repository, chunks)

    read = reopened(repository).read(extents(ids, chunks) * 2)

    assert b"".join(read) == b"".join(chunks) * 2


def test_reading_may_be_left_in_the_middle(repository, monkeypatch):
    monkeypatch.setattr("backup.repository.reader._BATCH_SIZE", 3000)
    chunks = [noise(n) for n in range(100)]
    ids, _ = write(repository, chunks)
    reading = reopened(repository).read(extents(ids, chunks))

    assert next(reading) == chunks[0]
    assert isinstance(reading, Generator)
    reading.close()

    for thread in threading.enumerate():
        if thread.name.startswith("voltar"):
            thread.join(10)
            assert not thread.is_alive()


def test_small_pieces_of_many_chunks_do_not_hold_all_of_them(repository, store):
    """Small files that lie scattered over many bundles: each extent is short, its chunk is not."""
    chunks = [b"%9d" % n + bytes(1 << 20) for n in range(150)]
    ids, _ = write(repository, chunks)
    again = reopened(repository)
    assert len(chunks_of(again)) == 150

    tracemalloc.start()
    read = [bytes(piece) for piece in again.read([Extent(i.hex(), 0, 9) for i in ids])]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read == [chunk[:9] for chunk in chunks]
    assert peak < 75 << 20


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 2001), (2000, 1), (1 << 40, 1), (-1, 5), (0, -1), (5, -2)]
)
def test_an_extent_beyond_its_chunk_is_damage(repository, offset, length):
    (chunk,), _ = write(repository, [noise(1)])

    with pytest.raises(IntegrityError, match="asks for more than chunk"):
        list(reopened(repository).read([Extent(chunk.hex(), offset, length)]))


@pytest.mark.parametrize("name", ["", "00" * 32, "00" * 31, "zz"])
def test_an_extent_of_an_unknown_chunk_is_damage(repository, name):
    with pytest.raises(IntegrityError):
        list(repository.read([Extent(name, 0, 1)]))


@pytest.mark.parametrize("spell", [str.upper, lambda name: f" {name}"], ids=["upper", "blank"])
def test_an_id_in_another_spelling_is_damage_or_the_same_chunk(repository, spell):
    (chunk,), _ = write(repository, [noise(1)])

    try:
        pieces = reopened(repository).read([Extent(spell(chunk.hex()), 0, 2000)])
        read = [bytes(piece) for piece in pieces]
    except IntegrityError:
        read = [noise(1)]

    assert read == [noise(1)]


def test_a_pack_that_vanished_is_damage(repository, store):
    (chunk,), _ = write(repository, [noise(1)])
    again = reopened(repository)
    pack, _ = place(again, chunk)
    store.delete(f"packs/{pack.id}")

    with pytest.raises(IntegrityError, match=f"chunk {chunk.hex()[:16]} is in no pack"):
        list(again.read([Extent(chunk.hex(), 0, 1)]))


def test_a_pack_that_was_cut_off_is_damage(repository, store):
    (chunk,), _ = write(repository, [noise(1)])
    again = reopened(repository)
    pack, _ = place(again, chunk)
    store.objects[f"packs/{pack.id}"] = store.objects[f"packs/{pack.id}"][:1500]

    with pytest.raises(IntegrityError, match=f"pack {pack.id[:16]} is shorter than"):
        list(again.read([Extent(chunk.hex(), 0, 1)]))


def test_packs_that_are_not_there_do_not_count(repository, store):
    (chunk,), _ = write(repository, [noise(1)])
    pack, _ = place(reopened(repository), chunk)
    store.delete(f"packs/{pack.id}")

    assert chunk not in reopened(repository).readings.current()
    assert len(chunks_of(reopened(repository))) == 0


def test_an_index_that_vanishes_between_listing_and_reading_is_passed_over(repository, store):
    write(repository, [noise(1)])
    (name,) = [name for name in store.objects if name.startswith("index/")]
    get = store.get

    def gone(wanted, offset=0, length=None):
        if wanted == name:
            raise ObjectNotFound("gone")
        return get(wanted, offset, length)

    store.get = gone

    assert len(chunks_of(reopened(repository))) == 0


def test_two_indexes_may_list_the_same_pack(repository, store):
    (chunk,), _ = write(repository, [noise(1)])
    pack, blob = place(reopened(repository), chunk)
    table = PackTable(pack.id, pack.envelope.hex(), pack.size, [blob])

    index.save(store, repository.keys, [table], NOW)

    assert len(tables_of(reopened(repository))) == 1
    assert place(reopened(repository), chunk) == (pack, blob)


def test_a_chunk_in_two_packs_is_found_once(repository):
    first, second = reopened(repository), reopened(repository)
    assert (len(chunks_of(first)), len(chunks_of(second))) == (0, 0)

    (chunk,), _ = write(first, [noise(1)])
    write(second, [noise(1)])

    again = reopened(repository)
    assert (len(tables_of(again)), len(chunks_of(again))) == (2, 1)
    assert list(again.read([Extent(chunk.hex(), 0, 2000)])) == [noise(1)]


def flipped(pack: bytes) -> bytes:
    return pack[:60] + bytes([pack[60] ^ 1]) + pack[61:]


def test_a_chunk_that_is_damaged_in_one_pack_is_read_from_another(repository, store):
    first, second = reopened(repository), reopened(repository)
    first.readings.current()
    second.readings.current()
    (chunk,), _ = write(first, [noise(1)])
    write(second, [noise(1)])
    packs = sorted(name for name in store.objects if name.startswith("packs/"))
    good = dict(store.objects)

    for name in packs:
        for spoilt in (good[name][:100], flipped(good[name])):
            store.objects[name] = spoilt
            again = reopened(repository)
            assert b"".join(again.read([Extent(chunk.hex(), 0, 2000)])) == noise(1)
        store.objects[name] = good[name]
    for name in packs:
        store.objects[name] = flipped(good[name])
    with pytest.raises(IntegrityError, match=r"pack .*: chunk"):
        list(reopened(repository).read([Extent(chunk.hex(), 0, 2000)]))


@pytest.mark.parametrize("make", [plain, sealed])
def test_a_repository_reads_what_it_wrote_itself(make):
    """One process that stays (a scheduler) backs up and reads through one Repository."""
    repository = make(MemoryStore())
    tar = header(b"a", size=5) + b"hello".ljust(512, b"\0") + END

    saved = save(repository, [tar])

    lines = list(repository.manifest(repository.snapshot(saved)))
    assert [line.path for line in lines] == ["a", ""]


def test_a_second_run_of_a_repository_knows_what_the_first_stored(repository, store):
    write(repository, [noise(1)])
    store.puts.clear()

    _, writer = write(repository, [noise(1)])

    assert writer.added == 0


@pytest.mark.parametrize("size", [0, 100])
def test_chunks_of_a_pack_that_lost_bytes_are_stored_again(repository, store, size):
    """Empty files are what a crash of a disk leaves; a backup must not rely on them."""
    chunks = [noise(n) for n in range(5)]
    write(repository, chunks)
    for name in [name for name in store.objects if name.startswith("packs/")]:
        store.objects[name] = store.objects[name][:size]

    again = reopened(repository)
    ids, writer = write(again, chunks)

    assert writer.added == sum(map(len, chunks))
    assert b"".join(reopened(repository).read(extents(ids, chunks))) == b"".join(chunks)
