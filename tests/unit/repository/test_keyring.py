"""Several passwords, and never none."""

from datetime import timedelta

import pytest

from backup.errors import NoSuchKey, Protected, UsageError, WrongKey
from backup.repository import open_repository
from backup.repository.keyring import add, change, keys, remove
from tests.memory_store import MemoryStore
from tests.saved import NOW, PASSWORD, derive_cheaply, memory, plain, put_key, sealed
from transports.errors import Refused

LATER = NOW + timedelta(days=1)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    derive_cheaply(monkeypatch)


@pytest.fixture
def repository():
    store = MemoryStore()
    sealed(store)
    return open_repository(store, PASSWORD)


def opens(repository, password: str) -> bool:
    try:
        again = open_repository(repository.store, password)
    except WrongKey:
        return False
    return bool(again.keys.master == repository.keys.master)


def test_another_password_opens_the_same_repository(repository):
    key = add(repository, "second", now=LATER)

    assert opens(repository, "second")
    assert opens(repository, PASSWORD)
    found = keys(repository)
    assert [each.current for each in found] == [True, False]
    assert (found[1].id, found[1].created) == (key, LATER)


def test_a_removed_password_opens_nothing(repository):
    key = add(repository, "second", now=LATER)

    assert remove(repository, key[:6]) == key

    assert not opens(repository, "second")
    assert opens(repository, PASSWORD)


def test_the_key_in_use_cannot_be_removed(repository):
    add(repository, "second", now=LATER)
    (current,) = (key for key in keys(repository) if key.current)

    with pytest.raises(Protected, match="in use"):
        remove(repository, current.id)

    assert opens(repository, PASSWORD)


@pytest.mark.parametrize("prefix", ["", "zz", "0123456789"])
def test_a_key_that_is_not_there_is_told_of(repository, prefix):
    with pytest.raises(NoSuchKey):
        remove(repository, prefix)


def test_a_changed_password_replaces_the_one_in_use_and_no_other(repository):
    add(repository, "second", now=LATER)

    change(repository, "third", now=LATER)

    assert not opens(repository, PASSWORD)
    assert opens(repository, "second")
    assert opens(repository, "third")
    assert [key.current for key in keys(repository)].count(True) == 1


def test_two_who_remove_each_others_key_leave_one(repository, monkeypatch):
    key = add(repository, "second", now=LATER)
    other = open_repository(repository.store, "second")
    first = repository.opened_by
    store = memory(repository)
    delete = store.delete

    def both(name: str) -> None:
        delete(name)
        delete(f"keys/{first}")  # the other one's deletion arrives at the same moment

    monkeypatch.setattr(store, "delete", both)
    with pytest.raises(Protected, match="last"):
        remove(repository, key)

    assert opens(other, "second")


def test_damaged_keys_are_listed_and_do_not_count(repository):
    key = add(repository, "second", now=LATER)
    memory(repository).objects[f"keys/{key}"] = b"rubbish"

    found = keys(repository)

    assert [each.damaged is None for each in found] == [True, False]
    assert remove(repository, key) == key
    assert opens(repository, PASSWORD)


def test_a_key_of_a_later_version_is_none_that_can_be_used(repository):
    key = add(repository, "second", now=LATER)
    data = memory(repository).objects.pop(f"keys/{key}")
    put_key(repository.store, data.replace(b'"version":1', b'"version":2'))

    (_, later) = keys(repository)

    assert later.damaged == "a key object has the format version 2"


def test_a_repository_without_encryption_has_no_keys():
    repository = plain(MemoryStore())

    assert keys(repository) == []
    with pytest.raises(UsageError, match="not encrypted"):
        add(repository, "password", now=LATER)
    with pytest.raises(UsageError, match="not encrypted"):
        change(repository, "password", now=LATER)


def test_a_change_that_may_not_delete_says_which_passwords_open(repository, monkeypatch):
    def refuse(name: str) -> None:
        raise Refused(f"cannot delete {name}")

    monkeypatch.setattr(repository.store, "delete", refuse)
    old = repository.opened_by

    for _ in range(2):
        with pytest.raises(Refused) as caught:
            change(repository, "second", now=LATER)
        said = "the new password opens the repository already; the old one still does"
        assert caught.value.__notes__ == [said]
        assert f"voltar key remove {old[:10]}" in str(caught.value.hint)

    assert len(keys(repository)) == 2
    assert opens(repository, "second")
    assert opens(repository, PASSWORD)
