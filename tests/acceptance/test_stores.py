"""Repositories that are not on this machine, by the command line: in a bucket, behind rclone, on a
store that lets nothing be deleted."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Result, Voltar, until
from tests.conformance.stores import with_keys
from tests.testbed import buckets, leaks
from tests.testbed.gate import Gate, Portal
from tests.testbed.proxy import Proxy
from tests.testbed.sshd import Sshd

FILES = {"etc/app.conf": b"answer = 42\n", "data/noise": os.urandom(3 << 20)}
AMONG = ("noise", "app.conf")


@pytest.fixture
def at(voltar: Voltar, tmp_path: Path, moto: buckets.BucketServer) -> Callable[..., Voltar]:
    """at(port): the command with a repository in a new bucket of moto's, or behind a port."""

    def at(port: int | None = None) -> Voltar:
        bucket = f"bucket-{secrets.token_hex(6)}"
        moto.make(bucket)
        endpoint = f"http://127.0.0.1:{port or moto.port}"
        url = f"s3://{bucket}/hosts/one?endpoint={endpoint}&region=us-east-1&profile=testbed"
        return voltar.changed(repository=url, more=with_keys(tmp_path))

    return at


def test_a_bucket_is_a_repository_for_every_command(at, filled, fresh, content):
    voltar = at()
    volume = filled(FILES)
    restored = fresh()

    made = voltar.summary("init")
    first = voltar("--json", "backup", f"volume:{volume}")
    again = voltar("--json", "backup", f"volume:{volume}")

    assert made["repository"].startswith("s3://bucket-")
    assert buckets.SECRET_KEY not in first.said + again.said
    assert stored(again) < 100_000 < stored(first)
    voltar("restore", f"volume:{volume}", "--to", restored)
    assert content(restored) == content(volume)
    assert len(voltar.ask("snapshots")) == 2
    assert voltar.summary("check", "--read-data")["damages"] == []
    found = {each["subject"]: each for each in voltar.ask("doctor")}
    assert found["store"]["text"].endswith("writes, reads, deletes")
    assert found["write-once"]["text"] == "the store never replaces an object"
    voltar("forget", "--keep-last", "1", "--json")
    assert voltar.summary("prune", "--exclusive")["packs"] >= 1
    voltar("check", "--read-data")


def stored(result: Result) -> int:
    """How many bytes a backup has put into the store."""
    (snapshot,) = (event for event in result.events if event["type"] == "snapshot")
    found: int = snapshot["bytes_stored"]
    return found


def test_a_bucket_is_recovered_without_voltar_from_a_copy_by_rclone(at, moto, filled, tmp_path):
    voltar = at()
    volume = filled(FILES)
    voltar("init")
    voltar("backup", f"volume:{volume}")
    bucket = str(voltar.repository).removeprefix("s3://").partition("?")[0]
    remote = f":s3,provider=Other,endpoint='{moto.endpoint}',access_key_id=x,secret_access_key=x:"
    copy = [
        buckets.program("rclone"),
        "--config",
        "/dev/null",
        "copy",
        remote + bucket,
        tmp_path / "copy",
    ]
    run(copy)

    out = run(
        [sys.executable, "recover.py", "list"],
        cwd=tmp_path / "copy",
        env={"PATH": os.environ["PATH"], "VOLTAR_PASSWORD": str(voltar.password)},
    )

    assert f"volume:{volume}" in out


def run(argv: list[Any], **options: Any) -> str:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    return bytes(done.stdout).decode()


def test_a_second_init_and_a_missing_bucket_are_refused(at):
    voltar = at()
    voltar("init")

    again = voltar("--json", "init", code=5)
    lost = voltar.changed(repository=str(voltar.repository).replace("bucket-", "no-bucket-"))
    missing = lost("--json", "backup", "--all", code=1)

    assert "there is a repository at s3://" in again.error["message"]
    assert missing.error["message"].endswith("there is no such bucket")
    assert missing.error["hint"] == "make the bucket first"


@pytest.mark.parametrize("page", [b"<html><body>log in</body></html>", b"<!DOCTYPE html><br>", b""])
def test_a_page_in_place_of_a_store_is_said_to_be_none(at, page):
    """What a network that wants a login answers to everything."""
    with Portal(page) as portal:
        for words in (("init",), ("backup", "--all")):
            result = at(portal.port)("--json", *words, code=1)

            assert result.error["message"].endswith("what answers there is no object store")
            assert "login in a browser" in result.error["hint"]
            assert result.seconds < 10


def test_a_lost_connection_is_told_and_survived(at, moto, filled):
    with Proxy(moto.port) as proxy:
        voltar = at(proxy.port)
        volume = filled(FILES)
        voltar("init")
        proxy.cut(90_000, towards="server", times=2)
        proxy.answer(503)

        result = voltar("backup", f"volume:{volume}")

        assert "trying again in" in result.err
        proxy.clear()
        voltar("check", "--read-data")


def test_whoever_waits_for_a_silent_server_can_interrupt(at, moto):
    with Proxy(moto.port) as proxy:
        voltar = at(proxy.port)
        voltar("init")
        proxy.freeze()

        with voltar.start("snapshots") as running:
            came = proxy.connections
            until(lambda: proxy.connections > came, what="a connection")
            running.process.send_signal(signal.SIGINT)
            result = running.end(within_s=15)

    assert result.code == 130


def test_limits_hold_for_a_repository_anywhere(at, voltar, filled):
    noise = {"noise": os.urandom(3 << 20)}
    volume = filled(noise)
    far = at()
    for each in (far, voltar):
        if each is far:
            each("init")
        began = time.monotonic()
        each("backup", f"volume:{volume}", "--limit-upload", "1M")
        assert time.monotonic() - began >= 3
        began = time.monotonic()
        each("--limit-download", "1M", "check", "--read-data")
        assert time.monotonic() - began >= 3


@pytest.mark.parametrize("text", ["fast", "0", "1", "-1M", ""])
def test_a_limit_that_is_none_is_refused(voltar, text):
    result = voltar("snapshots", f"--limit-upload={text}", code=2)

    assert "--limit-upload: expected" in result.err


def test_a_limit_of_what_goes_to_no_repository_is_refused(voltar):
    result = voltar("image", "send", "app:1", "--to", "ssh://x", "--limit-upload=1M", code=2)

    assert "image uses no repository, and limits are for that alone" in result.err


@pytest.fixture(params=["s3", "sftp"])
def add_only(
    request: pytest.FixtureRequest, at: Callable[..., Voltar], voltar: Voltar, run_directory: Path
) -> Iterator[Voltar]:
    """The command with a repository that lets nothing be deleted: a bucket whose policy says so,
    and a server of SFTP that knows no such requests."""
    if request.param == "s3":
        with Gate(request.getfixturevalue("moto").port, no_delete=True) as gate:
            yield at(gate.port)
    else:
        forbidden = "remove,rmdir,rename,posix-rename"
        with Sshd(run_directory, options=[f"ForceCommand internal-sftp -P {forbidden}"]) as host:
            host.config_for(voltar.home)
            yield voltar.changed(repository="sftp://far/~/repository")


def test_a_store_that_adds_and_deletes_nothing(add_only, filled, fresh, content):
    voltar = add_only
    volume = filled(FILES)
    restored = fresh()

    voltar("init")
    voltar("backup", f"volume:{volume}")
    voltar("backup", f"volume:{volume}", "--full")
    oldest = voltar.ask("snapshots")[0]["id"]
    voltar("forget", oldest)

    for refused in (
        voltar("--json", "unforget", oldest, code=1),
        voltar("--json", "prune", "--exclusive", code=1),
    ):
        assert refused.error["message"].startswith("cannot delete ")
        assert refused.error["hint"]
    voltar("check", "--read-data")
    voltar("restore", f"volume:{volume}", "--to", restored)
    assert content(restored) == content(volume)
    found = {each["subject"]: each for each in voltar.ask("doctor")}
    assert found["store"]["text"].endswith("does not delete")


@pytest.fixture
def by_rclone(voltar: Voltar, tmp_path: Path) -> Voltar:
    """The command with a repository on a remote of rclone's."""
    (tmp_path / "rclone.conf").write_text(f"[far]\ntype = alias\nremote = {tmp_path}/far\n")
    more = {"RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
    return voltar.changed(repository="rclone:far:a/repository", more=more)


def test_a_remote_of_rclone_is_a_repository(by_rclone, filled, fresh, content):
    volume = filled(FILES)
    restored = fresh()

    by_rclone("init")
    by_rclone("backup", f"volume:{volume}")
    by_rclone("restore", f"volume:{volume}", "--to", restored)
    by_rclone("forget", "--keep-last", "1")
    by_rclone("prune")
    by_rclone("check", "--read-data")

    assert content(restored) == content(volume)
    assert rclones(by_rclone) == []


def test_rclone_ends_whatever_becomes_of_voltar(by_rclone, filled, tmp_path):
    volume = filled({"noise": os.urandom(8 << 20)})
    temporary = Path(by_rclone.environment["TMPDIR"])
    before = set(temporary.glob("voltar-rclone-*"))
    by_rclone("init")
    words = ("backup", f"volume:{volume}", "--limit-upload", "256K")

    with by_rclone.start(*words) as running:
        until(lambda: rclones(by_rclone), what="rclone")
        running.kill()
    until(lambda: not rclones(by_rclone), what="its end")
    with by_rclone.start(*words) as running:
        until(lambda: rclones(by_rclone), what="rclone")
        running.process.send_signal(signal.SIGTERM)
        assert running.end().code == 130

    assert set(temporary.glob("voltar-rclone-*")) == before


def test_a_remote_that_is_not_configured_is_said_to_be_none(by_rclone):
    voltar = by_rclone.changed(repository="rclone:nowhere:x")

    result = voltar("--json", "init", code=1)

    assert "didn't find section in config file" in result.error["message"]
    assert "rclone listremotes" in result.error["hint"]


def rclones(voltar: Voltar) -> list[str]:
    """The command lines of rclone's, and of the shell around, that serve this voltar."""
    mine = f"RCLONE_CONFIG={voltar.environment['RCLONE_CONFIG']}".encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mine in (directory / "environ").read_bytes().split(b"\0"):
                found.append(leaks.command(int(directory.name)))
    return [words for words in found if " rcd " in words]


def test_a_long_name_for_temporary_files_is_no_obstacle(by_rclone, tmp_path):
    (tmp_path / ("long" * 20)).mkdir()
    voltar = by_rclone.changed(more={"TMPDIR": str(tmp_path / ("long" * 20))})

    voltar("init")

    assert rclones(voltar) == []
