"""What snapshots take is counted once for each chunk, and what none needs is told."""

import random
from collections.abc import Sequence

import pytest

from backup.errors import IntegrityError
from backup.report import ignore
from backup.repository import Repository, Snapshot
from backup.repository.names import PackId
from backup.repository.pack import PackReader
from backup.stats import Statistician, Usage
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, memory, plain
from tests.trees import Name, Thing, captured

TREE: dict[bytes, Thing | Name] = {
    b"": Thing(kind="d"),
    b"a": Thing(content=b"a" * 1000),
    b"b": Name(b"a"),
    b"c": Thing(content=random.Random(7).randbytes(700_000)),
    b"l": Thing(kind="l", link="a"),
}
SIZE = 701_000


@pytest.fixture(params=MAKERS)
def repository(request):
    return MAKERS[request.param](MemoryStore())


def counted(
    repository: Repository, *sources: Sequence[Snapshot]
) -> tuple[Statistician, list[Usage]]:
    statistician = Statistician(repository)
    return statistician, [statistician.add(source, ignore) for source in sources]


def test_one_snapshot_is_what_it_is_made_of(repository):
    statistician, (usage,) = counted(repository, [captured(repository, TREE)])

    assert (usage.snapshots, usage.entries, usage.size) == (1, 5, SIZE)
    assert usage == statistician.total
    assert usage.referred == usage.unique
    assert usage.unique - SIZE < 10_000  # the manifest, and the end of the archive
    assert usage.deduplication == 1
    packs = statistician.packs()
    assert packs.size == sum(
        len(data) for name, data in memory(repository).objects.items() if name.startswith("packs/")
    )
    assert packs.unused == packs.size - usage.stored
    assert (packs.packs, packs.idle) == (2, 0)


def test_stored_are_the_bytes_of_the_blobs():
    repository = plain(MemoryStore())
    _, (usage,) = counted(repository, [captured(repository, TREE)])

    tables = [
        PackReader(repository.keys, PackId(name), repository.keys.new_seal("packs"), 1 << 30).table(
            data
        )
        for name, data in memory(repository).objects.items()
        if name.startswith("packs/")
    ]
    blobs = [blob for table in tables for blob in table.blobs]

    assert usage.chunks == len(blobs)
    assert usage.stored == sum(blob.length for blob in blobs)
    assert usage.unique == sum(blob.size for blob in blobs)


def test_what_snapshots_share_takes_its_place_once(repository):
    first, second = captured(repository, TREE), captured(repository, TREE)
    changed = captured(repository, TREE | {b"a": Thing(content=b"z" * 1000)})

    _, (one,) = counted(repository, [first])
    _, (same,) = counted(repository, [first, second])
    _, (three,) = counted(repository, [first, second, changed])

    assert (same.chunks, same.unique, same.stored) == (one.chunks, one.unique, one.stored)
    assert (same.size, same.referred) == (2 * SIZE, 2 * one.referred)
    assert same.deduplication == 2
    assert three.chunks > same.chunks
    assert three.unique - same.unique < 10_000


def test_what_sources_share_counts_for_each_and_once_in_total(repository):
    both = [[captured(repository, TREE, source=f"volume:{name}")] for name in "ab"]

    statistician, (a, b) = counted(repository, *both)

    total = statistician.total
    assert a == b
    assert (total.snapshots, total.entries, total.size) == (2, 10, 2 * SIZE)
    assert (total.chunks, total.unique, total.stored) == (a.chunks, a.unique, a.stored)


def test_what_no_snapshot_needs_is_unused(repository):
    kept = captured(repository, {b"a": Thing(content=b"a" * 1000)})
    lost = captured(repository, {b"c": TREE[b"c"]})
    all_of_it, _ = counted(repository, [kept, lost])
    of_lost = len(max(memory(repository).objects.values(), key=len))

    statistician, _ = counted(repository, [kept])

    packs = statistician.packs()
    assert (packs.packs, packs.idle) == (4, 2)
    assert packs.size == all_of_it.packs().size
    assert packs.idle_size <= packs.unused < packs.idle_size + 1000
    assert 700_000 < of_lost < packs.idle_size


def test_an_empty_repository_has_no_ratios_that_are_none(repository):
    statistician, _ = counted(repository)

    assert (statistician.total, statistician.packs().size) == (Usage(), 0)
    assert (statistician.total.deduplication, statistician.total.compression) == (1, 1)


def test_a_chunk_that_is_nowhere_is_told():
    repository = plain(MemoryStore())
    snapshot = captured(repository, TREE)
    store = memory(repository)
    data = max((name for name in store.objects if name.startswith("packs/")), key=_size_in(store))
    del store.objects[data]
    again = Repository(store, repository.descriptor, repository.keys)

    with pytest.raises(IntegrityError, match="in no pack"):
        Statistician(again).add([snapshot], ignore)


def _size_in(store):
    return lambda name: len(store.objects[name])
