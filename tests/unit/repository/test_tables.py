"""The local file of pack tables: it may be lost, spoilt or shared, and is never believed."""

import gc
import random
import sqlite3
import threading
from pathlib import Path

import pytest

from backup.repository import Group, index, prune_repository
from backup.repository.manifest import Extent
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, chunks_of, reopened, save
from tests.tars import END, header, padded


@pytest.fixture(params=sorted(MAKERS))
def repository(request):
    return MAKERS[request.param](MemoryStore())


def noise(number):
    return random.Random(number).randbytes(2000)


class Counting(MemoryStore):
    """Counts what is fetched, by kind."""

    def __init__(self, like):
        super().__init__()
        self.create()
        self.objects = like.objects
        self.fetched = []

    def get(self, name, offset=0, length=None):
        self.fetched.append(name.split("/")[0])
        return super().get(name, offset, length)


def write(repository, *numbers):
    with repository.writer() as writer:
        pending = [writer.add(noise(number), Group.DATA) for number in numbers]
        writer.finish()
    return [one.id for one in pending]


def cached(repository, directory, store=None):
    again = reopened(repository, store or repository.store)
    again.cache = directory
    return again


def file_of(repository, directory):
    return directory / repository.descriptor.id / "tables.sqlite3"


def read(repository, chunk):
    return b"".join(repository.read([Extent(chunk.hex(), 0, 2000)]))


def test_an_index_is_fetched_once(repository, tmp_path):
    chunks = write(repository, 1, 2)
    assert chunks_of(cached(repository, tmp_path)) == {chunk.hex() for chunk in chunks}

    store = Counting(repository.store)
    again = cached(repository, tmp_path, store)
    store.fetched.clear()

    assert chunks_of(again) == {chunk.hex() for chunk in chunks}
    assert "index" not in store.fetched


def test_what_a_run_has_put_need_not_be_fetched_by_the_next(repository, tmp_path):
    write(cached(repository, tmp_path), 1, 2)

    store = Counting(repository.store)
    again = cached(repository, tmp_path, store)
    store.fetched.clear()

    assert len(chunks_of(again)) == 2
    assert "index" not in store.fetched


def test_it_is_for_its_owner_only(repository, tmp_path):
    chunks_of(cached(repository, tmp_path / "made"))

    file = file_of(repository, tmp_path / "made")
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_what_is_gone_from_the_store_is_gone_from_the_file(repository, tmp_path):
    (first,) = write(repository, 1)
    (old,) = [name for name in repository.store.objects if name.startswith("index/")]
    (second,) = write(reopened(repository), 2)
    assert len(chunks_of(cached(repository, tmp_path))) == 2

    repository.store.delete(old)

    assert chunks_of(cached(repository, tmp_path)) == {second.hex()}
    with sqlite3.connect(file_of(repository, tmp_path)) as database:
        assert database.execute("SELECT count(*) FROM chunks").fetchone() == (1,)
    database.close()
    assert first not in cached(repository, tmp_path).readings.current()


def test_a_pack_that_two_objects_list_stays_while_one_does(repository, tmp_path):
    (chunk,) = write(repository, 1)
    (old,) = [name for name in repository.store.objects if name.startswith("index/")]
    again = cached(repository, tmp_path)
    again.take_reading()
    table = again.tables.table(next(iter(again.readings.current().view.live)))
    index.save(repository.store, repository.keys, [table], NOW)
    again.take_reading()
    repository.store.delete(old)

    assert chunk in cached(repository, tmp_path).readings.current()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b"no database at all" * 999),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: file.write_bytes(b""),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["rubbish", "cut off", "empty", "a directory"],
)
def test_a_spoilt_file_is_made_anew(repository, tmp_path, spoil):
    (chunk,) = write(cached(repository, tmp_path), 1)
    file = file_of(repository, tmp_path)
    gc.collect()  # closes it
    spoil(file)

    again = cached(repository, tmp_path)

    assert chunk in again.readings.current()
    assert read(again, chunk) == noise(1)


def test_a_file_of_another_version_is_made_anew(repository, tmp_path):
    (chunk,) = write(cached(repository, tmp_path), 1)
    with sqlite3.connect(file_of(repository, tmp_path)) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()

    assert chunk in cached(repository, tmp_path).readings.current()


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE packs SET data = x'00' || substr(data, 2)",
        "UPDATE packs SET data = substr(data, 1, length(data) - 10)",
        "UPDATE packs SET checksum = 'no'",
        "DELETE FROM chunks",
        "DELETE FROM packs",
        "DELETE FROM listing",
        "UPDATE chunks SET pack = pack + 1",
    ],
)
def test_rows_that_lie_are_not_believed(repository, tmp_path, lie):
    """Nothing is taken for stored that is not, and nothing for lost that is not."""
    chunks = write(cached(repository, tmp_path), 1)
    chunks += write(cached(repository, tmp_path), 2)
    with sqlite3.connect(file_of(repository, tmp_path)) as database:
        database.execute(lie)
    database.close()

    again = cached(repository, tmp_path)

    reading = again.readings.current()
    for chunk in chunks:
        found = reading.find(chunk)
        assert found is None or repository.readings.find(chunk) == found
    assert [read(again, chunk) for chunk in chunks] == [noise(1), noise(2)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(
            file.read_bytes().replace(b"TABLE chunks", b"TABLE \xff\xfeunks")
        ),
        lambda file: told(file, "UPDATE objects SET time = 'soon'"),
        lambda file: told(file, "UPDATE objects SET time = 1e300"),
        lambda file: told(file, "UPDATE packs SET size = 'large'"),
        lambda file: told(file, "UPDATE packs SET size = size + 1"),
        lambda file: told(file, "UPDATE packs SET checksum = 'no'"),
        lambda file: told(file, "UPDATE packs SET data = 7"),
    ],
    ids=["schema", "time", "late", "size", "larger", "checksum", "data"],
)
def test_prune_decides_the_same_whatever_the_file_says(repository, tmp_path, spoil):
    mine = cached(repository, tmp_path)
    for number in range(3):
        write(mine, number, number + 100)
    save(mine, [header(b"file", size=900) + padded(noise(7)[:900]) + END])
    gc.collect()
    spoil(file_of(repository, tmp_path))

    assert decided(cached(repository, tmp_path)) == decided(repository)


def told(file, statement):
    with sqlite3.connect(file) as database:
        database.execute(statement)
    database.close()


def decided(repository):
    """What a prune would do, and what indexes it finds."""
    pruned = prune_repository(repository, lambda _: None, dry_run=True)
    objects = repository.tables.objects()
    return pruned, {name: (time, len(packs)) for name, (time, packs) in objects.items()}


def test_a_link_to_a_file_of_somebody_is_replaced(repository, tmp_path):
    (chunk,) = write(repository, 1)
    other = tmp_path / "mine.txt"
    other.touch(mode=0o644)
    file = file_of(repository, tmp_path)
    file.parent.mkdir(parents=True)
    file.symlink_to(other)

    assert chunk in cached(repository, tmp_path).readings.current()

    assert (other.stat().st_size, other.stat().st_mode & 0o777) == (0, 0o644)
    assert not file.is_symlink()


def test_a_chunk_that_is_missed_is_looked_for_on_the_store_once(repository, tmp_path):
    write(repository, 1)
    store = Counting(repository.store)
    again = cached(repository, tmp_path, store)
    missing = repository.keys.chunk_id(b"never stored")

    for _ in range(5):
        assert again.readings.find(missing) is None

    assert store.fetched.count("index") == 2


def test_a_file_that_breaks_while_it_is_used_is_left(repository, tmp_path):
    chunks = write(repository, 1, 2, 3)
    again = cached(repository, tmp_path)
    assert chunks[0] in again.readings.current()
    again.tables._database.close()

    assert chunks[1] in again.readings.current()
    assert read(again, chunks[2]) == noise(3)


def test_no_place_for_a_file_is_no_reason_to_fail(repository, tmp_path):
    (chunk,) = write(repository, 1)
    (tmp_path / "file").write_text("not a directory")

    assert chunk in cached(repository, tmp_path / "file").readings.current()
    assert chunk in cached(repository, Path("/proc/nowhere")).readings.current()


def test_two_use_one_file_at_once(repository, tmp_path):
    """Each sees all that it has put and what was there, whatever the other one drops meanwhile."""
    failures = []

    def run(first):
        try:
            for number in range(first, first + 12):
                mine = cached(repository, tmp_path)
                (chunk,) = write(mine, number)
                assert read(mine, chunk) == noise(number)
                assert chunk in cached(repository, tmp_path).readings.current()
        except BaseException as error:  # noqa: BLE001  told below, by the thread that counts
            failures.append(error)

    threads = [threading.Thread(target=run, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(chunks_of(cached(repository, tmp_path))) == 36
