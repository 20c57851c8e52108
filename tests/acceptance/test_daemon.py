"""`voltar daemon` as a process, with processes of its own that check a real repository."""

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.history import History, Kind, Result, Run
from backup.job.runner import alone
from backup.scheduler import Mark, State, save_state
from tests.acceptance.cli import PASSWORD, Running, Voltar, until
from tests.acceptance.test_jobs import configured

LONG_AGO = datetime.now(UTC) - timedelta(days=9)
DAILY = 'check = "every day at 03:00"'
SOON = 'check = "every 2 seconds"'


@dataclass(frozen=True, kw_only=True)
class Home:
    """A user who has a repository "main", and a daemon that checks it."""

    voltar: Voltar
    path: Path
    log: Path

    def configure(self, text: str) -> None:
        location = f'[repositories.main]\nlocation = "{self.path}/main"\n'
        (self.path / "voltar.toml").write_text(location + text)

    def was_served(self, moment: datetime) -> None:
        """Have the state of a daemon that was there until then."""
        mark = Mark(said="every day at 03:00", served=moment, due=moment + timedelta(days=1))
        (self.path / "state").mkdir()
        save_state(self.path / "state/schedule.json", State(marks={"check main": mark}))

    @contextmanager
    def daemon(
        self, *words: str, more: Mapping[str, str] | None = None, **options: Any
    ) -> Iterator[Running]:
        with (
            self.log.open("ab") as log,
            self.voltar.changed(more=more or {}).start(
                *("--config", "voltar.toml", "daemon", *words),
                **({"cwd": self.path, "stdout": log, "stderr": log} | options),
            ) as running,
        ):
            yield running

    def wait_for(self, text: str, times: int = 1) -> None:
        until(lambda: self.log.read_text().count(text) >= times, what=f"{text!r} in the log")

    def events(self, name: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [each for each in found if each.get("event") == name]


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """Its runs ask a command for the password, which takes its time where there is a file "slow".
    There is no engine."""
    shutil.copytree(made, tmp_path / "main", copy_function=shutil.copy2)
    asked = f"test -e {tmp_path}/slow && touch {tmp_path}/asked && exec sleep 60; echo '{PASSWORD}'"
    (tmp_path / "password").write_text(asked)
    voltar = Voltar(
        url=f"unix://{tmp_path}/no.sock",
        repository=None,
        home=tmp_path,
        password=None,
        more={"VOLTAR_PASSWORD_COMMAND": f"sh {tmp_path}/password", "TZ": "Asia/Kathmandu"},
    )
    return Home(voltar=voltar, path=tmp_path, log=tmp_path / "log")


@contextmanager
def supervisor(home: Home) -> Iterator[tuple[dict[str, str], Callable[[str], None]]]:
    """What systemd sets, and a way to wait until it hears something."""
    address = f"@voltar-{home.path}"[:100]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:])
        listening.settimeout(30)

        def hear(text: str) -> None:
            while text not in listening.recv(4096).decode():
                pass

        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "JOURNAL_STREAM": "8:1"}
        yield environ, hear


def test_what_is_due_is_run_and_the_supervisor_hears_of_it(home: Home) -> None:
    home.configure(SOON)

    with supervisor(home) as (environ, hear), home.daemon(more=environ) as running:
        hear("READY=1")
        hear("STATUS=running: check main")
        for _ in range(3):
            hear("WATCHDOG=1")
        home.wait_for("check main: done after", 2)
        running.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1\nMONOTONIC_USEC=")

        assert running.end().code == 0

    lines = home.log.read_text().splitlines()
    assert lines[:2] == ["ready: 1 task with a schedule", "check main: started"]
    assert lines[-1] == "stopped"


def test_a_new_configuration_with_an_error_changes_nothing(home: Home) -> None:
    home.configure(DAILY)

    with (
        supervisor(home) as (environ, hear),
        home.daemon("--json", more=environ) as running,
    ):
        hear("READY=1")
        home.configure('check = "every dya"')
        running.process.send_signal(signal.SIGHUP)
        hear("RELOADING=1\nMONOTONIC_USEC=")
        hear("READY=1")
        home.configure(SOON)
        running.process.send_signal(signal.SIGHUP)
        hear("READY=1")
        home.wait_for('"event": "ended"')
        running.process.send_signal(signal.SIGTERM)

        assert running.end().code == 0

    refused, taken = home.events("reload")
    assert (refused["type"], taken["type"]) == ("warning", "daemon")
    assert "stays as it was" in refused["message"]
    assert "'every dya'" in refused["message"]
    assert home.events("ended")[0] | {"task": "check main", "code": 0} == home.events("ended")[0]


def test_what_tasks_print_has_their_names(home: Home) -> None:
    home.configure('check = "every 2 seconds"\nprune = "every 2 seconds"\n')
    (home.path / "password").write_text("echo wrong")

    for words in ((), ("--json",)):
        home.log.write_bytes(b"")
        with home.daemon(*words) as running:
            for task in ("check main", "prune main"):
                home.wait_for(f"{task}: failed")
            running.process.send_signal(signal.SIGTERM)
            assert running.end().code == 0
        lines = home.log.read_text().splitlines()
        if words:
            assert {each.get("task") for each in map(json.loads, lines) if "code" in each} >= {
                "check main",
                "prune main",
            }
            assert all("task" in each for each in map(json.loads, lines))
        else:
            assert sum(each.startswith("check main: error: ") for each in lines) > 0
            assert sum(each.startswith("prune main: error: ") for each in lines) > 0
            assert not any(each.startswith(("error: ", "hint: ")) for each in lines)


def test_prometheus_is_answered_where_the_configuration_says_if_it_can_be(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        home.configure(f'{DAILY}\n[metrics]\nlisten = "{address}"\n')
        refused = home.voltar("--config", home.path / "voltar.toml", "daemon", code=2)
    assert f"cannot listen on {address}: Address already in use" in refused.err

    with home.daemon() as running:
        home.wait_for(f"ready: 1 task with a schedule, metrics at {address}")
        assert answers(address)
        everywhere = address.replace("127.0.0.1", "0.0.0.0")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            elsewhere = f"127.0.0.1:{taken.getsockname()[1]}"
            for number, listen in enumerate((elsewhere, everywhere, elsewhere), 1):
                if number == 3:
                    taken.close()
                home.configure(f'{DAILY}\n[metrics]\nlisten = "{listen}"\n')
                running.process.send_signal(signal.SIGHUP)
                home.wait_for("the configuration ", number)
                assert answers(address if number < 3 else elsewhere)
        assert not answers(address)
        running.process.send_signal(signal.SIGTERM)
        assert running.end().code == 0
    assert f"cannot listen on {elsewhere}: Address already in use" in home.log.read_text()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as reply:
            return b"\nvoltar_up 1.0\n" in reply.read()
    except urllib.error.URLError:
        return False


def test_there_is_one_daemon_of_a_machine(home: Home) -> None:
    home.configure(DAILY)

    with home.daemon() as running:
        home.wait_for("ready")
        other = home.voltar("--config", home.path / "voltar.toml", "daemon", code=5)
        running.process.send_signal(signal.SIGINT)

        assert running.end().code == 0

    assert "another daemon runs already" in other.err


def test_a_configuration_with_an_error_is_no_beginning(home: Home) -> None:
    home.configure('check = "every dya"')

    done = home.voltar("--config", home.path / "voltar.toml", "daemon", code=2)

    assert "'every dya'" in done.err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_ends_with_the_daemon_is_made_good_by_the_next(home: Home, number: int) -> None:
    home.configure(DAILY)
    home.was_served(LONG_AGO)
    (home.path / "slow").touch()
    with home.daemon() as running:
        until((home.path / "asked").exists, what="a run")
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        child = int(children.read_text())
        running.process.send_signal(number)
        running.process.wait(20)
        until(lambda: not Path(f"/proc/{child}").exists(), what="the end of the run")

    (home.path / "slow").unlink()
    with home.daemon() as running:
        home.wait_for("check main: done after")
        running.process.send_signal(signal.SIGTERM)

        assert running.end().code == 0
    assert home.log.read_text().count(", due since ") == 2


def test_a_damaged_state_is_told_and_made_anew_from_the_history(home: Home) -> None:
    home.configure(DAILY)
    home.was_served(datetime.now(UTC))
    (home.path / "state/schedule.json").write_bytes(b"\0" * 99)
    history = History(home.path / "state/history.sqlite")
    history.begin(Run(id="r", kind=Kind.CHECK, job="main", started=LONG_AGO))
    history.end("r", LONG_AGO, Result.OK)

    with home.daemon() as running:
        home.wait_for("schedule.json is damaged")
        home.wait_for("check main: started, due since")
        home.wait_for("check main: done after")
        running.process.send_signal(signal.SIGTERM)

        assert running.end().code == 0
    assert (home.path / "state/schedule.damaged").read_bytes() == b"\0" * 99


def test_a_log_that_cannot_be_written_ends_nothing(home: Home) -> None:
    home.configure(SOON)

    with (
        Path("/dev/full").open("wb") as full,
        home.daemon(stdout=full, stderr=full) as running,
    ):
        state = home.path / "state/schedule.json"
        until(state.exists, what="a state")
        first = state.read_bytes()
        until(lambda: state.read_bytes() != first, what="a run's end")
        running.process.send_signal(signal.SIGTERM)

        assert running.end().code in (0, 120)  # Python cannot write its last words either


def test_a_time_zone_that_nobody_knows_is_no_beginning(home: Home) -> None:
    home.configure(DAILY)
    lost = home.voltar.changed(more={"TZ": "Mars/Olympus"})

    done = lost("--config", home.path / "voltar.toml", "daemon", code=2)

    assert "the time zone 'Mars/Olympus' is not known" in done.err


def test_a_job_is_backed_up_when_it_is_due_and_alone(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled({"a": b"content"})
    text = f'[jobs.often]\nvolumes = ["{volume}"]\nschedule = "every 2 seconds"\n'
    jobs = configured(voltar, text)
    log = voltar.home / "log"

    with log.open("wb") as out, alone(voltar.home / "state", "often"):
        running = jobs.start("daemon", stdout=out, stderr=out)
        until(lambda: "runs already" in log.read_text(), what="a run that does not begin")
    with running:
        running.process.send_signal(signal.SIGTERM)
        assert running.end().code == 0
    assert voltar.ask("snapshots") == []

    with log.open("wb") as out, jobs.start("daemon", stdout=out, stderr=out) as running:
        until(lambda: log.read_text().count("run often: done") > 1, what="two runs")
        running.process.send_signal(signal.SIGTERM)
        assert running.end().code == 0
    assert len(voltar.ask("snapshots")) >= 2
