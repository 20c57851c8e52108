"""What the starter forks is for tests what would be executed."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import COMMAND, Voltar, until
from tests.acceptance.starter import Starter

PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
INHERITED = """\
env | grep -v ^_=
pwd
ls /proc/$$/fd
grep -E '^Sig(Blk|Ign|Cgt)' /proc/$$/status
ulimit -a
umask
"""


@pytest.fixture
def alone(tmp_path: Path) -> Voltar:
    """The command without an engine."""
    return Voltar(url="unix:///nowhere", repository=tmp_path / "repository", home=tmp_path)


def ways(starter: Starter) -> list[Callable[..., Any]]:
    return [subprocess.Popen, starter.popen]


@pytest.fixture(params=["executed", "forked"])
def popen(request: pytest.FixtureRequest, starter: Starter) -> Callable[..., Any]:
    """Both ways to start a command."""
    return subprocess.Popen if request.param == "executed" else starter.popen


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--json", "doctor"], ["no-such-command"], ["snapshots"], ["ls", "\udcff"]],
    ids=lambda words: ascii(words[-1]),
)
def test_both_say_the_same(alone: Voltar, starter: Starter, words: Sequence[str]) -> None:
    said = []
    for popen in ways(starter):
        process = popen([COMMAND, *words], env=alone.environment, **PIPES)
        said.append((*process.communicate(b""), process.returncode))

    assert said[0] == said[1]


def test_both_have_their_directory_and_hand_on_the_same(
    alone: Voltar, starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone("init")
    (tmp_path / "home").mkdir()
    (tmp_path / "asked.sh").write_text(f"({INHERITED}) >&2; echo {alone.password}")
    asking = {"VOLTAR_PASSWORD_COMMAND": f"sh {tmp_path}/asked.sh", "TZ": "Asia/Tokyo"}
    environment = alone.changed(password=None, more=asking).environment
    monkeypatch.chdir(tmp_path)

    told = []
    for place, repository in ((None, "repository"), (tmp_path / "home", "../repository")):
        for popen in ways(starter):
            words = [COMMAND, "-r", repository, "snapshots"]
            process = popen(words, env=environment, cwd=place, process_group=0, **PIPES)
            told.append(process.communicate(b"")[1])
            assert process.returncode == 0, told

    assert told[0] == told[1]
    assert told[2] == told[3]
    assert b"TZ=Asia/Tokyo" in told[0]


def test_a_signal_reaches_both_and_their_group(
    alone: Voltar, popen: Callable[..., Any], tmp_path: Path
) -> None:
    alone("init")
    sleeper = f"sh -c 'touch {tmp_path}/began; exec sleep 60'"
    asking = alone.changed(password=None, more={"VOLTAR_PASSWORD_COMMAND": sleeper})
    ended = []

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process = popen([COMMAND, "snapshots"], env=asking.environment, process_group=0, **PIPES)
        until((tmp_path / "began").exists, what="the password's command")
        os.killpg(process.pid, number)
        process.communicate(timeout=30)
        (tmp_path / "began").unlink()
        ended.append(process.returncode)

    assert ended == [130, 130, -signal.SIGKILL]


def test_data_passes_from_a_file_to_a_file(
    alone: Voltar, popen: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "some").write_bytes(os.urandom(1 << 20))
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "in.tar", "some"], check=True)
    alone("init")

    for words in (["import", "-", "--as", "volume:x"], ["-q", "export", "volume:x"]):
        with (tmp_path / "in.tar").open("rb") as given, (tmp_path / "out.tar").open("wb") as taken:
            process = popen(
                [COMMAND, *words], env=alone.environment, stdin=given, stdout=taken, stderr=taken
            )
            assert process.wait(timeout=60) == 0, (tmp_path / "out.tar").read_bytes()

    subprocess.run(["tar", "-C", tmp_path, "-df", tmp_path / "out.tar"], check=True)
