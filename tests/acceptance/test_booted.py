"""The units at work under a systemd that runs a machine of its own."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backup.quiesce.journal import DIRECTORY
from backup.scheduler import Mark, State, save_state
from tests.acceptance.cli import COMMAND, PASSWORD, until
from tests.testbed.booted import NOBODY, PROJECT, Machine, missing
from tests.testbed.command import run
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

pytestmark = pytest.mark.private

DAILY = "every day at 03:00"
TWO_DAYS_AGO = datetime.now(UTC) - timedelta(days=2)
DAEMON = "voltar.service"
STATE = "/var/lib/voltar"
FORBIDDEN = (
    f"touch {PROJECT}/left-by-a-test",
    "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness",
    "mknod /dev/disk b 254 0",
    "date --set=now",
    "mount --options remount,rw /usr",
)
STOPS_WHEN_IT_MAY = (
    "trap 'until [ -e /data/go ]; do sleep 0.02; done; exit 0' TERM; while :; do sleep 0.05; done"
)
CONFIGURATION = """
[repositories.main]
location = "/srv/backup"
password-credential = "main"
{times}
[jobs.nightly]
volumes = ["{volume}"]
quiesce = "stop"
schedule = "every day at 03:00"
{more}
"""

awaited = partial(until, within_s=120)


class Host:
    """A machine with voltar, a repository, and the units for a job."""

    def __init__(self, machine: Machine, made: Path) -> None:
        self.machine = machine
        repository = machine.path("/srv/backup")
        shutil.copytree(made, repository, copy_function=shutil.copy2)
        run(["chown", "-R", f"{NOBODY}:{NOBODY}", repository])
        machine.write("/etc/credstore/main", PASSWORD, 0o600)

    def configure(self, volume: str, *, times: str = "", more: str = "") -> None:
        text = CONFIGURATION.format(times=times, volume=volume, more=more)
        self.machine.write("/etc/voltar/voltar.toml", text)

    def voltar(self, *words: str) -> str:
        return self.machine.run("env", f"VOLTAR_STATE_DIRECTORY={STATE}", COMMAND, *words)

    def shown(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.machine.run("systemctl", "show", "--value", "--property", key, unit).strip()

    def edit(self, unit: str, text: str) -> None:
        """What `systemctl edit` does."""
        self.machine.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
        self.machine.run("systemctl", "daemon-reload")

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.voltar("log", "--list", "--json"))
        return found

    def was_served(self, moment: datetime) -> None:
        """Have the state of a daemon that was there until then."""
        mark = Mark(said=DAILY, served=moment, due=moment + timedelta(days=1))
        here = self.machine.directory / "schedule.json"
        save_state(here, State(marks={"run nightly": mark}))
        self.machine.write(f"{STATE}/schedule.json", here.read_text())

    def await_end(self, unit: str) -> None:
        """Wait until a service has run, and well."""
        ran = ("inactive", "success")
        awaited(
            lambda: (
                self.shown(unit, "ExecMainExitTimestamp")
                and (self.shown(unit, "ActiveState"), self.shown(unit, "Result")) == ran
            ),
            what=unit,
        )

    def await_status(self, text: str) -> None:
        """Wait until the daemon says so of itself."""
        awaited(lambda: self.shown(DAEMON, "StatusText").startswith(text), what=text)

    def await_window(self) -> None:
        """Wait until a run has begun to stop containers."""
        journals = self.machine.path(STATE) / DIRECTORY
        awaited(
            lambda: ['"quieting"' in one.read_text() for one in journals.glob("*.jsonl")] == [True],
            what="a window",
        )


@pytest.fixture
def host(engine: Engine, made: Path) -> Iterator[Host]:
    """A machine beside the test's engine."""
    if (why := missing()) is not None:
        pytest.skip(f"no machine with a systemd of its own can be booted here: {why}")
    directory = engine.daemon.directory.with_name(f"machine-{secrets.token_hex(3)}")
    with Machine(directory, engine) as machine:
        yield Host(machine, made)


@dataclass(frozen=True)
class Stack:
    """A volume, and a container that writes to it."""

    engine: Engine
    volume: str
    container: str

    @property
    def is_running(self) -> bool:
        return self._inspected("Running") == "true"

    @property
    def started(self) -> str:
        return self._inspected("StartedAt")

    def _inspected(self, key: str) -> str:
        return self.engine.docker("inspect", "--format", f"{{{{.State.{key}}}}}", self.container)

    def let_stop(self) -> None:
        """From now on the container stops when it is told to."""
        (self.engine.volume_directory(self.volume) / "go").touch()


@pytest.fixture
def stack(scratch: Scratch, image: str, filled: Callable[..., str]) -> Stack:
    """One whose container does not stop before it may."""
    volume = filled()
    options = ["--volume", f"{volume}:/data", "--stop-timeout", "60"]
    command = ("sh", "-c", STOPS_WHEN_IT_MAY)
    return Stack(scratch.engine, volume, scratch.running(image, *command, options=options))


def test_the_machine_is_kept_from_the_one_that_it_runs_on(host: Host) -> None:
    seen = host.machine.run("ls", "-A", "/tmp", "/var/tmp")
    ended = {act: host.machine.attempt("sh", "-c", act).returncode for act in FORBIDDEN}

    assert seen.split() == ["/tmp:", "/var/tmp:"]
    assert not {0, 127} & set(ended.values()), ended


def test_a_machine_that_was_off_makes_good_all_that_it_missed(
    host: Host, filled: Callable[..., str]
) -> None:
    times = f'check = "{DAILY}"\nprune = "{DAILY}"'
    host.configure(filled(), times=times, more=f'drill = {{ schedule = "{DAILY}" }}')
    host.voltar("systemd", "install")
    names = ["job@nightly", "check@main", "prune@main"]
    timers = [f"voltar-{name}.timer" for name in names]

    host.machine.run("systemctl", "stop", *timers)
    for timer in timers:
        stamp = host.machine.path(f"/var/lib/systemd/timers/stamp-{timer}")
        os.utime(stamp, (TWO_DAYS_AGO.timestamp(),) * 2)
    host.machine.run("systemctl", "start", *timers)

    for name in names:
        host.await_end(f"voltar-{name}.service")
    host.machine.run("systemctl", "start", "voltar-drill@nightly.service")
    assert host.machine.run("systemctl", "is-enabled", *timers).split() == ["enabled"] * 3
    found = {(one["kind"], one["result"]) for one in host.history()}
    assert found == {(kind, "ok") for kind in ("backup", "check", "prune", "drill")}


def test_a_job_that_is_stopped_puts_its_containers_back_and_is_seen_as_failed(
    host: Host, stack: Stack
) -> None:
    host.configure(stack.volume)
    host.voltar("systemd", "install")
    unit = "voltar-job@nightly.service"
    host.machine.write(
        "/etc/systemd/system/told@.service",
        "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /srv/%i\n",
    )
    host.edit("voltar-job@.service", "[Unit]\nOnFailure=told@%p-%i.service\n")

    before = stack.started
    host.machine.run("systemctl", "start", "--no-block", unit)
    host.await_window()
    host.machine.run("systemctl", "stop", "--no-block", unit)
    stack.let_stop()

    awaited(lambda: host.shown(unit, "ActiveState") == "failed", what="its end")
    assert stack.is_running
    assert stack.started != before
    awaited(host.machine.path("/srv/voltar-job-nightly").exists, what="OnFailure=")


def test_what_a_run_had_stopped_when_the_machine_died_runs_again_after_the_next_boot(
    host: Host, stack: Stack
) -> None:
    host.configure(stack.volume)
    host.voltar("systemd", "install")
    unit = "voltar-job@nightly.service"
    host.machine.run("systemctl", "start", "--no-block", unit)
    host.await_window()
    host.machine.run("systemctl", "kill", "--signal=KILL", unit)
    stack.let_stop()
    awaited(lambda: not stack.is_running, what="its end")

    host.machine.run("systemctl", "start", "multi-user.target")

    awaited(lambda: stack.is_running, what="another start")


def test_a_daemon_that_hangs_is_started_again_and_makes_good_what_it_had_begun(
    host: Host, stack: Stack
) -> None:
    host.configure(stack.volume)
    host.edit(DAEMON, "[Service]\nWatchdogSec=8\nRestartSec=0\n")
    host.was_served(TWO_DAYS_AGO)
    host.voltar("systemd", "install", "--daemon")

    host.await_window()
    host.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", DAEMON)
    stack.let_stop()

    awaited(lambda: host.shown(DAEMON, "NRestarts") != "0", what="another start")
    host.await_status("next: run nightly, ")
    assert host.history()[0]["result"] == "ok"
    assert stack.is_running


def test_a_daemon_reads_its_configuration_again_and_ends_when_it_is_told(
    host: Host, filled: Callable[..., str]
) -> None:
    volume = filled()
    host.configure(volume)
    host.voltar("systemd", "install", "--daemon")
    host.await_status("next: run nightly, ")

    host.configure(volume, more="nonsense = 1")
    host.machine.run("systemctl", "reload", DAEMON)
    host.configure(volume, times='check = "every 2 seconds"')
    host.machine.run("systemctl", "reload", DAEMON)
    host.await_status("running: check main; ")
    host.machine.run("systemctl", "stop", DAEMON)

    assert host.shown(DAEMON, "Result") == "success"
    said = host.machine.run("journalctl", "--unit", DAEMON, "--output", "cat")
    assert "warning: the configuration stays as it was" in said
    assert "check main: interrupted; it is caught up after a start" in said
    assert PASSWORD not in said
