"""Tar files on the host, and what may be wrong with them."""

import gzip
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from backup.archive import ArchiveError, Form, form_of, import_file, write_file, write_stream
from backup.errors import BackupError, IntegrityError, UnsafeArchive, UsageError
from backup.members import archive
from backup.report import Advanced, Event, Finished, Started, ignore
from backup.tar.split import MalformedArchive, TruncatedArchive
from tests.memory_store import MemoryStore
from tests.saved import plain, reopened
from tests.tars import END, extended, header, noise, padded

PROJECT = Path(__file__).parents[2]
LINKLESS = platform.machine() in ("x86_64", "aarch64")
TAR = header(b"d/", b"5") + header(b"d/a", size=5) + padded(b"hello") + END
PACKED = {
    "tar": TAR,
    "gzip": gzip.compress(TAR),
    "gzip in two parts": gzip.compress(TAR[:700]) + gzip.compress(TAR[700:]),
    "zstd": zstandard.ZstdCompressor().compress(TAR),
    "zstd without a size": zstandard.ZstdCompressor(write_content_size=False).compress(TAR),
    "zstd in two frames": zstandard.compress(TAR[:700]) + zstandard.compress(TAR[700:]),
    "zstd of pzstd": b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(TAR),
}


def imported(path, repository=None, on_event=ignore):
    repository = repository or plain(MemoryStore())
    return import_file(
        repository, path, "volume:v", host="h", run="r", program="test", on_event=on_event
    )


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.tar", Form.TAR),
        ("A.TAR", Form.TAR),
        ("a.tar.gz", Form.GZIP),
        ("a.tgz", Form.GZIP),
        ("a.b.tar.zst", Form.ZSTD),
        ("a.tzst", Form.ZSTD),
        ("a.tar.zstd", Form.ZSTD),
    ],
)
def test_a_name_says_the_form(name, form):
    assert form_of(Path("/x") / name) is form


@pytest.mark.parametrize("name", ["a", "tar", "a.gz", "a.zst", "a.tar.xz", "a.tar.bz2", "a.zip"])
def test_other_names_are_refused_with_a_way_out(name):
    with pytest.raises(UsageError, match="has no ending that says") as refused:
        form_of(Path(name))

    assert "--format" in str(refused.value.hint)


@pytest.mark.parametrize("form", Form)
def test_what_was_written_can_be_read_by_the_usual_program(tmp_path, form):
    path = tmp_path / "x"
    content = TAR + noise(300_000)

    write_file([content[:1000], memoryview(content)[1000:]], path, form)

    unpack = {Form.TAR: ["cat"], Form.GZIP: ["gzip", "-dc"], Form.ZSTD: ["zstd", "-dcq"]}[form]
    done = subprocess.run([*unpack, path], capture_output=True, check=True)
    assert done.stdout == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_gzip_files_of_the_same_are_the_same(tmp_path):
    for name in ("a", "b"):
        write_file([TAR], tmp_path / name, Form.GZIP)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_existing_file_is_never_replaced(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(b"mine")

    with pytest.raises(UsageError, match="exists, and an export replaces nothing"):
        write_file([TAR], path, Form.TAR)

    assert path.read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar"]


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "x.tar"

    def blocks():
        yield TAR
        path.write_bytes(b"mine")

    with pytest.raises(UsageError):
        write_file(blocks(), path, Form.TAR)

    assert path.read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("form", Form)
def test_an_export_that_fails_leaves_no_file(tmp_path, form):
    def blocks():
        yield TAR
        raise IntegrityError("damaged")

    with pytest.raises(IntegrityError):
        write_file(blocks(), tmp_path / "x.tar", form)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["missing/x.tar", "file/x.tar", "n" * 300 + ".tar"], ids=len)
def test_a_place_that_cannot_be_is_a_clear_error(tmp_path, path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(ArchiveError, match=f"^cannot write {tmp_path}"):
        write_file([TAR], tmp_path / path, Form.TAR)

    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".tar")

    write_file([TAR], path, Form.TAR)

    assert path.read_bytes() == TAR


@pytest.mark.skipif(not LINKLESS, reason="no seccomp on this machine's processor")
def test_a_file_system_without_hard_links_can_be_written_to(tmp_path):
    """A USB stick is FAT."""
    script = (
        "import errno, sys; from pathlib import Path; from tests.unit.transports import seccomp; "
        "from backup.archive import Form, write_file; seccomp.forbid_links(errno.EPERM); "
        "write_file([b'tar'], Path(sys.argv[1]), Form.TAR)"
    )

    subprocess.run([sys.executable, "-c", script, tmp_path / "x.tar"], cwd=PROJECT, check=True)

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.tar", b"tar")]


def test_a_full_disk_is_a_clear_error():
    with pytest.raises((ArchiveError, OSError)), Path("/dev/full").open("wb", buffering=0) as file:
        write_stream([TAR], file, Form.TAR)


@pytest.mark.parametrize("form", PACKED)
def test_a_tar_file_becomes_a_snapshot(tmp_path, form):
    path = tmp_path / "x"
    path.write_bytes(PACKED[form])
    repository = plain(MemoryStore())

    snapshot_id, snapshot = imported(path, repository)

    again = reopened(repository)
    assert b"".join(archive(again, again.snapshot(snapshot_id))) == TAR
    assert snapshot.imported
    assert (snapshot.source, snapshot.host, snapshot.program) == ("volume:v", "h", "test")
    counts = snapshot.statistics
    assert (counts.entries, counts.files, counts.size) == (2, 1, 5)
    assert counts.stored > 0


def test_progress_is_told(tmp_path):
    (tmp_path / "x").write_bytes(TAR)
    events: list[Event] = []

    imported(tmp_path / "x", on_event=events.append)

    assert events[0] == Started("import", str(tmp_path / "x"))
    assert events[-1] == Finished("import", str(tmp_path / "x"))
    assert Advanced(5, 1) in events


@pytest.mark.parametrize("data", [PACKED["tar"], PACKED["gzip"], PACKED["zstd"]], ids=len)
def test_a_pipe_can_be_imported(data):
    script = (
        "from tests.unit.test_archive import imported; print(imported(None)[1].statistics.entries)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, cwd=PROJECT, check=True
    )

    assert done.stdout == b"2\n"


DAMAGED = {
    "empty": b"",
    "no tar": b"hello, this is not a tar file" * 40,
    "no end": TAR[:1536],
    "cut off": TAR[:1200],
    "gzip cut off": PACKED["gzip"][:-12],
    "gzip without its sum": PACKED["gzip"][:-8],
    "gzip, a byte changed": PACKED["gzip"][:30] + b"\xff\xff\xff" + PACKED["gzip"][33:],
    "gzip, sum changed": PACKED["gzip"][:-8] + b"\0" * 4 + PACKED["gzip"][-4:],
    "gzip, nothing more": b"\x1f\x8b",
    "gzip, rubbish behind": PACKED["gzip"] + b"rubbish",
    "zstd cut off": PACKED["zstd"][:-20],
    "zstd, a byte changed": PACKED["zstd"][:20] + b"\xff" * 9 + PACKED["zstd"][29:],
    "zstd, nothing more": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\0" + bytes(600),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_make_no_snapshot_and_a_clear_error(tmp_path, name):
    (tmp_path / "x").write_bytes(DAMAGED[name])
    store = MemoryStore()

    with pytest.raises((ArchiveError, TruncatedArchive, MalformedArchive)):
        imported(tmp_path / "x", plain(store))

    assert list(store.list("snapshots")) == []


def test_no_changed_byte_of_a_gzip_file_is_a_bug(tmp_path):
    data = PACKED["gzip"]
    repository = plain(MemoryStore())

    for at in range(10, len(data)):
        (tmp_path / "x").write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        with pytest.raises(BackupError):
            imported(tmp_path / "x", repository)


def test_files_that_are_not_there_or_none_are_clear_errors(tmp_path):
    with pytest.raises(ArchiveError, match=r"cannot read .*missing: No such file"):
        imported(tmp_path / "missing")
    with pytest.raises(ArchiveError, match=r"cannot read .*: Is a directory"):
        imported(tmp_path)


def test_archives_that_rename_by_a_global_header_are_refused(tmp_path):
    shared = extended((b"path", b"../../etc/passwd"), kind=b"g")
    (tmp_path / "x").write_bytes(shared + TAR)
    store = MemoryStore()

    with pytest.raises(UnsafeArchive):
        imported(tmp_path / "x", plain(store))

    assert list(store.list("snapshots")) == []


def test_exported_files_can_be_imported(tmp_path):
    for form in Form:
        path = tmp_path / f"x{form.value}"
        write_file([TAR], path, form)
        assert imported(path)[1].statistics.entries == 2
