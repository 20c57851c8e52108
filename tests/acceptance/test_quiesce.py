"""Who writes to what a job reads is quiet meanwhile, and runs again as soon as it is read.

The writer of these tests appends a number to a file twice, first to `a`, then to `b`, and flushes
its last line when it is asked to end: a copy of a writer that is quiet has the same in both.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.test_jobs import configured
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

WRITER = (
    "sh",
    "-c",
    "trap 'echo end >> /v/a; echo end >> /v/b; exit 0' TERM; n=0; "
    "while :; do n=$((n+1)); echo $n >> /v/a; echo $n >> /v/b; sleep 0.01; done",
)


@pytest.fixture
def writer(scratch: Scratch, image: str) -> Callable[..., str]:
    """Start a container that writes to a volume, or does what it is told there."""

    def writer(volume: str, *options: str, command: Sequence[str] = WRITER) -> str:
        return scratch.running(image, *command, options=["-v", f"{volume}:/v", *options])

    return writer


def state(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", name))[0]["State"]
    return found


def job(voltar: Voltar, text: str) -> Voltar:
    return configured(voltar, f"[jobs.nightly]\n{text}\n")


def test_a_writer_is_stopped_while_it_is_read_and_runs_again(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str], fresh: Callable[..., str]
) -> None:
    volume, into = scratch.volume(), fresh()
    name = writer(volume)
    before = state(scratch.engine, name)

    done = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"')("--json", "run", "nightly")

    now = state(scratch.engine, name)
    assert now["Running"]
    assert now["StartedAt"] != before["StartedAt"]
    [snapshot] = [each for each in done.events if each["type"] == "snapshot"]
    assert [(each["container"], each["how"]) for each in snapshot["downtimes"]] == [(name, "stop")]
    voltar("restore", f"volume:{volume}", "--to", into)
    directory = Path(scratch.engine.volume_directory(into))
    assert (directory / "a").read_text() == (directory / "b").read_text()
    assert (directory / "a").read_text().endswith("end\n")
