from datetime import UTC, datetime, timedelta

import pytest

from backup.errors import NoSuchSnapshot, RepositoryExists
from backup.repository import (
    MountFacts,
    Snapshot,
    Statistics,
    VolumeFacts,
    create,
    open_repository,
)
from backup.repository.names import SnapshotId, id_of, object_name
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, NOW, PASSWORD, plain, reopened, save
from tests.tars import END, header
from transports.errors import ConnectionLost

TAR = header(b"a") + END


def test_a_new_repository_can_be_opened_by_its_password():
    store = MemoryStore()
    made = create(store, PASSWORD, now=NOW)

    found = open_repository(store, PASSWORD)

    assert found.descriptor == made.descriptor
    assert found.descriptor.created == NOW
    assert found.descriptor.sealed
    assert [name.split("/")[0] for name in store.objects] == [
        *("recover.py", "recover.txt", "keys", "voltar.json")
    ]


def test_one_without_encryption_has_no_key():
    store = MemoryStore()
    create(store, None)

    assert not open_repository(store, None).descriptor.sealed
    assert list(store.objects) == ["recover.py", "recover.txt", "voltar.json"]
    assert open_repository(store, None).descriptor.created - datetime.now(UTC) < timedelta(
        minutes=1
    )


def test_no_two_repositories_are_alike():
    first, second = (create(MemoryStore(), None) for _ in range(2))

    assert first.descriptor.id != second.descriptor.id
    assert first.keys.chunk_id(b"x") != second.keys.chunk_id(b"x")
    assert first.keys.chunker_seed != second.keys.chunker_seed


def test_a_repository_is_not_made_over_another():
    store = MemoryStore()
    create(store, None)
    before = dict(store.objects)

    with pytest.raises(RepositoryExists, match="there is a repository at memory: already"):
        create(store, PASSWORD)

    assert store.objects == before


@pytest.mark.parametrize("kind", ["packs", "snapshots"])
def test_a_repository_is_not_made_over_the_rest_of_one(kind):
    store = MemoryStore()
    store.create()
    store.put(f"{kind}/00", b"x")

    with pytest.raises(RepositoryExists, match=f"holds {kind} but no voltar") as refused:
        create(store, None)

    assert "voltar.json" in str(refused.value.hint)
    assert list(store.objects) == [f"{kind}/00"]


def test_a_key_left_by_a_dead_init_with_the_same_password_does_no_harm(monkeypatch):
    store = MemoryStore()
    refused = ConnectionLost("gone")
    put = store.put

    def put_no_descriptor(name, data):
        if name == "voltar.json":
            raise refused
        put(name, data)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put", put_no_descriptor)
        with pytest.raises(ConnectionLost):
            create(store, PASSWORD)

    create(store, PASSWORD)

    assert open_repository(store, PASSWORD).keys.sealed


@pytest.mark.parametrize("kind", MAKERS)
def test_a_snapshot_keeps_what_it_was_told(kind):
    repository = MAKERS[kind](MemoryStore())
    snapshot = Snapshot(
        time=datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC),
        host="hœst",
        source="volume:data",
        run="00ff",
        volume=VolumeFacts(name="data", options={"type": "tmpfs"}, labels={"a": "b"}),
        mount=MountFacts(container="web", destination="/data", read_only=True),
        definition={"name": "web", "config": {"Env": ["A=1"], "Tty": False, "n": None}},
        tags=["nightly"],
        lost=["x"],
        notes=3,
        imported=True,
        statistics=Statistics(entries=1, files=2, size=2**60, seconds=0.125),
    )

    saved = repository.commit(snapshot)

    assert reopened(repository).snapshot(saved) == snapshot
    assert reopened(repository).snapshot_ids() == [saved]


def test_snapshots_are_listed_the_oldest_first():
    repository = plain(MemoryStore())
    third, first, second = (save(repository, [TAR], number=n) for n in (3, 1, 2))

    assert [found for found, _ in reopened(repository).snapshots()] == [first, second, third]


def test_snapshots_of_one_moment_have_an_order_too():
    repository = plain(MemoryStore())
    ids = sorted(save(repository, [TAR]) for _ in range(5))

    assert [found for found, _ in repository.snapshots()] == ids


def test_two_snapshots_of_the_same_are_two():
    repository = plain(MemoryStore())

    assert save(repository, [TAR]) != save(repository, [TAR])


def test_a_snapshot_that_is_not_there_is_told():
    with pytest.raises(NoSuchSnapshot, match=r"no snapshot 0123456789$"):
        plain(MemoryStore()).snapshot(SnapshotId("0123456789abcdef"))


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_content_again_costs_a_snapshot_record_only(kind):
    store = MemoryStore()
    repository = MAKERS[kind](store)
    save(repository, [TAR])
    before = set(store.objects)

    save(reopened(repository), [TAR], number=1)

    assert [name.split("/")[0] for name in set(store.objects) - before] == ["snapshots"]


def test_encrypted_stores_show_no_names_and_no_contents():
    store = MemoryStore()
    repository = MAKERS["sealed"](store)
    tar = header(b"secret-name", size=14) + b"secret content".ljust(512, b"\0") + END

    save(repository, [tar], source="volume:secret-volume")

    stored = b"".join(store.objects.values()) + "".join(store.objects).encode()
    assert b"secret-" not in stored
    assert b"secret content" not in stored
    assert PASSWORD.encode() not in stored


def test_names_of_objects_are_spelled_in_one_place():
    assert object_name("packs", "0a") == "packs/0a"
    assert id_of("packs/0a") == "0a"
