"""Ctrl-C and SIGTERM end a run that writes to a store, or reads from one, within a moment: whatever
the limit, the pause before a retry, or the silence of the server."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli import until
from tests.acceptance.places import REPOSITORIES, Place

SIZE = 4 << 20
AT_ONCE_S = 4
"""Two seconds are promised, and this machine may be busy."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A tar file that no compression makes small."""
    file = tmp_path / "noise.tar"
    with tarfile.open(file, "w") as tar:
        member = tarfile.TarInfo("noise")
        member.size = SIZE
        tar.addfile(member, io.BytesIO(os.urandom(SIZE)))
    return file


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
