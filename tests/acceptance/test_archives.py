"""Snapshots leave as tar files that any tar reads, and tar files of any tar become snapshots."""

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import COMMAND, Voltar
from tests.acceptance.conftest import on
from tests.testbed.command import run
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch
from tests.testbed.walk import Facts, diff, snapshot

EXTRACT = ["tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-C"]
ENDINGS = ("tar", "tar.gz", "tar.zst")


def populate(root: bytes) -> None:
    """Make a tree that every tar format can hold: names, links, owners, modes, whole seconds."""
    os.makedirs(root + b"/directory/below")
    for number, name in enumerate(
        (b"a", b"directory/b", b"directory/below/c", b"-dash", b"sp ace")
    ):
        path = root + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"%d" % number * 700 * number)
        os.chown(path, number * 70, 65534)
        os.chmod(path, 0o640 + number)
        os.utime(path, ns=(0, (1_600_000_000 + number) * 10**9))
    os.symlink("../a", root + b"/directory/symlink")
    os.symlink("/nowhere", root + b"/dangling")
    os.link(root + b"/a", root + b"/directory/hard-link")
    os.mkfifo(root + b"/fifo")
    for name in (b"directory/below", b"directory", b""):
        os.utime(root + b"/" + name, ns=(0, 1_500_000_000 * 10**9))
    for name in (b"directory/symlink", b"dangling", b"fifo"):
        os.utime(root + b"/" + name, ns=(0, 1_400_000_000 * 10**9), follow_symlinks=False)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A repository with a snapshot of a volume; only to be read."""

    voltar: Voltar
    volume: str
    content: Mapping[bytes, Facts]

    @property
    def source(self) -> str:
        """Its name as a SNAPSHOT."""
        return f"volume:{self.volume}"


@pytest.fixture(scope="module")
def kept(engine: Engine, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A snapshot to export."""
    voltar = on(engine, made, tmp_path_factory.mktemp("kept"))
    with Scratch(engine) as scratch:
        volume = scratch.volume()
        root = os.fsencode(engine.volume_directory(volume))
        populate(root)
        os.setxattr(root + b"/a", "user.name", b"value")
        run(["setfacl", "-m", "u:70:rwx", os.fsdecode(root + b"/directory")])
        with open(root + b"/sparse", "wb") as sparse:
            sparse.truncate(64 << 20)
        Path(os.fsdecode(root + b"/large")).write_bytes(os.urandom(3 << 20))
        os.utime(root + b"/large", ns=(0, 1_700_000_000_123_456_789))
        voltar("backup", volume)
        yield Kept(voltar=voltar, volume=volume, content=snapshot(root))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with the tree of `populate`."""
    directory = tmp_path / "tree"
    directory.mkdir()
    populate(os.fsencode(directory))
    return directory


# --- export


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_exported_file_is_extracted_by_tar_to_just_what_was_there(
    kept: Kept, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "out").mkdir()

    kept.voltar("export", kept.source, "-o", tmp_path / f"x.{ending}")
    option = {"tar": [], "tar.gz": ["-z"], "tar.zst": ["--zstd"]}[ending]
    run([*EXTRACT, tmp_path / "out", *option, "-f", tmp_path / f"x.{ending}"])

    assert diff(kept.content, snapshot(tmp_path / "out")) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_export_to_a_pipe_is_the_same(kept: Kept, tmp_path: Path, ending: str) -> None:
    words = [] if ending == "tar" else ["--format", ending]
    unpack = {"tar": "cat", "tar.gz": "gzip -dc", "tar.zst": "zstd -dcq"}[ending]
    (tmp_path / "archive").write_bytes(kept.voltar("export", kept.source, *words).out)

    listed = run(["sh", "-c", f"{unpack} <{tmp_path}/archive | tar -tf -"]).decode()
    names = {os.path.normpath(line) for line in listed.splitlines()}

    assert names - {"."} == {path.decode() for path in kept.content} - {""}


def test_an_export_does_not_overwrite_a_file(kept: Kept, tmp_path: Path) -> None:
    target = tmp_path / "x.tar"
    target.write_bytes(b"precious")

    refused = kept.voltar("export", kept.source, "-o", target, code=(1, 2, 5))

    assert "x.tar" in refused.err
    assert target.read_bytes() == b"precious"


def test_an_export_to_where_it_cannot_write_is_a_clear_error(kept: Kept, tmp_path: Path) -> None:
    refused = kept.voltar("export", kept.source, "-o", tmp_path / "no" / "x.tar", code=(1, 2))

    assert str(tmp_path / "no") in refused.err


def test_an_export_whose_reader_goes_away_ends_quietly(kept: Kept) -> None:
    words = f"{COMMAND} export {kept.source} | tar -tf - | head -1"
    done = subprocess.run(
        ["bash", "-c", words],
        env=kept.voltar.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip()
    assert b"Traceback" not in done.stderr


def test_an_export_that_fails_leaves_no_half_file(
    voltar: Voltar, filled: Callable[..., str], tmp_path: Path
) -> None:
    assert voltar.repository is not None
    volume = filled({"large": os.urandom(3 << 20)})
    voltar("backup", volume)
    packs = [path for path in (voltar.repository / "packs").rglob("*") if path.is_file()]
    pack = max(packs, key=lambda path: path.stat().st_size)
    damaged = bytearray(pack.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(damaged)

    voltar("export", f"volume:{volume}", "-o", tmp_path / "x.tar.zst", code=4)

    assert [path.name for path in tmp_path.iterdir() if "x.tar" in path.name] == []


# --- import


def by_gnu_tar(form: str) -> Callable[[Path, Path], None]:
    def make(tree: Path, archive: Path) -> None:
        words = ["--numeric-owner", "--one-file-system", f"--format={form}"]
        run(["tar", "-C", tree, *words, "-cf", archive, "."])

    return make


def by_python(form: int) -> Callable[[Path, Path], None]:
    def make(tree: Path, archive: Path) -> None:
        with tarfile.open(archive, "w", format=form) as tar:
            tar.add(tree, ".")

    return make


def by_busybox(tree: Path, archive: Path) -> None:
    run(["busybox", "tar", "-C", tree, "-cf", archive, "."])


def by_bsdtar(form: str) -> Callable[[Path, Path], None]:
    def make(tree: Path, archive: Path) -> None:
        words = [f"--format={form}", "--numeric-owner"]
        run(["bsdtar", "-C", tree, *words, "-cf", archive, "."])

    return make


MAKERS: Mapping[str, Callable[[Path, Path], None]] = {
    "gnu-tar-posix": by_gnu_tar("posix"),
    "gnu-tar-gnu": by_gnu_tar("gnu"),
    "gnu-tar-ustar": by_gnu_tar("ustar"),
    "gnu-tar-oldgnu": by_gnu_tar("oldgnu"),
    "python-pax": by_python(tarfile.PAX_FORMAT),
    "python-gnu": by_python(tarfile.GNU_FORMAT),
    "python-ustar": by_python(tarfile.USTAR_FORMAT),
    "busybox": by_busybox,
    "bsdtar-pax": by_bsdtar("pax"),
    "bsdtar-ustar": by_bsdtar("ustar"),
    "bsdtar-gnutar": by_bsdtar("gnutar"),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS.keys())
def test_a_tar_of_any_maker_is_imported_and_restored(
    voltar: Voltar,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
    tree: Path,
    tmp_path: Path,
    maker: Callable[[Path, Path], None],
) -> None:
    maker(tree, tmp_path / "x.tar")
    target = fresh()

    told = voltar.summary("import", tmp_path / "x.tar", "--as", "volume:imported")
    voltar("restore", "volume:imported", "--to", target, "--verify=full")

    assert told["source"] == "volume:imported"
    assert diff(snapshot(tree), content(target)) == []


@pytest.mark.parametrize("packed", ["gzip -c", "zstd -qc", "cat"])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_packed_tars_are_imported_from_files_and_pipes(
    voltar: Voltar, tree: Path, tmp_path: Path, packed: str, way: str
) -> None:
    by_gnu_tar("posix")(tree, tmp_path / "plain")
    data = run(["sh", "-c", f"{packed} <{tmp_path}/plain"])
    ending = {"gzip -c": "tar.gz", "zstd -qc": "tar.zst", "cat": "tar"}[packed]
    (tmp_path / f"x.{ending}").write_bytes(data)

    if way == "file":
        voltar("import", tmp_path / f"x.{ending}", "--as", "volume:imported")
    else:
        voltar("import", "-", "--as", "volume:imported", stdin=data)
    listed = {entry["path"] for entry in voltar.ask("ls", "volume:imported")}

    assert listed - {""} == {path.decode() for path in snapshot(tree)} - {b"", ""}


def test_what_was_exported_is_imported_as_the_same(
    kept: Kept, fresh_module: Callable[[], str], engine: Engine, tmp_path: Path
) -> None:
    kept.voltar("export", kept.source, "-o", tmp_path / "x.tar.zst")
    target = fresh_module()

    kept.voltar("import", tmp_path / "x.tar.zst", "--as", "volume:twin")
    kept.voltar("restore", "volume:twin", "--to", target, "--verify=full")

    assert diff(kept.content, snapshot(engine.volume_directory(target))) == []


@pytest.fixture
def fresh_module(engine: Engine) -> Iterator[Callable[[], str]]:
    """Names of volumes on the shared engine."""
    with Scratch(engine) as scratch:

        def fresh() -> str:
            name = scratch.name("twin")
            scratch.claim(volumes=[name])
            return name

        yield fresh


def test_an_archive_with_a_comment_and_two_archives_in_one_gzip_stream_are_read(
    voltar: Voltar, tree: Path, tmp_path: Path
) -> None:
    by_gnu_tar("posix")(tree, tmp_path / "plain")
    plain = (tmp_path / "plain").read_bytes()
    half = len(plain) // 2
    packed = gzip.compress(plain[:half]) + gzip.compress(plain[half:])
    (tmp_path / "x.tar.gz").write_bytes(packed)

    voltar("import", tmp_path / "x.tar.gz", "--as", "volume:imported")

    assert len(voltar.ask("ls", "volume:imported")) == len(snapshot(tree))


def small_tar() -> bytes:
    """A tar with two files of several blocks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("first", "second"):
            member = tarfile.TarInfo(name)
            member.size = 3000
            member.pax_headers = {"comment": "x" * 100}
            tar.addfile(member, io.BytesIO(b"z" * 3000))
    return buffer.getvalue()


TAR = small_tar()
BROKEN = {
    "empty": b"",
    "garbage": os.urandom(20_000),
    "text": b"this is no archive\n" * 200,
    "in-the-first-header": TAR[:300],
    "in-a-pax-header": TAR[: 512 + 60],
    "in-a-body": TAR[: 512 * 4 + 100],
    "after-a-header": TAR[: 512 * 3],
    "in-the-second-body": TAR[: 512 * 12 + 9],
    "flipped-header": TAR[:1100] + bytes([TAR[1100] ^ 0xFF]) + TAR[1101:],
    "gzip-cut": gzip.compress(TAR * 1)[:-20],
    "gzip-flipped": gzip.compress(TAR)[:40] + b"\xff" + gzip.compress(TAR)[41:],
    "gzip-of-garbage": gzip.compress(b"no archive" * 1000),
    "zip": b"PK\x03\x04" + bytes(600),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_archive_is_a_clear_error_and_no_snapshot(
    voltar: Voltar, tmp_path: Path, data: bytes
) -> None:
    ending = ".gz" if data[:2] == b"\x1f\x8b" else ""
    (tmp_path / f"x.tar{ending}").write_bytes(data)

    refused = voltar("import", tmp_path / f"x.tar{ending}", "--as", "volume:x", code=(1, 2, 4))

    assert refused.err.strip()
    assert voltar.ask("snapshots") == []


def test_a_zstd_archive_that_is_cut_short_is_a_clear_error_and_no_snapshot(
    voltar: Voltar, tree: Path, tmp_path: Path
) -> None:
    by_gnu_tar("posix")(tree, tmp_path / "plain")
    whole = run(["zstd", "-qc", tmp_path / "plain"])

    for number, cut in enumerate((whole[:-3], whole[: len(whole) // 2], whole[:6])):
        (tmp_path / f"{number}.tar.zst").write_bytes(cut)
        voltar("import", tmp_path / f"{number}.tar.zst", "--as", "volume:x", code=(1, 4))

    assert voltar.ask("snapshots") == []


def test_a_file_that_is_not_there_or_no_file_is_a_clear_error(
    voltar: Voltar, tmp_path: Path
) -> None:
    assert (
        "nope.tar" in voltar("import", tmp_path / "nope.tar", "--as", "volume:x", code=(1, 2)).err
    )
    assert voltar("import", tmp_path, "--as", "volume:x", code=(1, 2)).err.strip()


@pytest.mark.parametrize("name", ["container:x", "volume:", "", "nonsense:x"])
def test_an_import_as_what_is_no_volume_is_refused(
    voltar: Voltar, tmp_path: Path, name: str
) -> None:
    (tmp_path / "x.tar").write_bytes(TAR)

    voltar("import", tmp_path / "x.tar", "--as", name, code=(1, 2))

    assert voltar.ask("snapshots") == []
