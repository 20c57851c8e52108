"""Repositories and snapshots for tests, made by the product; keys also by the book.

`sealed` repositories get a key object that costs next to nothing to open. It is made here from the
format's description alone, so a change of the key format that old voltars could not read fails.
"""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backup.blocks import Block
from backup.members import archive
from backup.recorder import Recorder
from backup.report import ignore
from backup.repository import Repository, Snapshot, SnapshotId, Statistics, create, open_repository
from backup.repository.check import Checked, check
from backup.repository.crypto import digest
from backup.repository.keyfile import Derivation
from backup.repository.pack import PackTable
from backup.tar.split import split
from tests.memory_store import MemoryStore
from transports.store import Store

PASSWORD = "correct horse"
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def plain(store: Store) -> Repository:
    """Make a repository without encryption."""
    return create(store, None, now=NOW)


def sealed(store: Store, number: int = 0) -> Repository:
    """Make an encrypted repository that PASSWORD opens in no time; always the same for a number."""
    made = _made(number)
    store.create()
    for name, data in made.store.objects.items():
        store.put(name, data)
    return reopened(made.repository, store)


class _Made(NamedTuple):
    repository: Repository
    store: MemoryStore


@cache
def _made(number: int) -> _Made:
    """Argon2 as voltar uses it takes a moment: once for each repository is enough."""
    store = MemoryStore()
    repository = create(store, PASSWORD, now=NOW + timedelta(days=number))
    for info in list(store.list("keys")):
        store.delete(info.name)
    put_key(store, cheap_key(repository, PASSWORD))
    return _Made(repository, store)


MAKERS: dict[str, Callable[[Store], Repository]] = {"plain": plain, "sealed": sealed}


def password_of(repository: Repository) -> str | None:
    """Return what opens a repository made here."""
    return PASSWORD if repository.descriptor.sealed else None


def memory(repository: Repository) -> MemoryStore:
    """Return the store of a repository made here, for tests that look into it or spoil it."""
    assert isinstance(repository.store, MemoryStore)
    return repository.store


def cheap_key(repository: Repository, password: str, **changes: Any) -> bytes:
    """Return a key object by docs/format.md; `changes` are made to it at the end."""
    derivation = {
        "salt": os.urandom(32).hex(),
        "algorithm": "argon2id",
        "iterations": 1,
        "lanes": 1,
        "memory_kib": 8,
    }
    nonce = os.urandom(12)
    bare = {
        "created": "2026-11-25T03:00:00Z",
        "derivation": derivation,
        "nonce": nonce.hex(),
        "wrapped": "",
        "version": 1,
    }
    key = Argon2id(
        salt=bytes.fromhex(str(derivation["salt"])), length=32, iterations=1, lanes=1, memory_cost=8
    ).derive(password.encode())
    about = repository.descriptor.id.encode() + msgspec.json.encode(bare)
    wrapped = AESGCM(key).encrypt(nonce, repository.keys.master, about)
    return msgspec.json.encode(
        bare
        | {"wrapped": wrapped.hex()}
        | {name: value for name, value in changes.items() if name in bare}
        | {
            "derivation": derivation
            | {name: value for name, value in changes.items() if name in derivation}
        }
    )


def derive_cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new keys cost next to nothing to derive; each key object says what its own cost."""
    cheap = partial(Derivation, iterations=1, lanes=1, memory_kib=8)
    monkeypatch.setattr("backup.repository.keyfile.Derivation", cheap)


def put_key(store: Store, data: bytes) -> str:
    """Store a key object under the name that belongs to it."""
    name = f"keys/{digest(data)}"
    store.put(name, data)
    return name


def reopened(repository: Repository, store: Store | None = None) -> Repository:
    """Return the same repository as another process sees it, without asking for the password."""
    again = Repository(store or repository.store, repository.descriptor, repository.keys)
    again.clock = repository.clock
    return again


def at(time: datetime, repository: Repository) -> Repository:
    """Return the same repository as another process sees it, by a clock that stands still."""
    again = reopened(repository)
    again.clock = lambda: time
    return again


def save(
    repository: Repository, blocks: Iterable[Block], *, number: int = 0, **facts: Any
) -> SnapshotId:
    """Store a tar stream as a snapshot, `number` hours after NOW."""
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split(blocks):
            recorder.add(entry)
        manifest = recorder.finish()
        writer.finish()
    said: dict[str, Any] = {
        "time": NOW + timedelta(hours=number),
        "host": "here",
        "source": "volume:data",
        "run": "0123456789abcdef",
        "imported": True,
        "statistics": Statistics(entries=recorder.entries, files=recorder.files),
    }
    return repository.commit(Snapshot(**(said | facts), manifest=manifest))


def content(repository: Repository) -> dict[SnapshotId, bytes]:
    """Read all of a repository: every snapshot's tar stream."""
    return {
        found: b"".join(archive(repository, record)) for found, record in repository.snapshots()
    }


def opened(store: Store, password: str | None) -> dict[SnapshotId, bytes]:
    """Open a repository and read all of it."""
    return content(open_repository(store, password))


def checked(repository: Repository) -> Checked:
    """Check a repository as another process would."""
    return check(reopened(repository), ignore)


def tables_of(repository: Repository) -> list[PackTable]:
    """Return the tables of all packs that an index lists and that are there, whole."""
    reading = repository.readings.current()
    tables = [reading.tables.table(pack) for pack in reading.view.live | reading.view.spare]
    return [table for table in tables if table is not None]


def chunks_of(repository: Repository) -> set[str]:
    """Return the ids of all chunks that are in one of these packs."""
    return {blob.chunk for table in tables_of(repository) for blob in table.blobs}
