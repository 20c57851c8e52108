"""A drill never touches production, whatever the definition asks for; and nothing of it stays,
whatever ends it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.drilling import left, served
from tests.acceptance.files import fill
from tests.acceptance.test_jobs import configured
from tests.testbed import images, walk
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

PORT, HOST_PORT = "18453", "18454"
SPOILS = """
    for place in /own /inherited /bound /led; do
        cat /proc/sys/kernel/random/uuid > "$place/$(cat /proc/sys/kernel/random/uuid)"
    done
    while :; do sleep 0.1; done
"""
"""What a container does wherever it comes to, so that each start shows."""


class Production:
    """A container that listens, with a volume; and one that has a way to everything."""

    def __init__(self, scratch: Scratch, directory: Path) -> None:
        self.scratch, self.engine = scratch, scratch.engine
        image = images.build(
            self.engine,
            "voltar-test-networked",
            [*images.TOOLS, "busybox"],
            changes=["LABEL traefik.enable=true"],
        )
        self.network = scratch.name("network")
        self.engine.docker("network", "create", "--subnet", "10.213.7.0/24", self.network)
        self.bound, self.led = directory / "bound", directory / "led"
        self.volumes = [scratch.volume(), scratch.volume()]
        led = ("type=none", "o=bind", f"device={self.led}")
        for place in (self.bound, self.led):
            place.mkdir()
            fill(place, {"kept": b"content\n"})
        self.volumes.append(
            scratch.volume(*(word for one in led for word in ("--opt", one)), "--label", "kept=yes")
        )
        for volume in self.volumes[:2]:
            fill(self.engine.volume_directory(volume), {"kept": b"content\n"})
        serves = ("sh", "-c", 'while :; do busybox nc -l -p "$0" </dev/null; done')
        self.on_host = scratch.running(image, *serves, HOST_PORT, options=("--network", "host"))
        self.server = scratch.running(
            image,
            *(*serves, "80"),
            options=(
                *("-v", f"{self.volumes[0]}:/inherited", "-p", f"{PORT}:80"),
                *("--network", self.network, "--ip", "10.213.7.9"),
            ),
        )
        socket = self.engine.url.removeprefix("unix://")
        self.hostile = scratch.running(
            image,
            *("sh", "-c", SPOILS),
            options=(
                *("--volumes-from", self.server, "-v", f"{self.volumes[1]}:/own"),
                *("-v", f"{self.bound}:/bound", "-v", f"{self.volumes[2]}:/led"),
                *("-v", f"{socket}:/var/run/docker.sock", "-v", "/:/host"),
                *("--network", self.network, "--ip", "10.213.7.10", "-p", "127.0.0.1::81"),
                *("--link", f"{self.server}:db"),
                *("--pid", f"container:{self.server}", "--ipc", "host", "--uts", "host"),
                *("--cap-add", "NET_ADMIN", "--device", "/dev/null:/dev/x"),
                *("--security-opt", "seccomp=unconfined", "--restart", "always"),
                *("--add-host", "db2:10.213.7.9", "--dns", "10.213.7.9"),
                *("--label", "com.docker.compose.project=shop", "--label", "voltar.enable=true"),
            ),
        )

    def stands(self) -> dict[str, Any]:
        """All that there is of production, but for the clock."""
        engine = self.engine
        names = (self.on_host, self.server, self.hostile)
        containers = json.loads(engine.docker("inspect", *names))
        for one in containers:
            one.pop("ExecIDs")
            one["Mounts"].sort(key=lambda mount: mount["Destination"])
        places = [*map(engine.volume_directory, self.volumes), self.bound, self.led]
        return {
            "containers": containers,
            "network": json.loads(engine.docker("network", "inspect", self.network)),
            "volumes": json.loads(engine.docker("volume", "inspect", *self.volumes)),
            "content": [dict(walk.snapshot(os.fsencode(place))) for place in places],
        }


@pytest.fixture
def production(scratch: Scratch, tmp_path: Path) -> Iterator[Production]:
    """Containers that a drill must not come near."""
    directory = tmp_path / "production"
    directory.mkdir()
    found = Production(scratch, directory)
    until(lambda: len([*found.led.iterdir()]) > 1, what="what the container writes")
    yield found
    found.engine.attempt("rm", "--force", found.hostile, found.server)
    found.engine.attempt("network", "rm", found.network)


@pytest.mark.usefixtures("nothing_is_left")
def test_a_hostile_definition_reaches_nothing_of_production(
    voltar: Voltar, production: Production
) -> None:
    tries = f"""
        set -x
        test ! -S /var/run/docker.sock || exit 10; test ! -e /host/etc || exit 11
        ! busybox nc -w 1 10.213.7.9 80 </dev/null || exit 12
        ! busybox timeout 2 busybox nslookup {production.server} || exit 14
        own=$(busybox ip -4 addr show eth0 | grep inet | sed 's|.*inet ||; s|/.*||')
        gateway="${{own%.*}}.1"
        test -n "$own" || exit 15
        ! busybox nc -w 1 "$gateway" {PORT} </dev/null || exit 16
        ! busybox nc -w 1 "$gateway" {HOST_PORT} </dev/null || exit 17
        grep -q 'CapEff:.*3fffffffff' /proc/self/status && exit 18
        test "$(ls /own | wc -l)" -ge 3 || exit 19; test -e /inherited/kept || exit 20
        test -e /led/kept || exit 21; sleep 2
    """
    asked = json.dumps(["sh", "-c", tries])
    job = f'[jobs.n]\ncontainers = ["{production.hostile}"]\n'
    jobs = configured(voltar, f'{job}drill = {{ assert = {asked}, settle = "2s" }}\n')
    jobs("run", "n", code=(0, 3))
    for place in ("10.213.7.9 80", f"10.213.7.1 {HOST_PORT}"):  # else a failure proves nothing
        inside = ("busybox", "nc", "-w", "1", *place.split())
        production.engine.docker("exec", production.hostile, *inside)
    before = production.stands()

    with jobs.start("--json", "drill", "n") as running:
        found = until(lambda: drilled(production.engine), what="the drill's container")
        (network,) = found["NetworkSettings"]["Networks"]
        assert json.loads(production.engine.docker("network", "inspect", network))[0]["Internal"]
        done = running.end()

    assert done.code == 0, str(done)
    after = production.stands()
    assert changed(before, after) == []
    demand_cut_off(found, production)
    (unit,) = done.summary["units"]
    said = "; ".join(unit["container"]["left_out"])
    for word in (
        *(
            "path:/ at /host was not captured",
            "the restart policy",
            "published ports",
        ),
        *("extra hosts", "DNS settings", "devices", "added capabilities", "PID namespace"),
        *("IPC namespace", "UTS namespace", "security options", production.network),
    ):
        assert word in said, (word, said)


def changed(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two documents differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = {**before, **after}
        pairs = [(f"{where}/{key}", before.get(key), after.get(key)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(f"{where}/{at}", each, after[at]) for at, each in enumerate(before)]
    else:
        return [] if before == after else [f"{where}: {before!r} became {after!r}"]
    return [line for key, one, other in pairs for line in changed(one, other, key)]


def drilled(engine: Engine) -> Any:
    """What the engine says of the container of a drill that runs."""
    label = ("--filter", "label=voltar.drill-run", "--filter", "name=voltar-drill-")
    names = engine.docker("ps", "-q", *label).split()
    return json.loads(engine.docker("inspect", *names))[0] if names else None


def demand_cut_off(found: Any, production: Production) -> None:
    """The container of a drill has nothing of production, as far as the engine can tell."""
    host = found["HostConfig"]
    socket = production.engine.url.removeprefix("unix://")
    for name in (*production.volumes, str(production.bound), str(production.led), f'"{socket}"'):
        assert name not in json.dumps(found["Mounts"])
    for key in ("CapAdd", "Devices", "PortBindings", "VolumesFrom", "Links", "ExtraHosts"):
        assert not host[key], key
    assert (host["PidMode"], host["IpcMode"], host["UTSMode"]) == ("", "private", "")
    assert (host["Privileged"], host["RestartPolicy"]["Name"]) == (False, "no")
    assert "10.213.7" not in json.dumps(found["NetworkSettings"])
    assert found["Config"]["Labels"]["traefik.enable"] == "false"
    assert "com.docker.compose.project" not in found["Config"]["Labels"]
    (network,) = found["NetworkSettings"]["Networks"]
    assert network.startswith("voltar-drill-")


def test_a_killed_drill_is_cleared_away_by_the_next_run_and_a_living_one_is_not(
    voltar: Voltar, scratch: Scratch, image: str, bed: Engine
) -> None:
    name = served(scratch, image)
    other = scratch.volume(
        "--label", "voltar.drill-run=weekly", name=scratch.name("voltar-drill-x")
    )
    drill = 'drill = { assert = ["sleep", "900"], settle = "1s" }'
    jobs = configured(voltar, f'[jobs.n]\ncontainers = ["{name}"]\n{drill}\n')
    jobs("run", "n")

    with jobs.start("drill", "n") as running:
        until(lambda: drilled(bed), what="the drill's container")
        nothing = voltar("recover")
        assert "drill" not in nothing.err
        assert drilled(bed) is not None
        assert "is running already" in jobs("drill", "n", code=5).err
        running.kill()
    assert len(left(bed)) > 3
    again = voltar("recover")

    assert "was killed; what it made is removed" in again.err
    assert left(bed) == [other]
    assert [jobs.ask("log")[key] for key in ("kind", "result")] == ["drill", "killed"]


def test_a_drill_that_is_interrupted_leaves_nothing(
    voltar: Voltar, scratch: Scratch, image: str, bed: Engine
) -> None:
    name = served(scratch, image, files={"table": os.urandom(60 << 20)})
    voltar("backup", name)

    for when in (lambda: left(bed), lambda: drilled(bed)):
        with voltar.start("drill", f"container:{name}") as running:
            until(when, what="what to interrupt")
            os.killpg(running.process.pid, signal.SIGINT)
            done = running.end()

        assert done.code == 130
        assert left(bed) == []


def at_work(bed: Engine) -> list[str]:
    """The helpers that write to scratch volumes and run; one that does not run yet when its owner
    is killed is left alone for five minutes."""
    return bed.docker("ps", "--quiet", "--filter", "label=voltar.restore").split()


def test_a_drill_that_is_killed_while_it_restores_is_cleared_away(
    voltar: Voltar, scratch: Scratch, image: str, bed: Engine
) -> None:
    name = served(scratch, image, files={"table": os.urandom(60 << 20)})
    voltar("backup", name)

    with voltar.start("drill", f"container:{name}") as running:
        until(lambda: at_work(bed), what="the helper that writes to the scratch volume")
        assert left(bed)
        running.kill()
    until(lambda: not at_work(bed), what="the end of what has no owner any more")
    voltar("backup", name)

    assert left(bed) == []
