"""Ctrl-C and SIGTERM end a run that writes to a store, or reads from one, within a moment: whatever
the limit, the pause before a retry, or the silence of the server."""

import io
import os
import secrets
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.cli import Voltar, until
from tests.conformance.stores import with_keys
from tests.testbed import buckets
from tests.testbed.proxy import Proxy
from transports.ssh import Options
from transports.store import Settings, open_store

SIZE = 4 << 20
AT_ONCE_S = 4
"""Two seconds are promised, and this machine may be busy."""


@dataclass(frozen=True)
class Place:
    """The command with a repository that is reached through a proxy."""

    voltar: Voltar
    proxy: Proxy


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A tar file that no compression makes small."""
    file = tmp_path / "noise.tar"
    with tarfile.open(file, "w") as tar:
        member = tarfile.TarInfo("noise")
        member.size = SIZE
        tar.addfile(member, io.BytesIO(os.urandom(SIZE)))
    return file


@pytest.fixture
def place(kind: str, made: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty repository behind a proxy; no engine is needed."""
    (home := tmp_path / "home").mkdir()
    alone = Voltar(url="unix:///nonexistent", repository=None, home=home)
    server = request.getfixturevalue("sftp_server" if kind == "sftp" else "moto")
    with Proxy(server.port) as proxy:
        voltar = REPOSITORIES[kind](alone, server, proxy, tmp_path)
        fill(voltar, made)
        yield Place(voltar, proxy)


def fill(voltar: Voltar, made: Path) -> None:
    """Put a repository that was made before where this one is to be."""
    settings = Settings(
        environ=voltar.environment, ssh=Options(config=voltar.home / ".ssh" / "config")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCLONE_CONFIG", voltar.environment.get("RCLONE_CONFIG", "/dev/null"))
        with closing(open_store(str(voltar.repository), settings)) as store:
            store.create()
            for file in made.rglob("*"):
                if file.is_file():
                    store.put(str(file.relative_to(made)), file.read_bytes())


def in_bucket(alone, moto, proxy, directory):
    bucket = f"bucket-{secrets.token_hex(6)}"
    moto.make(bucket)
    where = f"endpoint=http://127.0.0.1:{proxy.port}&region=us-east-1&profile=testbed"
    return alone.changed(repository=f"s3://{bucket}/one?{where}", more=with_keys(directory))


def on_host(alone, sshd, proxy, directory):
    sshd.config_for(alone.home, port=proxy.port)
    return alone.changed(repository=f"sftp://far/~/{secrets.token_hex(6)}")


def behind_rclone(alone, moto, proxy, directory):
    bucket = f"bucket-{secrets.token_hex(6)}"
    moto.make(bucket)
    (directory / "rclone.conf").write_text(
        "[far]\ntype = s3\nprovider = Other\nregion = us-east-1\nno_check_bucket = true\n"
        f"endpoint = http://127.0.0.1:{proxy.port}\naccess_key_id = {buckets.ACCESS_KEY}\n"
        f"secret_access_key = {buckets.SECRET_KEY}\n"
    )
    more = {"RCLONE_CONFIG": str(directory / "rclone.conf")}
    return alone.changed(repository=f"rclone:far:{bucket}", more=more)


REPOSITORIES = {"s3": in_bucket, "sftp": on_host, "rclone": behind_rclone}


def interrupted(place: Place, *words: str, when: Callable[[], object], number: int) -> None:
    """Run, interrupt as a terminal does, and demand an end at once, told as an interrupt."""
    with place.voltar.start(*words) as running:
        until(lambda: when() or running.process.poll() is not None, what="what to interrupt")
        assert running.process.poll() is None, str(running.end())
        began = time.monotonic()
        os.killpg(running.process.pid, number)
        result = running.end()
        took = time.monotonic() - began

    assert (result.code, result.err.splitlines()[-1]) == (130, "interrupted")
    assert took < AT_ONCE_S


def sent(place: Place) -> Callable[[], bool]:
    """Whether all of the archive's data went to the store since now."""
    before = place.proxy.carried["server"]
    return lambda: place.proxy.carried["server"] - before > SIZE


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_an_interrupt_does_not_wait_for_the_limit(place, archive):
    words = ("import", str(archive), "--as", "volume:x")

    interrupted(place, "--limit-upload", "100K", *words, when=sent(place), number=signal.SIGINT)

    assert place.voltar.ask("snapshots") == []
    before = place.proxy.carried["server"]
    place.voltar(*words)
    assert place.proxy.carried["server"] - before < SIZE / 2, "what was stored is found again"


@pytest.mark.parametrize("kind", REPOSITORIES)
def test_an_interrupt_does_not_wait_for_a_silent_server(place, archive):
    words = ("import", str(archive), "--as", "volume:x")
    place.proxy.slow(3 << 20)
    before = place.proxy.carried["server"]

    def frozen() -> bool:
        if place.proxy.carried["server"] - before < SIZE / 4:
            return False
        place.proxy.freeze()
        return True

    interrupted(place, *words, when=frozen, number=signal.SIGTERM)

    place.proxy.thaw()
    place.proxy.slow(None)
    assert place.voltar.ask("snapshots") == []
    place.voltar(*words)
    place.voltar("check")


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_an_interrupt_does_not_wait_for_the_next_attempt(place, archive):
    words = ("import", str(archive), "--as", "volume:x")
    place.voltar(*words)
    place.proxy.slow(3 << 20)
    before = place.proxy.carried["client"]

    def cut() -> bool:
        if place.proxy.carried["client"] - before < SIZE / 4:
            return False
        place.proxy.refuse()
        place.proxy.cut_now()
        time.sleep(1.5)  # more than the first pauses
        return True

    interrupted(place, "check", "--read-data", when=cut, number=signal.SIGINT)
