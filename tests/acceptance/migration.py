"""Two engines and the command, for tests that move things from one to the other."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.cli import Result, Voltar
from tests.testbed import walk
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch

PAIRS = [("20.10", "28.5-containerd"), ("28.5-classic", "20.10")]
LABEL = "voltar.migration"


class Pair:
    """Two engines, and the command on the first with a state directory of its own."""

    def __init__(self, source: Scratch, target: Scratch, home: Path) -> None:
        self.source, self.target = source, target
        self.state = home / "state"
        self.voltar = Voltar(
            url=source.engine.url,
            repository=None,
            home=home,
            more={"VOLTAR_STATE_DIRECTORY": str(self.state)},
        )
        self.before: dict[str, set[str]] = {}

    @property
    def to(self) -> tuple[str, str]:
        return "--to", self.target.engine.url

    def journals(self) -> list[Path]:
        return sorted((self.state / "migrations").glob("*.jsonl"))

    def inspect(self, side: Scratch, name: str) -> Any:
        return json.loads(side.engine.docker("inspect", "--type", "container", name))[0]

    def content(self, side: Scratch, volume: str) -> dict[bytes, Any]:
        return dict(walk.snapshot(os.fsencode(side.engine.volume_directory(volume))))

    def remember(self) -> None:
        """What is on the target now."""
        self.before = everything(self.target.engine)

    def left(self) -> dict[str, set[str]]:
        """What is on the target and was not there before, but for the helper image."""
        now = everything(self.target.engine)
        return {kind: new for kind, names in now.items() if (new := names - self.before[kind])}


def everything(engine: Engine) -> dict[str, set[str]]:
    """What is on an engine, but for helper images."""
    images = ("images", "-aq", "--no-trunc")
    listed = {
        "containers": engine.docker("ps", "-aq", "--no-trunc"),
        "volumes": engine.docker("volume", "ls", "-q"),
        "networks": engine.docker("network", "ls", "-q", "--no-trunc"),
        "images": engine.docker(*images),
        "names": engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}"),
    }
    found = {kind: set(text.split()) for kind, text in listed.items()}
    found["images"] -= set(engine.docker(*images, "--filter", "label=voltar.helper-image").split())
    found["names"] = {name for name in found["names"] if not name.startswith("voltar-helper:")}
    return found


def paired(pool: Pool, kinds: tuple[str, str], home: Path) -> Iterator[Pair]:
    """Two engines that tests share."""
    source, target = map(pool.engine, kinds)
    with Scratch(source) as first, Scratch(target) as second:
        yield Pair(first, second, home)


def move(pair: Pair, target: str, *words: str, code: int = 0) -> Result:
    """Run `voltar migrate`; a volume that comes about is removed after the test."""
    kind, _, name = target.partition(":")
    if kind == "volume":
        pair.target.claim(volumes=[name])
    return pair.voltar("--json", "migrate", target, *pair.to, *words, code=code)
