"""What a store in a directory promises beyond what all stores do."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transports.errors import (
    ObjectExists,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    TransportError,
    Unreadable,
)
from transports.store.file import FileStore

PROJECT = Path(__file__).parents[3]
NOBODY = 65534
LINKLESS = Path(__file__).with_name("seccomp.py")
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts, or becomes another user: root only"
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(directory):
    store = FileStore(directory)
    store.create()
    return store


@pytest.fixture
def small(tmp_path):
    """A file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def files(directory):
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def as_nobody(script, *arguments):
    """Run a script as a user who may do nothing special; return what it prints."""
    preamble = f"""
import os, sys
from pathlib import Path
from transports.errors import *
from transports.store.file import FileStore
os.setegid({NOBODY}); os.seteuid({NOBODY})
directory = Path(sys.argv[1])
store = FileStore(directory)
def told(act, *arguments):
    try:
        return act(*arguments)
    except TransportError as error:
        return f"{{type(error).__name__}} {{error}} | {{error.hint}}"
"""
    done = subprocess.run(
        [sys.executable, "-c", preamble + script, *map(str, arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(PROJECT)},
    )
    assert not done.stderr
    return done.stdout


def reachable(path):
    """Let everybody enter the directories above a path."""
    for parent in path.parents:
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def test_only_the_owner_can_look_into_a_store(store, directory):
    store.put("packs/a", b"x")

    assert {
        (p.name, oct(p.stat().st_mode & 0o7777)) for p in (directory, *directory.rglob("*"))
    } == {
        ("store", "0o700"),
        ("tmp", "0o700"),
        ("packs", "0o700"),
        ("a", "0o600"),
    }


def test_a_directory_that_is_there_keeps_its_mode(directory):
    directory.mkdir(mode=0o750)

    FileStore(directory).create()

    assert directory.stat().st_mode & 0o777 == 0o750


def test_directories_above_are_made_too(tmp_path):
    store = FileStore(tmp_path / "a" / "b" / "c")

    store.create()
    store.put("packs/a", b"x")

    assert store.get("packs/a") == b"x"


def test_a_file_in_place_of_the_directory_is_a_clear_error(tmp_path):
    (tmp_path / "store").write_text("x")

    with pytest.raises(TransportError, match=r"cannot create the directory .*/store: File exists"):
        FileStore(tmp_path / "store").create()


def test_the_url_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert FileStore(Path("x")).url == f"file:{tmp_path}/x"


def test_nothing_but_the_object_is_left(store, directory):
    store.put("packs/a", b"x")
    store.put("packs/a", b"x")
    with pytest.raises(ObjectExists):
        store.put("packs/a", b"y")

    assert files(directory) == ["packs/a"]


def test_a_listing_shows_no_temporary_files_and_no_directories(store, directory):
    store.put("packs/a", b"x")
    (directory / "tmp" / "packs-b.1.torn").write_bytes(b"x")
    (directory / "packs" / "lost+found").mkdir()

    assert [info.name for info in store.list("packs")] == ["packs/a"]


@pytest.mark.parametrize(
    "stray", [".DS_Store", ".nfs0000000000c1", "Thumbs.db", ".a.Xb3Kq1", "a~", "a b"]
)
def test_a_listing_shows_no_files_that_cannot_be_objects(store, directory, stray):
    store.put("packs/a", b"x")
    (directory / "packs" / stray).write_bytes(b"x")

    assert [info.name for info in store.list("packs")] == ["packs/a"]


def test_symbolic_links_are_no_objects(store, directory):
    store.put("packs/a", b"x")
    (directory / "packs" / "b").symlink_to("a")

    assert [info.name for info in store.list("packs")] == ["packs/a"]


def test_temporary_files_that_are_a_day_old_are_swept_by_the_first_put(store, directory):
    store.put("packs/a", b"x")
    stale, fresh = (directory / "tmp" / name for name in ("packs-b.1.00", "packs-c.1.00"))
    for path in (stale, fresh):
        path.write_bytes(b"x")
    day_ago = time.time() - 24 * 3600 - 60
    os.utime(stale, (day_ago, day_ago))

    FileStore(directory).put("packs/d", b"x")

    assert files(directory) == ["packs/a", "packs/d", "tmp/packs-c.1.00"]


@needs_root
def test_a_full_disk_is_said_to_be_full_and_leaves_nothing(small):
    store = FileStore(small / "store")
    store.create()
    store.put("packs/a", bytes(400_000))

    message = r"cannot store packs/b in .*: No space left on device"
    with pytest.raises(OutOfSpace, match=message) as raised:
        store.put("packs/b", bytes(1_000_000))

    assert "`voltar prune`" in (raised.value.hint or "")
    assert files(small) == ["store/packs/a"]
    store.put("packs/c", bytes(400_000))
    assert store.stat("packs/c").size == 400_000


@needs_root
def test_a_disk_without_inodes_is_full_too(small):
    subprocess.run(["mount", "-o", "remount,nr_inodes=3", small], check=True)
    store = FileStore(small / "store")
    store.create()

    with pytest.raises(OutOfSpace):
        store.put("packs/a", b"x")

    assert files(small) == []


def test_a_file_that_is_too_large_for_the_file_system_is_out_of_space(store, directory):
    script = "\n".join(
        [
            "import resource, signal, sys",
            "from pathlib import Path",
            "from transports.errors import OutOfSpace",
            "from transports.store.file import FileStore",
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))",
            "try: FileStore(Path(sys.argv[1])).put('packs/a', bytes(5000))",
            "except OutOfSpace: print('out of space')",
        ]
    )

    done = subprocess.run(
        [sys.executable, "-c", script, directory], cwd=PROJECT, capture_output=True, check=False
    )

    assert (done.stdout, done.stderr) == (b"out of space\n", b"")
    assert files(directory) == []


@needs_root
def test_a_read_only_disk_is_a_clear_error(small):
    store = FileStore(small / "store")
    store.create()
    store.put("packs/a", b"x")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)

    with pytest.raises(TransportError, match=r"cannot store packs/b .*: Read-only file system"):
        store.put("packs/b", b"x")
    with pytest.raises(TransportError, match=r"cannot delete packs/a .*: Read-only file system"):
        store.delete("packs/a")

    assert store.get("packs/a") == b"x"


def test_a_disk_that_is_not_mounted_gets_no_objects(store, directory, tmp_path):
    store.put("packs/a", b"x")
    directory.rename(tmp_path / "elsewhere")

    with pytest.raises(Refused, match="the directory is not there") as refused:
        store.put("packs/b", b"x")

    assert "mounted" in str(refused.value.hint)
    assert not directory.exists()
    assert list(store.list("packs")) == []
    with pytest.raises(ObjectNotFound):
        store.get("packs/a")


def test_a_directory_in_place_of_an_object_is_a_clear_error(store, directory):
    (directory / "packs" / "a").mkdir(parents=True)

    with pytest.raises(TransportError, match=r"cannot read packs/a in .*: Is a directory"):
        store.get("packs/a")


@needs_root
def test_a_stranger_is_refused_and_told_what_to_do(store, directory):
    store.put("packs/a", b"x")
    reachable(directory)
    script = """
print(told(store.get, "packs/a"))
print(told(store.stat, "packs/a"))
print(told(lambda: list(store.list("packs"))))
print(told(store.put, "packs/b", b"x"))
print(told(store.delete, "packs/a"))
print(told(FileStore(directory / "sub").create))
"""

    lines = as_nobody(script, directory).splitlines()

    assert len(lines) == 6
    assert all(line.startswith("Refused cannot ") for line in lines)
    assert all("permission denied | run voltar as the directory's owner" in line for line in lines)


@needs_root
def test_who_may_read_and_not_write_can_read(store, directory):
    store.put("packs/a", b"content")
    reachable(directory)
    for path in (directory, directory / "packs", directory / "tmp"):
        path.chmod(0o755)
    (directory / "packs" / "a").chmod(0o644)
    script = """
print(store.get("packs/a").decode(), [info.name for info in store.list("packs")])
print(told(store.put, "packs/b", b"x").split(":")[0])
"""

    read, refused = as_nobody(script, directory).splitlines()

    assert read == "content ['packs/a']"
    assert refused == f"Refused cannot store packs/b in {directory}"


@needs_root
def test_a_store_can_be_made_below_a_directory_that_one_may_enter_and_not_list(tmp_path):
    reachable(tmp_path / "x")
    above = tmp_path / "above"
    above.mkdir(mode=0o711)
    above.chmod(0o711)
    own = above / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)

    script = "print(told(store.create)); print(told(store.put, 'packs/a', b'x'))"

    assert as_nobody(script, own) == "None\nNone\n"


@pytest.mark.parametrize(
    "number",
    [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS],
    ids=["EPERM", "EOPNOTSUPP", "EMLINK", "ENOSYS"],
)
def test_without_hard_links_objects_are_stored_and_never_replaced(directory, store, number):
    def put(name, text):
        command = [sys.executable, LINKLESS, str(number), directory, name, text]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(PROJECT)}
        )
        assert not done.stderr
        return done.stdout

    assert put("packs/a", "content") == "stored\n"
    assert put("packs/a", "content") == "stored\n"
    assert put("packs/a", "others!") == "ObjectExists\n"

    assert store.get("packs/a") == b"content"
    assert files(directory) == ["packs/a"]


def test_another_error_of_a_link_is_not_taken_for_their_absence(directory, store):
    command = [sys.executable, LINKLESS, str(errno.EIO), directory, "packs/a", "x"]

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(PROJECT)}
    )

    assert (done.stdout, done.stderr) == ("TransportError\n", "")
    assert files(directory) == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_an_object_is_on_the_disk_before_its_name_is(store, directory, tmp_path):
    log = tmp_path / "calls"
    script = (
        "import sys; from pathlib import Path; from transports.store.file import FileStore; "
        "FileStore(Path(sys.argv[1])).put('packs/a', b'x')"
    )
    store.put("packs/first", b"x")
    calls = "trace=fsync,linkat,link,openat,unlink,unlinkat"

    subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", log, sys.executable, "-c", script, directory],
        cwd=PROJECT,
        check=True,
    )

    lines = [line for line in log.read_text().splitlines() if str(directory) in line]
    acts = [line.split("(")[0].split()[-1] for line in lines if "O_DIRECTORY" not in line]
    assert acts == ["openat", "fsync", "linkat", "unlink", "fsync"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_and_is_no_failure_of_the_store(store, directory, make):
    store.put("packs/a", b"x")
    make(directory / "packs" / "b")

    with pytest.raises(Unreadable, match="packs/b"):
        store.get("packs/b")


def test_a_file_that_is_larger_than_memory_cannot_be_read(store, directory):
    store.put("packs/a", b"small")
    os.truncate(directory / "packs/a", 1 << 42)

    with pytest.raises(Unreadable, match=r"packs/a .*: it is too large for memory"):
        store.get("packs/a")
