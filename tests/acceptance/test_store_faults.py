"""Stores whose link, server or disk fails while a command is at work: it goes on when that is over,
or ends in a sentence; what was there before is there after, and nothing half done counts."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.far import sentence
from tests.acceptance.places import REPOSITORIES, Place, put_there
from tests.testbed import buckets
from tests.testbed.command import run
from tests.testbed.proxy import Proxy, Towards

KINDS = ["s3", "sftp"]
SIZE = 2 << 20


def noise(directory: Path, name: str = "noise") -> Path:
    """A tar file that no compression makes small."""
    (directory / name).write_bytes(os.urandom(SIZE))
    with tarfile.open(directory / f"{name}.tar", "w") as tar:
        tar.add(directory / name, name)
    return directory / f"{name}.tar"


def unpacked(tar: Path) -> bytes:
    """What is in the file of an archive."""
    with tarfile.open(tar) as found:
        member = next(each for each in found if each.isfile())
        file = found.extractfile(member)
        assert file
        return file.read()


def trouble(place: Place, towards: Towards) -> None:
    """Let the next connections break, in all ways, one after the other."""
    proxy = place.proxy
    proxy.clear()
    proxy.cut(5_000, towards=towards)
    proxy.cut(500_000, towards=towards, reset=False)
    if place.kind == "s3":
        proxy.answer(503)
    proxy.delay(0.02)


def elsewhere(place: Place, request: pytest.FixtureRequest, directory: Path) -> Voltar:
    """The command with a new repository of the other kind; it knows the first one's password."""
    (directory / "elsewhere").mkdir()
    kind = next(each for each in KINDS if each != place.kind)
    server = request.getfixturevalue("sftp_server" if kind == "sftp" else "moto")
    other = REPOSITORIES[kind](place.voltar, server, server, directory / "elsewhere")
    other("init")
    found: Voltar = other.changed(more={"VOLTAR_FROM_PASSWORD": str(place.voltar.password)})
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_survives_a_link_that_breaks(place, request, tmp_path):
    archive, second = noise(tmp_path), noise(tmp_path, "second")
    other = elsewhere(place, request, tmp_path)

    def troubled(voltar, towards, *words):
        trouble(place, towards)
        assert "trying again in" in voltar(*words).err

    troubled(place.voltar, "server", "import", archive, "--as", "volume:x")
    place.proxy.clear()
    place.voltar("import", second, "--as", "volume:y")
    troubled(place.voltar, "client", "check", "--read-data")
    troubled(other, "client", "copy", "--from", place.voltar.repository)
    place.proxy.clear()
    place.voltar("forget", place.voltar.ask("snapshots")[0]["id"])
    troubled(place.voltar, "client", "prune", "--exclusive")
    troubled(place.voltar, "client", "export", "volume:y", "-o", tmp_path / "out.tar")
    place.proxy.clear()

    assert unpacked(tmp_path / "out.tar") == unpacked(second)
    assert place.voltar.summary("check", "--read-data")["damages"] == []
    other("export", "volume:x", "-o", tmp_path / "copy.tar")
    assert unpacked(tmp_path / "copy.tar") == unpacked(archive)


@pytest.mark.parametrize("kind", ["s3"])
def test_a_restore_survives_a_link_that_breaks(place, engine, filled, fresh, content, sftp_server):
    voltar = place.voltar.changed(url=engine.url)
    volume, restored = filled({"noise": os.urandom(SIZE), "etc/small": b"x"}), fresh()
    trouble(place, "server")
    voltar("backup", f"volume:{volume}")
    trouble(place, "client")

    result = voltar("restore", f"volume:{volume}", "--to", restored)

    assert "trying again in" in result.err
    assert content(restored) == content(volume)


def test_a_server_may_be_started_anew_while_a_backup_runs(made, tmp_path):
    (tmp_path / "home").mkdir()
    alone = Voltar(url="unix:///nonexistent", repository=None, home=tmp_path / "home")
    server = buckets.rclone_s3(tmp_path)
    with Proxy(server.port) as proxy:
        voltar = REPOSITORIES["s3"](alone, server, proxy, tmp_path)
        put_there(made, voltar)
        proxy.slow(2 << 20)
        with voltar.start("import", str(noise(tmp_path)), "--as", "volume:x") as running:
            until(lambda: proxy.carried["server"] > SIZE / 2, what="half of the data")
            server.close()
            proxy.slow(None)
            before = proxy.connections
            until(lambda: proxy.connections > before + 1, what="attempts in between")
            server = buckets.rclone_s3(tmp_path, server.port)
            result = running.end()
        with server:
            assert result.code == 0, str(result)
            assert "trying again in" in result.err
            voltar("export", "volume:x", "-o", tmp_path / "out.tar")

    assert unpacked(tmp_path / "out.tar") == unpacked(tmp_path / "noise.tar")


@pytest.fixture
def on_small_disk(start_sshd, made, tmp_path):
    """The command with a repository on a host, in a file system of 8 MiB that is nearly empty."""
    host = start_sshd()
    (disk := host.far.home / "disk").mkdir()
    inside = ["nsenter", "--all", "--target", str(host.far.init)]
    run([*inside, "mount", "-t", "tmpfs", "-o", f"size=8m,uid={host.far.uid}", "none", disk])
    (tmp_path / "home").mkdir()
    alone = Voltar(url="unix:///nonexistent", repository=None, home=tmp_path / "home")
    host.config_for(alone.home)
    voltar = alone.changed(repository="sftp://far/~/disk/repository")
    put_there(made, voltar)
    return voltar, lambda *words: run([*inside, *words]), disk


def test_a_host_whose_disk_is_full_harms_nothing(on_small_disk, tmp_path):
    voltar, there, disk = on_small_disk
    archive = noise(tmp_path)
    voltar("import", archive, "--as", "volume:old")
    there("fallocate", "-l", "5M", disk / "others")

    told = voltar("-q", "import", noise(tmp_path, "new"), "--as", "volume:new", code=1)

    assert "no space is left there" in sentence(told)
    assert [each["source"] for each in voltar.ask("snapshots")] == ["volume:old"]
    voltar("export", "volume:old", "-o", tmp_path / "out.tar")
    assert unpacked(tmp_path / "out.tar") == unpacked(archive)
    there("rm", disk / "others")
    voltar("import", tmp_path / "new.tar", "--as", "volume:new")
    assert voltar.summary("check", "--read-data")["damages"] == []


def test_a_host_that_dies_while_it_is_written_to_has_no_half_packs(start_sshd, made, tmp_path):
    host = start_sshd()
    (tmp_path / "home").mkdir()
    with Proxy(host.port) as proxy:
        alone = Voltar(url="unix:///nonexistent", repository=None, home=tmp_path / "home")
        voltar = REPOSITORIES["sftp"](alone, host, proxy, tmp_path)
        put_there(made, voltar)
        place = host.far.home / str(voltar.repository).rpartition("/")[2]
        proxy.slow(2 << 20)
        with voltar.start("import", str(noise(tmp_path)), "--as", "volume:x") as running:
            written = until(lambda: sizes(place / "tmp", over=SIZE / 4), what="half of a pack")
            host.kill_sessions()
            named = sizes(place / "packs")
            proxy.slow(None)
            result = running.end()

        assert result.code == 0, str(result)
        assert written[0] < SIZE
        assert max(named, default=0) < SIZE / 4  # none that is half there; a small one may be whole
        assert max(sizes(place / "packs")) > SIZE
        assert voltar.summary("check", "--read-data")["damages"] == []


def sizes(directory: Path, over: float = 0) -> list[int]:
    """How large the files of a directory are, of those that are larger than so many bytes."""
    found = [file.stat().st_size for file in directory.iterdir()]
    return [size for size in found if size > over]


@pytest.mark.parametrize("kind", ["directory", "sftp"])
def test_a_repository_that_is_deleted_while_a_backup_runs(kind, start_sshd, made, tmp_path):
    """It is not made anew, with a snapshot and without what older ones need."""
    (tmp_path / "home").mkdir()
    alone = Voltar(url="unix:///nonexistent", repository=None, home=tmp_path / "home")
    place = tmp_path / "repository"
    if kind == "sftp":
        host = start_sshd()
        host.config_for(alone.home)
        place = host.far.home / "repository"
    voltar = alone.changed(repository="sftp://far/~/repository" if kind == "sftp" else place)
    put_there(made, voltar)
    (tmp_path / "fifo").mkdir()
    os.mkfifo(fifo := tmp_path / "fifo" / "x.tar")
    with (
        voltar.start("-q", "import", str(fifo), "--as", "volume:x") as running,
        fifo.open("wb") as sink,
    ):
        data = noise(tmp_path).read_bytes()
        sink.write(data[: SIZE // 2])
        sink.flush()
        shutil.rmtree(place)
        sink.write(data[SIZE // 2 :])
        sink.close()
        told = running.end()

    assert "the directory is not there" in sentence(told)
    assert not place.exists()
