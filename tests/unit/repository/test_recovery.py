"""recover.py and recover.txt get into every new store, and a check says what is known of them."""

import ast
import os
import socket
from importlib.resources import files

import pytest

from backup.errors import RepositoryExists
from backup.repository import create, open_repository, recovery
from backup.repository.crypto import digest
from tests.memory_store import MemoryStore
from tests.saved import checked, content, plain, reopened, save
from tests.tars import END, header
from transports.errors import ConnectionLost
from transports.store.file import FileStore

HERE = {
    name: files("backup.repository.recovery").joinpath(name).read_bytes() for name in recovery.NAMES
}


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def link_in_a_circle(path):
    path.symlink_to(path)


def test_a_new_store_has_both():
    store = MemoryStore()
    plain(store)
    objects = store.objects

    assert {name: objects[name] for name in recovery.NAMES} == HERE
    assert list(objects)[-1] == "voltar.json"


def test_what_is_put_now_is_known():
    """Where this fails, add the new digest to KNOWN; one that was released stays."""
    assert {digest(data) for data in HERE.values()} <= recovery.KNOWN


def test_the_script_is_written_in_the_language_of_python_3_9():
    ast.parse(HERE["recover.py"], feature_version=(3, 9))


def test_a_check_of_a_new_repository_has_nothing_to_say():
    assert checked(plain(MemoryStore())).notes == []


def test_a_repository_without_them_is_whole():
    store = MemoryStore()
    repository = plain(store)
    saved = save(repository, [header(b"a") + END])
    for name in recovery.NAMES:
        store.delete(name)

    found = checked(repository)

    assert found.damages == []
    assert [note[:24] for note in found.notes] == [
        "there is no recover.py: ",
        "there is no recover.txt:",
    ]
    assert list(content(reopened(repository))) == [saved]


@pytest.mark.parametrize("name", recovery.NAMES)
def test_a_check_warns_of_one_that_was_changed(name):
    store = MemoryStore()
    repository = plain(store)
    store.objects[name] = store.objects[name].replace(b"password", b"passw0rd")

    found = checked(repository)

    (note,) = found.notes
    assert note.startswith(f"{name} is none that this voltar knows: do not run it")
    assert found.damages == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_socket, link_in_a_circle])
def test_a_check_warns_of_what_is_no_file(tmp_path, make):
    repository = plain(FileStore(tmp_path))
    save(repository, [END])
    (tmp_path / "recover.py").unlink()
    make(tmp_path / "recover.py")

    found = checked(repository)

    (note,) = found.notes
    assert note.startswith("recover.py is none that this voltar knows")
    assert (found.snapshots, found.damages) == (1, [])


def test_a_repository_is_not_made_around_the_script_of_somebody_else():
    store = MemoryStore()
    store.create()
    store.put("recover.py", b"import os")

    with pytest.raises(RepositoryExists, match=r"holds a recover\.py that no voltar") as refused:
        create(store, None)

    assert "out of the way" in str(refused.value.hint)
    assert store.objects == {"recover.py": b"import os"}


def test_what_a_dead_init_of_another_version_left_is_kept(monkeypatch):
    store = MemoryStore()
    store.create()
    store.put("recover.py", b"of another version")
    monkeypatch.setattr(recovery, "KNOWN", recovery.KNOWN | {digest(b"of another version")})

    create(store, None)

    assert store.objects["recover.py"] == b"of another version"
    assert store.objects["recover.txt"] == HERE["recover.txt"]


def test_two_that_make_a_repository_at_once_do_not_stumble_over_them(monkeypatch):
    store = MemoryStore()
    put = store.put

    def put_twice(name, data):
        put(name, data)
        if name in recovery.NAMES:
            put(name, data)

    monkeypatch.setattr(store, "put", put_twice)

    create(store, None)

    assert checked(open_repository(store, None)).notes == []


def test_a_store_that_fails_is_no_missing_script(monkeypatch):
    store = MemoryStore()
    repository = plain(store)

    def lost(*_):
        raise ConnectionLost("gone")

    monkeypatch.setattr(store, "get", lost)

    with pytest.raises(ConnectionLost):
        list(recovery.notes(repository.store))
