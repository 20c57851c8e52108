"""The store fails at every single call of a change of keys.

After each failure one of the passwords opens the repository, a check finds no damage, the snapshot
that was there reads back bit for bit, the same again succeeds, and no temporary file stays.
"""

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
from tests.saved import NOW, PASSWORD, checked, content, derive_cheaply, save, sealed
from tests.tars import END, header, padded
from transports.errors import TransportError
from transports.store.file import FileStore

LATER = NOW + timedelta(days=1)
SECOND = "second"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    derive_cheaply(monkeypatch)


TAR = header(b"a", size=7) + padded(b"earlier") + END


def kept(store: FileStore, act_name: str) -> None:
    """Make a repository with a snapshot, and with two keys where one is to be removed."""
    save(sealed(store), [TAR])
    if act_name == "removed":
        add(open_repository(store, PASSWORD), SECOND, now=LATER)


def assert_unharmed(repository: Repository) -> None:
    assert checked(repository).damages == []
    assert list(content(repository).values()) == [TAR]


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
        kept(store, act.__name__)
        opened = open_repository(store, PASSWORD)
        faulty = FaultyStore(store, fail_at, fault, directory)
        try:
            act(Repository(faulty, opened.descriptor, opened.keys, opened.opened_by))
        except (TransportError, Protected):
            assert opens(store, PASSWORD) or opens(store, SECOND)
            assert opens(store, PASSWORD) or act is changed
            again = open_repository(store, PASSWORD if opens(store, PASSWORD) else SECOND)
            assert_unharmed(again)
            if act is not removed or len(keys(again)) > 1:
                act(again)
            assert_unharmed(open_repository(store, PASSWORD if opens(store, PASSWORD) else SECOND))
            assert_no_temporary_file_stays(directory)
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
        kept(store, act)
        if not killed_at(fail_at, directory, "tests.fault.test_keys", act):
            break
        assert opens(store, PASSWORD)
        assert all(key.damaged is None for key in keys(open_repository(store, PASSWORD)))
        assert_unharmed(open_repository(store, PASSWORD))
        ACTS[act](open_repository(store, PASSWORD))
        assert opens(store, SECOND) is not (act == "removed")
        assert_no_temporary_file_stays(directory)

    assert fail_at == {"added": 2, "changed": 3, "removed": 2}[act]


if __name__ == "__main__":
    doomed, (act_name,) = dying(sys.argv)
    derive_cheaply(pytest.MonkeyPatch())
    ACTS[act_name](open_repository(doomed, PASSWORD))
