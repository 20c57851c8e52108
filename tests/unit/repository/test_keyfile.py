import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from backup.errors import IntegrityError, RepositoryError, UnsupportedFormat, WrongKey
from backup.repository import create, open_repository
from backup.repository.keyfile import unwrap, wrap
from tests.memory_store import MemoryStore
from tests.saved import NOW, PASSWORD, cheap_key, put_key, sealed

PROJECT = Path(__file__).parents[3]
MASTER = bytes(range(32))
WRAPPED = wrap(MASTER, PASSWORD, repository="1f", now=NOW)


def only_key(store):
    (name,) = [name for name in store.objects if name.startswith("keys/")]
    return name


@pytest.mark.parametrize("password", ["pässwörd", "bytes \udcff\udc80"])
def test_a_password_opens_what_it_wrapped(password):
    data = wrap(MASTER, password, repository="1f", now=NOW)

    assert unwrap(data, password, repository="1f") == MASTER


def test_nothing_else_opens_it():
    assert unwrap(WRAPPED, PASSWORD + " ", repository="1f") is None
    assert unwrap(WRAPPED, PASSWORD, repository="2f") is None


def test_a_key_object_is_made_by_the_parameters_of_the_format():
    data = msgspec.json.decode(WRAPPED)

    assert {**data["derivation"], "salt": ""} == {
        "algorithm": "argon2id",
        "iterations": 3,
        "lanes": 4,
        "memory_kib": 65536,
        "salt": "",
    }
    assert len(bytes.fromhex(data["derivation"]["salt"])) == 32
    assert len(bytes.fromhex(data["nonce"])) == 12
    assert len(bytes.fromhex(data["wrapped"])) == 32 + 16
    assert data["version"] == 1


def test_neither_password_nor_key_can_be_read_in_a_key_object():
    assert MASTER.hex().encode() not in WRAPPED
    assert PASSWORD.encode() not in WRAPPED


def test_keys_made_by_the_book_open_a_repository():
    store = MemoryStore()
    repository = sealed(store)

    assert open_repository(store, PASSWORD).descriptor == repository.descriptor


def test_a_wrong_password_is_told():
    store = MemoryStore()
    sealed(store)

    with pytest.raises(WrongKey, match="the password opens no key"):
        open_repository(store, "wrong")


def test_no_password_for_an_encrypted_repository_is_told():
    store = MemoryStore()
    sealed(store)

    with pytest.raises(WrongKey, match="is encrypted, and no password was given"):
        open_repository(store, None)


@pytest.mark.parametrize("password", ["x", ""])
def test_a_password_for_an_unencrypted_repository_is_refused(password):
    store = MemoryStore()
    create(store, None)

    with pytest.raises(WrongKey, match="not encrypted, and a password was given"):
        open_repository(store, password)


def test_any_of_several_passwords_opens():
    store = MemoryStore()
    repository = sealed(store)
    put_key(store, cheap_key(repository, "second"))

    assert open_repository(store, PASSWORD).keys.descriptor_key == repository.keys.descriptor_key
    assert open_repository(store, "second").keys.descriptor_key == repository.keys.descriptor_key


def test_a_damaged_key_keeps_no_other_from_opening():
    store = MemoryStore()
    repository = sealed(store)
    name = put_key(store, cheap_key(repository, "second"))
    store.objects[name] = store.objects[name][:-1]

    open_repository(store, PASSWORD)

    with pytest.raises(IntegrityError, match="is damaged, and no other key has this password"):
        open_repository(store, "second")


def test_the_only_key_damaged_is_no_wrong_password():
    store = MemoryStore()
    sealed(store)
    name = only_key(store)
    store.objects[name] = store.objects[name].replace(b"argon2id", b"argon2i ")

    with pytest.raises(IntegrityError):
        open_repository(store, PASSWORD)


def test_without_any_key_the_password_opens_none():
    store = MemoryStore()
    sealed(store)
    store.delete(only_key(store))

    with pytest.raises(WrongKey):
        open_repository(store, PASSWORD)


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": (1 << 20) + 1},
        {"memory_kib": 1 << 40},
        {"memory_kib": 7},
        {"memory_kib": 0},
        {"memory_kib": -1},
        {"iterations": 65},
        {"iterations": 0},
        {"iterations": -1},
        {"iterations": 1 << 70},
        {"lanes": 65},
        {"lanes": 0},
        {"salt": ""},
        {"salt": "00"},
        {"salt": "no hex"},
        {"nonce": ""},
        {"nonce": "00"},
        {"nonce": "00" * 129},
        {"nonce": "no hex"},
        {"wrapped": ""},
        {"wrapped": "00"},
        {"wrapped": "no hex"},
        {"created": "yesterday"},
    ],
    ids=str,
)
def test_impossible_keys_are_refused_at_once(change):
    """Each has the name that belongs to it: somebody with access to the store put it there."""
    store = MemoryStore()
    repository = sealed(store)
    store.delete(only_key(store))
    put_key(store, cheap_key(repository, PASSWORD, **change))
    started = time.monotonic()

    with pytest.raises((IntegrityError, WrongKey)):
        open_repository(store, PASSWORD)

    assert time.monotonic() - started < 2


def test_the_most_that_a_key_may_ask_for_takes_seconds():
    """Whoever can write to the store chooses these numbers."""
    store = MemoryStore()
    repository = sealed(store)
    data = cheap_key(repository, PASSWORD, memory_kib=1 << 20, iterations=64, lanes=64)
    script = (
        "import sys; from backup.errors import IntegrityError; "
        "from backup.repository.keyfile import unwrap\n"
        "try: unwrap(sys.stdin.buffer.read(), 'x', repository='1f')\n"
        "except IntegrityError: pass"
    )

    subprocess.run([sys.executable, "-c", script], input=data, cwd=PROJECT, check=True, timeout=4)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"created": 1}'], ids=str)
def test_what_is_no_key_object_is_refused(data):
    with pytest.raises(IntegrityError, match="a key object is damaged"):
        unwrap(data, PASSWORD, repository="1f")


@pytest.mark.parametrize("change", [{"algorithm": "argon3"}, {"version": 2}], ids=str)
def test_a_key_of_a_later_voltar_is_said_to_be_one(change):
    store = MemoryStore()
    repository = sealed(store)
    store.delete(only_key(store))
    put_key(store, cheap_key(repository, PASSWORD, **change))

    with pytest.raises(UnsupportedFormat):
        open_repository(store, PASSWORD)


@pytest.mark.parametrize(
    "stray", [{"algorithm": "argon3"}, {"memory_kib": 1 << 40}, {"nonce": "00"}], ids=str
)
def test_a_key_that_cannot_be_used_keeps_no_other_from_opening(stray):
    store = MemoryStore()
    repository = sealed(store)
    good = only_key(store)
    put_key(store, cheap_key(repository, "x", **stray))
    # the stray one comes first
    store.objects[good] = store.objects.pop(good)

    assert open_repository(store, PASSWORD).keys.sealed


def test_parameters_are_authenticated():
    store = MemoryStore()
    repository = sealed(store)
    store.delete(only_key(store))
    put_key(store, cheap_key(repository, PASSWORD, created="2026-11-25T03:00:01Z"))

    with pytest.raises(WrongKey):
        open_repository(store, PASSWORD)


def test_a_key_of_another_repository_does_not_open_this_one():
    store, other = MemoryStore(), MemoryStore()
    sealed(store)
    sealed(other, 1)
    store.delete(only_key(store))
    store.put(only_key(other), other.get(only_key(other)))

    with pytest.raises(RepositoryError):
        open_repository(store, PASSWORD)
