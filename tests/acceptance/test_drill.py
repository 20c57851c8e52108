"""Drills of real containers: what is right is proven, what is wrong is found at its level, and
production is not touched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.files import fill
from tests.acceptance.test_jobs import configured
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

SERVES = ("sh", "-c", "trap 'exit 0' TERM; test -s /data/table || exit 3; sleep 1000 & wait")
HEALTH = ("--health-cmd", "test -s /data/table", "--health-interval", "1s")


@pytest.fixture(autouse=True)
def nothing_is_left(bed: Engine) -> Iterator[None]:
    """Whatever a drill comes to, nothing of it is there afterwards."""
    yield
    assert left(bed) == []


def left(engine: Engine) -> list[str]:
    """What drills made and is still there."""
    label = ("--filter", "label=voltar.drill-run")
    listed = [
        engine.docker("ps", "-a", *label, "--format", "{{.Names}}"),
        engine.docker("volume", "ls", "-q", *label),
        engine.docker("network", "ls", *label, "--format", "{{.Name}}"),
        engine.docker("images", "-q", "voltar-drill"),
    ]
    return [line for text in listed for line in text.splitlines()]


def served(scratch: Scratch, image: str, *options: str, files: Any = None) -> str:
    """A container that runs as long as its table is there."""
    volume = scratch.volume()
    fill(scratch.engine.volume_directory(volume), files or {"table": b"rows\n", "a/b": b"x"})
    return scratch.running(image, *SERVES, options=("-v", f"{volume}:/data", *options))


def levels(unit: dict[str, Any]) -> dict[str, str]:
    """The outcome of each level, of the sources and the container together."""
    steps = [step for source in unit["sources"] for step in source["levels"]]
    steps += (unit["container"] or {"levels": []})["levels"]
    return {step["level"]: step["outcome"] for step in steps}


def test_a_job_is_drilled_up_to_its_assertion(
    voltar: Voltar, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    name = served(scratch, image, *HEALTH)
    asked = 'drill = { assert = ["sh", "-c", "cat /data/table && echo fine"] }'
    jobs = configured(voltar, f'[jobs.night]\ncontainers = ["{name}"]\n{asked}\n')
    jobs("run", "night")
    files = {kind: tmp_path / f"drill.{kind}" for kind in ("json", "xml", "prom")}

    done = jobs(
        *("drill", "night", "--report", files["json"], "--junit", files["xml"]),
        *("--prometheus", files["prom"]),
    )

    assert "proven up to: assert" in done.text
    (drill,) = json.loads(files["json"].read_text())["drills"]
    assert (drill["result"], drill["level"], drill["failed"]) == ("ok", "assert", None)
    (unit,) = drill["units"]
    assert unit["subject"] == f"container:{name}"
    assert levels(unit) == dict.fromkeys(
        ("catalog", "store", "content", "boot", "assert"), "passed"
    )
    assert unit["container"]["levels"][1]["output"] == "rows\nfine"
    assert 0 < drill["recovery_point_seconds"] < 600
