"""A container or a volume moves to another engine: proven, or nothing has happened."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import zoo
from tests.acceptance.cli import Result, Voltar, until
from tests.acceptance.conftest import fill
from tests.testbed import images, walk
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch
from tests.testbed.seed import volume_at

PAIRS = [("20.10", "28.5-containerd"), ("28.5-classic", "20.10")]
LABEL = "voltar.migration"
pytestmark = pytest.mark.private


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
    listed = {
        "containers": engine.docker("ps", "-aq", "--no-trunc"),
        "volumes": engine.docker("volume", "ls", "-q"),
        "networks": engine.docker("network", "ls", "-q", "--no-trunc"),
        "images": engine.docker(
            "images", "-aq", "--no-trunc", "--filter", "label!=voltar.helper-image"
        ),
        "names": engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}"),
    }
    found = {kind: set(text.split()) for kind, text in listed.items()}
    helpers = set(
        engine.docker(
            "images", "-aq", "--no-trunc", "--filter", "label=voltar.helper-image"
        ).split()
    )
    found["images"] -= helpers
    found["names"] = {name for name in found["names"] if not name.startswith("voltar-helper:")}
    return found


def paired(pool: Pool, source: str, target: str, home: Path) -> Iterator[Pair]:
    with Scratch(pool.engine(source)) as first, Scratch(pool.engine(target)) as second:
        yield Pair(first, second, home)


@pytest.fixture(params=PAIRS, ids=[" to ".join(each) for each in PAIRS])
def pair(pool: Pool, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Each combination of engines."""
    yield from paired(pool, *request.param, tmp_path)


def move(pair: Pair, target: str, *words: str, code: int = 0) -> Result:
    kind, _, name = target.partition(":")
    if kind == "container":
        pair.target.claim(containers=[name])
    else:
        pair.target.claim(volumes=[name])
    return pair.voltar("--json", "migrate", target, *pair.to, *words, code=code)


def test_a_volume_moves_with_its_labels_and_every_attribute(pair: Pair) -> None:
    volume = pair.source.volume("--label", "tier=gold")
    at = pair.source.engine.volume_directory(volume)
    zoo.build(os.fsencode(at))

    moved = move(pair, f"volume:{volume}").summary

    there = json.loads(pair.target.engine.docker("volume", "inspect", volume))[0]
    assert there["Labels"] == {"tier": "gold", LABEL: moved["migration"]}
    assert moved["downtime_seconds"] is None
    differences = walk.diff(pair.content(pair.source, volume), pair.content(pair.target, volume))
    assert differences == ["b'sockets/server.sock': missing (socket)"]


SERVICE = ("sh", "-c", "while sleep 0.1; do :; done")
CHANGES = (
    'ENTRYPOINT ["sh","-c"]',
    "ENV FROM_IMAGE=1",
    "EXPOSE 7000",
    "VOLUME /from-image",
    "LABEL of=image",
    "USER root",
)
OPTIONS = (
    *(
        "--stop-signal",
        "KILL",
        "--entrypoint",
        "",
        "--hostname",
        "db1",
        "--domainname",
        "example.test",
        "-w",
        "/tmp",
    ),
    *("-e", "A=1", "-e", "B=two words", "--label", "x.y=z", "--user", "0:0", "-i", "-t"),
    *("--restart", "on-failure:7", "--stop-timeout", "3", "--init", "--shm-size", "12m"),
    *("--memory", "64m", "--memory-swap", "96m", "--cpu-shares", "300", "--cpus", "0.5"),
    *("--pids-limit", "77", "--ulimit", "nofile=99:199", "--oom-score-adj", "123"),
    *("--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD", "--security-opt", "no-new-privileges"),
    *("--read-only", "--tmpfs", "/scratch:size=1m,mode=700", "--group-add", "44"),
    *("--dns", "10.1.2.3", "--dns-search", "example.test", "--dns-opt", "ndots:2"),
    *("--add-host", "other:10.9.8.7", "--sysctl", "net.ipv4.ip_forward=1", "-p", "127.0.0.1::7000"),
    *("--log-driver", "json-file", "--log-opt", "max-size=1m", "--ipc", "private"),
    *("--device", "/dev/zero:/dev/nought:r", "--mac-address", "02:00:00:00:00:07"),
    *("--health-cmd", "true", "--health-interval", "1s", "--health-retries", "3"),
)


def network(side: Scratch, subnet: str, *options: str) -> str:
    """Make a network, removed after the test."""
    name = side.name("network")
    side.engine.docker("network", "create", "--subnet", subnet, "--label", "n=1", *options, name)
    return name


@pytest.fixture
def networks(pair: Pair) -> Iterator[tuple[str, str]]:
    """Two networks of the source, removed from both engines after the test."""
    made = network(pair.source, "10.210.1.0/24"), network(pair.source, "10.210.2.0/24")
    yield made
    for side in (pair.target, pair.source):
        listed = side.engine.docker("ps", "-aq").split()
        if listed:
            side.engine.attempt("rm", "-fv", *listed)
        side.engine.attempt("network", "rm", *made)


def test_a_container_moves_with_all_that_was_set(pair: Pair, networks: tuple[str, str]) -> None:
    image = images.build(pair.source.engine, "voltar-test-service", images.TOOLS, changes=CHANGES)
    named = pair.source.volume("--label", "v=1")
    fill(
        pair.source.engine.volume_directory(named), {"sub/file": b"content", "other": b"x" * 70000}
    )
    front, back = networks
    where = ("--network", front, "--ip", "10.210.1.77", "--network-alias", "database")
    mounts = ("-v", f"{named}:/data", "-v", "/anonymous")
    name = pair.source.container(image, *SERVICE, options=(*OPTIONS, *where, *mounts))
    pair.target.claim(volumes=[named])
    pair.source.engine.docker("network", "connect", "--alias", "second", back, name)
    anonymous = volume_at(pair.source.engine, name, "/anonymous")
    fill(pair.source.engine.volume_directory(anonymous), {"a": b"anonymous"})
    pair.source.engine.docker("start", name)
    before = pair.inspect(pair.source, name)

    moved = move(pair, f"container:{name}")

    after = pair.inspect(pair.target, name)
    assert after["State"]["Health"]["Status"] == "healthy"
    assert moved.summary["downtime_seconds"] > 0
    assert list(unlike(before, after)) == []
    target_anonymous = volume_at(pair.target.engine, name, "/anonymous")
    assert target_anonymous != anonymous
    for one, other in ((named, named), (anonymous, target_anonymous)):
        assert walk.diff(pair.content(pair.source, one), pair.content(pair.target, other)) == []
    source = pair.inspect(pair.source, name)
    assert not source["State"]["Running"]
    assert source["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")


IGNORED = {
    "Config": {"Image", "MacAddress"},
    "HostConfig": {
        *("CgroupnsMode", "KernelMemory", "KernelMemoryTCP", "MaskedPaths", "MemorySwappiness"),
        *("OomKillDisable", "ReadonlyPaths", "ContainerIDFile", "ConsoleSize", "Isolation"),
    },
}


def unlike(one: Any, other: Any) -> Iterator[str]:
    """In what two containers differ that no engine decides: an own reading of both documents."""
    for part, ignored in IGNORED.items():
        for key in sorted({*one[part], *other[part]} - ignored):
            left, right = (side[part].get(key) or None for side in (one, other))
            if left != right:
                yield f"{part}.{key}: {left!r} became {right!r}"
    ends = [side["NetworkSettings"]["Networks"] for side in (one, other)]
    if set(ends[0]) != set(ends[1]):
        yield f"networks: {set(ends[0])} became {set(ends[1])}"
    for name in ends[0]:
        for key in ("IPAMConfig", "DriverOpts", "Links"):
            left, right = (end[name].get(key) or None for end in ends)
            if left != right:
                yield f"{name}.{key}: {left!r} became {right!r}"
        names = [
            set(end[name]["Aliases"] or ()) - {side["Id"][:12]}
            for end, side in zip(ends, (one, other), strict=True)
        ]
        if names[0] != names[1]:
            yield f"{name}.Aliases: {names[0]} became {names[1]}"
