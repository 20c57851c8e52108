"""A store over SFTP when something goes wrong: full, cut off, not allowed, not SFTP."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backup.report import ignore
from backup.repository import open_repository
from backup.repository.check import check
from tests.saved import plain, save
from tests.tars import END
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd
from transports.errors import ConnectionLost, OutOfSpace, Refused, TransportError, Unreadable
from transports.ssh import Options
from transports.store import Settings, open_store
from transports.store.file import FileStore
from transports.store.protocol import WriteOnce
from transports.store.sftp import SftpStore

Start = Callable[..., Sshd]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[..., SftpStore]]:
    made: list[SftpStore] = []

    def make(host: Sshd, directory: str = "store", **more: Any) -> SftpStore:
        config = host.config_for(tmp_path)
        made.append(SftpStore("ssh://far", directory, Options(config=config, **more)))
        return made[-1]

    yield make
    for store in made:
        store.close()


def test_a_location_leads_to_a_directory_below_the_home(start_sshd: Start, tmp_path):
    host = start_sshd()
    told = Settings(ssh=Options(config=host.config_for(tmp_path)))
    store = open_store("sftp://far/~/a/b", told)
    store.create()

    store.put("packs/a", b"content")

    assert (host.far.home / "a/b/packs/a").read_bytes() == b"content"
    assert store.url == "sftp://far/~/a/b"
    assert open_store(f"sftp://far{host.far.home}/a/b", told).get("packs/a") == b"content"
    store.close()


@pytest.mark.parametrize("directory", ["file", "file/below"])
def test_a_file_in_the_place_of_the_directory_is_said_so(start_sshd: Start, stores, directory):
    host = start_sshd()
    (host.far.home / "file").write_text("a file")

    with pytest.raises(TransportError, match=r"cannot make the directory .*: file is no directory"):
        stores(host, directory).create()


@pytest.mark.parametrize("location", ["sftp://far", "sftp:far/x", "sftp://u:p@far/x", "sftp:///x"])
def test_what_is_no_location_is_said_so(location):
    with pytest.raises(Refused, match=r"sftp|address|password|host"):
        open_store(location)


def test_openssh_client_carries_a_store(start_sshd: Start, stores):
    store = stores(start_sshd(), binary="ssh")
    store.create()
    data = bytes(range(256)) * 40_000

    store.put("packs/a", data)

    assert store.get("packs/a") == data
    assert store.get("packs/a", 1000, 5_000_000) == data[1000:5_001_000]
    assert store.write_once is WriteOnce.KEPT


def test_a_full_disk_is_told_apart(start_sshd: Start, stores):
    host = start_sshd()
    place = host.far.home / "small"
    place.mkdir()
    inside = ["nsenter", "--all", "--target", str(host.far.init)]
    options = f"size=8m,mode=777,uid={host.far.uid}"
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    store = stores(host, "small/store")
    store.create()
    store.put("packs/a", bytes(1 << 20))

    with pytest.raises(OutOfSpace, match="no space is left"):
        store.put("packs/b", bytes(16 << 20))

    assert [info.name for info in store.list("packs")] == ["packs/a"]
    seen = subprocess.run([*inside, "ls", place / "store/tmp"], capture_output=True, check=True)
    assert seen.stdout == b""
    store.put("packs/c", bytes(1 << 20))


def test_more_calls_at_once_than_sshd_allows_sessions_succeed(start_sshd: Start, stores):
    store = stores(start_sshd())
    store.create()
    data = os.urandom(2 << 20)
    store.put("packs/a", data)
    together = threading.Barrier(16)

    def read(_number):
        together.wait(30)
        return store.get("packs/a")

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(read, range(16))) == {data}


def test_a_repository_of_many_snapshots_is_sound(start_sshd: Start, stores):
    host = start_sshd()
    made = plain(FileStore(host.far.home / "store"))
    for number in range(60):
        save(made, [END], number=number)
    host.far.give(host.far.home / "store")

    found = check(open_repository(stores(host), None), ignore)

    assert (found.snapshots, found.damages) == (60, [])


def test_after_a_lost_link_the_next_call_connects_anew(start_sshd: Start, stores):
    host = start_sshd()
    store = stores(host)
    store.create()
    store.put("packs/a", b"content")

    host.kill_sessions()

    with pytest.raises(ConnectionLost, match="far"):
        store.get("packs/a")
    assert store.get("packs/a") == b"content"


def test_what_a_cut_put_left_is_no_object(start_sshd: Start, stores):
    host = start_sshd()
    store = stores(host)
    store.create()
    killer = threading.Timer(0.15, host.kill_sessions)
    killer.start()

    with pytest.raises(ConnectionLost):
        for number in range(1000):
            store.put(f"packs/{number}", bytes(8 << 20))
    killer.join()

    assert {info.size for info in store.list("packs")} <= {8 << 20}


def test_a_directory_of_somebody_else_is_refused(start_sshd: Start, stores):
    store = stores(start_sshd(), "/root/store")

    with pytest.raises((Refused, TransportError), match=r"cannot make the directory /root/store"):
        store.create()


def test_a_shell_that_prints_into_sftp_is_said_so(start_sshd: Start, stores):
    host = start_sshd(account=Account(bashrc="echo Welcome, and read the rules"))
    sshd_config = (host.directory / "sshd_config").read_text()
    external = sshd_config.replace("internal-sftp", "/usr/lib/openssh/sftp-server")
    (host.directory / "sshd_config").write_text(external)

    with pytest.raises(Refused, match="is no SFTP") as refused:
        stores(host).create()

    assert "internal-sftp" in (refused.value.hint or "")


def test_a_server_without_sftp_is_said_so(start_sshd: Start, stores):
    host = start_sshd()
    config = host.directory / "sshd_config"
    lines = [line for line in config.read_text().splitlines() if "Subsystem" not in line]
    config.write_text("\n".join(lines) + "\n")

    with pytest.raises(Refused, match="does not offer SFTP"):
        stores(host).create()


def test_a_listing_is_not_stopped_by_what_is_no_object(start_sshd: Start, stores):
    host = start_sshd()
    store = stores(host)
    store.create()
    store.put("packs/a", b"content")
    (host.far.home / "store/packs/Not-One").write_text("x")
    (host.far.home / "store/packs/directory").mkdir()

    assert [info.name for info in store.list("packs")] == ["packs/a"]


def test_a_file_that_is_larger_than_any_object_is_not_read(start_sshd: Start, stores):
    host = start_sshd()
    store = stores(host)
    store.create()
    store.put("packs/a", b"small")
    os.truncate(host.far.home / "store/packs/a", 1 << 42)

    with pytest.raises(Unreadable, match=r"packs/a .*: it is too large for an object"):
        store.get("packs/a")
