"""The store fails at every single call of a change of keys: one of the passwords still opens it."""

import sys
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from backup.errors import Protected, WrongKey
from backup.repository import Repository, open_repository
from backup.repository.keyring import add, change, keys, remove
from tests.faults import (
    Fault,
    FaultyStore,
    assert_no_temporary_file_stays,
    dying,
    killed_at,
)
from tests.saved import NOW, PASSWORD, derive_cheaply, sealed
from transports.errors import TransportError
from transports.store.file import FileStore

LATER = NOW + timedelta(days=1)
SECOND = "second"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    derive_cheaply(monkeypatch)


def opens(store: FileStore, password: str) -> bool:
    try:
        open_repository(store, password)
    except WrongKey:
        return False
    return True


def changed(repository: Repository) -> None:
    change(repository, SECOND, now=LATER)


def added(repository: Repository) -> None:
    add(repository, SECOND, now=LATER)


def removed(repository: Repository) -> None:
    (other,) = (key for key in keys(repository) if not key.current)
    remove(repository, other.id)


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.LOST_REPLY, Fault.TORN, Fault.FULL])
@pytest.mark.parametrize("act", [added, changed, removed], ids=lambda act: act.__name__)
def test_a_password_opens_it_wherever_the_store_fails(act, fault, tmp_path: Path):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        store = FileStore(directory)
        sealed(store)
        if act is removed:
            add(open_repository(store, PASSWORD), SECOND, now=LATER)
        opened = open_repository(store, PASSWORD)
        faulty = FaultyStore(store, fail_at, fault, directory)
        try:
            act(Repository(faulty, opened.descriptor, opened.keys, opened.opened_by))
        except (TransportError, Protected):
            assert opens(store, PASSWORD) or opens(store, SECOND)
            assert opens(store, PASSWORD) or act is changed
            again = open_repository(store, PASSWORD if opens(store, PASSWORD) else SECOND)
            if act is not removed or len(keys(again)) > 1:
                act(again)
        if not faulty.failed:
            break
    assert fail_at > 1
    assert opens(store, SECOND) is not (act is removed)
    assert opens(store, PASSWORD) is not (act is changed)


ACTS = {act.__name__: act for act in (added, changed, removed)}


@pytest.mark.parametrize("act", ACTS)
def test_a_password_opens_it_wherever_the_process_is_killed(act, tmp_path: Path):
    for fail_at in count(1):
        directory = tmp_path / str(fail_at)
        store = FileStore(directory)
        sealed(store)
        if act == "removed":
            add(open_repository(store, PASSWORD), SECOND, now=LATER)
        if not killed_at(fail_at, directory, "tests.fault.test_keys", act):
            break
        assert opens(store, PASSWORD)
        assert all(key.damaged is None for key in keys(open_repository(store, PASSWORD)))
        ACTS[act](open_repository(store, PASSWORD))
        assert opens(store, SECOND) is not (act == "removed")
        assert_no_temporary_file_stays(directory)

    assert fail_at == {"added": 2, "changed": 3, "removed": 2}[act]


if __name__ == "__main__":
    doomed, (act_name,) = dying(sys.argv)
    derive_cheaply(pytest.MonkeyPatch())
    ACTS[act_name](open_repository(doomed, PASSWORD))
