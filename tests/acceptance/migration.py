"""Two engines and the command, for tests that move things from one to the other."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backup.migrate import journal
from tests.acceptance.cli import Result, Voltar
from tests.acceptance.files import fill
from tests.testbed import images, walk
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch
from tests.testbed.seed import volume_at

PAIRS = [("20.10", "28.5-containerd"), ("28.5-classic", "20.10")]
LABEL = "voltar.migration"
KILL = ("--stop-signal", "KILL")
HEALTH = ("--health-cmd", "true", "--health-interval", "1s")


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


def moved(engine: Engine) -> str:
    """Put the image that tests move on an engine; it is the same as no image of other tests."""
    return images.build(engine, "voltar-test-moved", images.TOOLS, changes=["ENV MOVED=yes"])


class Service:
    """A container that runs on the source, with a network and two volumes of its own."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        engine = pair.source.engine
        self.image = moved(engine)
        pair.target.engine.attempt("rmi", "--force", self.image)
        self.network = pair.source.name("network")
        engine.docker("network", "create", self.network)
        self.volume = pair.source.volume()
        fill(engine.volume_directory(self.volume), {"a/b": b"content", "c": b"x" * 300_000})
        mounts = ("-v", f"{self.volume}:/data", "-v", "/anonymous", "--network", self.network)
        restart = ("--restart", "unless-stopped")
        self.name = pair.source.running(
            self.image, "sleep", "1000", options=(*KILL, *HEALTH, *mounts, *restart)
        )
        anonymous = volume_at(engine, self.name, "/anonymous")
        fill(engine.volume_directory(anonymous), {"d": b"anonymous"})
        self.id = pair.inspect(pair.source, self.name)["Id"]
        self.content = pair.content(pair.source, self.volume)
        pair.target.claim(containers=[self.name], volumes=[self.volume])
        pair.remember()

    @property
    def target(self) -> str:
        return f"container:{self.name}"

    def remove(self) -> None:
        """Take it away from both engines, wherever it is by now."""
        for side in (self.pair.source, self.pair.target):
            side.engine.attempt("rm", "--force", "--volumes", self.name)
            side.engine.attempt("network", "rm", self.network)
        self.pair.target.engine.attempt("rmi", "--force", self.image)

    def is_as_before(self) -> bool:
        """The source runs as it did, and the target has nothing that it had not."""
        found = self.pair.inspect(self.pair.source, self.name)
        policy = found["HostConfig"]["RestartPolicy"]["Name"]
        assert (found["Id"], found["State"]["Running"]) == (self.id, True)
        assert policy == "unless-stopped"
        assert self.pair.left() == {}
        here = self.pair.content(self.pair.source, self.volume)
        assert walk.diff(self.content, here) == []
        return True

    def has_moved(self) -> bool:
        """The target runs with the data, and the source does not."""
        pair = self.pair
        found = pair.inspect(pair.target, self.name)
        assert found["State"]["Health"]["Status"] == "healthy"
        assert not pair.inspect(pair.source, self.name)["State"]["Running"]
        assert walk.diff(self.content, pair.content(pair.target, self.volume)) == []
        return True


def begun(path: Path) -> set[str]:
    """The kinds of the steps that a journal has begun."""
    raw = path.read_bytes()
    if b"\n" not in raw:
        return set()
    record = journal.parsed(raw, path)
    return {type(record.header.steps[number]).__name__ for number in record.begun}
