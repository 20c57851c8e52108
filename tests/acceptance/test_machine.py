"""A machine as its owner leaves it: a stack, one voltar.toml, and what starts by itself."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.scheduler import Mark, State, save_state
from tests.acceptance.cli import Voltar, until
from tests.acceptance.drilling import left
from tests.acceptance.files import fill
from tests.acceptance.servers import POSTGRES, Server, serve
from tests.acceptance.test_jobs import configured
from tests.acceptance.units import Caged
from tests.testbed.listener import Listener
from tests.testbed.scratch import Scratch

FILES = {"table": b"what the owner has no other copy of\n", "photos/1": bytes(range(256)) * 999}
SERVES = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
SCHEDULES = {
    "job@shop": "every day at 03:00",
    "check@main": "every day at 05:00",
    "prune@main": "every sunday at 06:00",
    "drill@shop": "every monday at 04:00",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A database server, and a container that serves files; a compose project."""

    scratch: Scratch
    image: str
    project: str
    files: str
    volume: str
    server: Server

    @property
    def sources(self) -> set[str]:
        return {f"volume:{self.volume}", f"volume:{self.server.volume}", self.server.source}

    def content(self) -> tuple[dict[str, bytes], int]:
        """The files, and how many rows the database has, none of which may be half."""
        directory = self.scratch.engine.volume_directory(self.volume)
        found = {name: (directory / name).read_bytes() for name in FILES}
        rows, wrong = self.server.rows()
        assert wrong == 0
        return found, rows


def stack(scratch: Scratch, image: str) -> Stack:
    """Start it, with content."""
    project = scratch.name("shop")
    label = ("--label", f"com.docker.compose.project={project}")
    volume = scratch.volume()
    fill(scratch.engine.volume_directory(volume), FILES)
    healthy = ("--health-cmd", "test -s /data/table", "--health-interval", "1s")
    files = scratch.running(image, *SERVES, options=("-v", f"{volume}:/data", *label, *healthy))
    server = serve(scratch, POSTGRES, options=label, filled=True)
    server.ask(POSTGRES.transaction.replace("$i", "1"))
    return Stack(scratch, image, project, files, volume, server)


def lose(of: Stack) -> None:
    """Remove all of it, data included."""
    engine = of.scratch.engine
    engine.docker("rm", "--force", "--volumes", of.files, of.server.container)
    engine.docker("volume", "rm", of.volume, of.server.volume)


def rebuild(of: Stack) -> None:
    """Start both containers anew, as the project's file has them; the database is empty."""
    engine, server = of.scratch.engine, of.server
    label = ("--label", f"com.docker.compose.project={of.project}")
    mounts = ("-v", f"{of.volume}:/data")
    engine.docker("run", "-d", "--name", of.files, *label, *mounts, of.image, *SERVES)
    words = [word for each in POSTGRES.environment for word in ("-e", each)]
    words += ["-v", f"{server.volume}:{POSTGRES.data}", *label]
    engine.docker("run", "-d", "--name", server.container, *words, POSTGRES.image(engine))
    until(server.answers, what="the new server")


@pytest.fixture
def machine(
    voltar: Voltar, scratch: Scratch, image: str, listener: Listener, tmp_path: Path
) -> tuple[Stack, Voltar]:
    """The stack, and the command with the one file that says all."""
    found = stack(scratch, image)
    text = f"""\
check = "{SCHEDULES["check@main"]}"
prune = "{SCHEDULES["prune@main"]}"

[jobs.shop]
projects = ["{found.project}"]
schedule = "{SCHEDULES["job@shop"]}"
time-zone = "Europe/Lisbon"
quiesce = "stop"
dump = "postgres"
keep = {{ last = 2 }}
ping = "http://127.0.0.1:{listener.port}/ping"

[[jobs.shop.hooks]]
when = "before"
container = "{found.files}"
command = ["sh", "-c", "echo hooked >> /data/hooked"]

[jobs.shop.drill]
schedule = "{SCHEDULES["drill@shop"]}"
container = "{found.files}"
assert = ["sh", "-c", "test $(wc -c < /data/photos/1) = {len(FILES["photos/1"])}"]

[notify]
urls = ["json://127.0.0.1:{listener.port}/told"]

[metrics]
textfile = "{tmp_path}/metrics/voltar.prom"
"""
    (tmp_path / "metrics").mkdir()
    return found, configured(voltar, text)


def told(listener: Listener) -> list[str]:
    """The titles of what the owner was told, without the machine's name."""
    bodies = [json.loads(each.body) for each in listener.heard if each.path == "/told"]
    return [each["title"].partition(": ")[2] for each in bodies]


def states(owner: Voltar) -> set[tuple[str, str]]:
    """The sources of the job, and how `status` finds them."""
    (job,) = owner.ask("status")["jobs"]
    return {(each["source"], each["state"]) for each in job["sources"]}


@pytest.mark.private
def test_units_keep_a_stack_safe_and_it_comes_back(
    machine: tuple[Stack, Voltar], listener: Listener, tmp_path: Path
) -> None:
    shop, jobs = machine
    units = tmp_path / "units"
    jobs("systemd", "install", "--directory", units)
    services = {name: Caged(jobs, units, tmp_path, name) for name in SCHEDULES}
    owner = jobs.changed(more={"VOLTAR_STATE_DIRECTORY": str(tmp_path / "State")})

    for name in (*SCHEDULES, "job@shop"):
        done = services[name].start()
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    before = shop.content()
    assert states(owner) == {(source, "fine") for source in shop.sources}
    covered = owner.ask("coverage", code=(0, 3))["sources"]
    assert {each["source"] for each in covered if each["state"] == "protected"} >= {
        f"volume:{shop.volume}",
        f"volume:{shop.server.volume}",
    }
    assert (shop.scratch.engine.volume_directory(shop.volume) / "hooked").read_text() == (
        "hooked\n" * 2
    )

    lose(shop)
    assert services["job@shop"].start().returncode != 0
    assert services["job@shop"].start().returncode != 0
    owner("restore", f"volume:{shop.volume}", "--to", shop.volume, "--verify=full")
    rebuild(shop)
    into = f"container:{shop.server.container}"
    owner("restore", shop.server.source, "--to", into)
    assert services["job@shop"].start().returncode == 0

    assert shop.content() == before
    assert told(listener) == ["job shop failed", "job shop is well again"]
    assert [each["kind"] for each in owner.ask("log", "--list")][::-1] == [
        "backup", "check", "prune", "drill", "backup", "backup", "backup", "backup",
    ]  # fmt: skip
    assert 'voltar_job_alarming{job="shop"} 0.0' in (tmp_path / "metrics/voltar.prom").read_text()
    assert left(shop.scratch.engine) == []


@pytest.mark.private
def test_a_daemon_catches_up_on_all_of_it_once(
    machine: tuple[Stack, Voltar], listener: Listener, tmp_path: Path
) -> None:
    """All was due while the machine was off: each is caught up, once."""
    shop, jobs = machine
    now = datetime.now(UTC)
    words = {"job": "run", "check": "check", "prune": "prune", "drill": "drill"}
    marks = {
        f"{words[name.split('@')[0]]} {name.split('@')[1]}": Mark(
            said=said, served=now - timedelta(days=9), due=now - timedelta(days=1)
        )
        for name, said in SCHEDULES.items()
    }
    (jobs.home / "state").mkdir(exist_ok=True)
    save_state(jobs.home / "state/schedule.json", State(marks=marks))
    jobs("run", "shop")  # a drill may come first

    def ran(count: int) -> bool:
        runs = jobs.ask("log", "--list")
        return len([each for each in runs if each["ended"]]) >= count

    with jobs.start("daemon") as daemon:
        until(lambda: ran(5), within_s=120, what="a job, a check, a prune and a drill")
        daemon.process.terminate()
        assert daemon.end().code == 0
    runs = jobs.ask("log", "--list")
    assert sorted((each["kind"], each["result"]) for each in runs) == [
        ("backup", "ok"), ("backup", "ok"), ("check", "ok"), ("drill", "ok"), ("prune", "ok"),
    ]  # fmt: skip
    assert told(listener) == []
    assert left(shop.scratch.engine) == []
