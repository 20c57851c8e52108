"""A run that is killed at any line of its journal is made good by the next one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backup.engine import connect
from backup.quiesce import recovery
from tests.fault.quiet_victim import setting
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

SLEEP = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
LINES = 15
"""The header; begun, hook, done of the run; begun, two to be quiet and quiet, two running, over of
the unit; hook, done, over of the run: one more kills nobody."""


@pytest.fixture
def scene(scratch: Scratch, image: str, tmp_path: Path) -> dict[str, Any]:
    """A volume with a user to stop and one to pause, one that is stopped and one paused already."""
    volume = scratch.volume()
    options = ["-v", f"{volume}:/v"]
    users = {
        hint: scratch.running(image, *SLEEP, options=options)
        for hint in ("stop", "pause", "stopped", "paused")
    }
    scratch.engine.docker("stop", users["stopped"])
    scratch.engine.docker("pause", users["paused"])
    hooks = [
        {"when": when, "command": ["sh", "-c", f"echo x >> {tmp_path}/{when}"]}
        for when in ("before", "after")
    ]
    how = {users["stop"]: "stop", users["pause"]: "pause", users["stopped"]: "stop"}
    how |= {users["paused"]: "stop"}
    return {"volume": volume, "how": how, "hooks": hooks}


def states(engine: Engine, scene: dict[str, Any]) -> dict[str, str]:
    found = json.loads(engine.docker("inspect", *scene["how"]))
    return {each["Name"].lstrip("/"): each["State"]["Status"] for each in found}


def died_at(engine: Engine, scene: dict[str, Any], directory: Path, line: int, when: str) -> bool:
    words = [engine.url, str(directory), json.dumps(scene), str(line), when]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.quiet_victim", *words], check=False, timeout=60
    )
    assert done.returncode in (0, -9)
    return done.returncode == -9


def dies_and_is_made_good(
    engine: Engine, scene: dict[str, Any], tmp_path: Path, line: int, when: str
) -> bool:
    """Kill a run there, and demand that all is as before; False where it came to its end."""
    directory, ran = tmp_path / "quiesce", tmp_path / "after"
    as_before = states(engine, scene)
    ran.write_text("")
    died = died_at(engine, scene, directory, line, when)
    journals = "".join(path.read_text() for path in directory.glob("*.jsonl"))
    with connect(engine.url) as reached:
        told = recovery.make_good(reached, setting(engine.url, directory))

    assert states(engine, scene) == as_before
    assert [each.left for each in told if each.left] == []
    assert list(directory.glob("*.jsonl")) == []
    in_between = journals.count('"hook"') > journals.count('"done"')
    runs = len(ran.read_text().split())
    assert runs in ((1, 2) if in_between else (1 if '"begun"' in journals or not died else 0,))
    return died


def test_a_run_killed_when_a_line_is_written_is_made_good(
    engine: Engine, scene: dict[str, Any], tmp_path: Path
) -> None:
    line = 1
    while dies_and_is_made_good(engine, scene, tmp_path, line, "after"):
        line += 1

    assert line == LINES + 1


@pytest.mark.parametrize("line", [4, 7, 9, 10, 11, 14])
def test_a_run_killed_when_an_act_is_done_and_not_yet_written_down_is_made_good(
    engine: Engine, scene: dict[str, Any], tmp_path: Path, line: int
) -> None:
    assert dies_and_is_made_good(engine, scene, tmp_path, line, "before")
