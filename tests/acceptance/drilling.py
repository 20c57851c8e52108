"""What tests of drills share: a container to drill, and what a drill left."""

from collections.abc import Mapping
from typing import Any

from tests.acceptance.files import fill
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

SERVES = ("sh", "-c", "trap 'exit 0' TERM; test -s /data/table || exit 3; sleep 1000 & wait")
HEALTH = ("--health-cmd", "test -s /data/table", "--health-interval", "1s")


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


def served(
    scratch: Scratch, image: str, *options: str, files: Mapping[str, bytes] | None = None
) -> str:
    """A container that runs as long as its table is there."""
    volume = scratch.volume()
    fill(scratch.engine.volume_directory(volume), files or {"table": b"rows\n", "a/b": b"x"})
    return scratch.running(image, *SERVES, options=("-v", f"{volume}:/data", *options))


def steps(unit: Mapping[str, Any]) -> dict[str, Any]:
    """The steps of a unit of a report, by level."""
    found = [step for source in unit["sources"] for step in source["levels"]]
    found += (unit["container"] or {"levels": []})["levels"]
    return {step["level"]: step for step in found}


def levels(unit: Mapping[str, Any]) -> dict[str, str]:
    """The outcome of each level."""
    return {level: step["outcome"] for level, step in steps(unit).items()}
