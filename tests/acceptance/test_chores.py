"""Checks and prunes that fail, and who hears of it, however they are started; without an engine."""

import json
import re
import shlex
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.history import History
from tests.acceptance.cli import PASSWORD, Voltar, until
from tests.testbed.listener import Listener


@pytest.fixture
def voltar(made: Path, tmp_path: Path) -> Voltar:
    """A user with a repository "main", configured by `configure`."""
    shutil.copytree(made, tmp_path / "main", copy_function=shutil.copy2)
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    return Voltar(
        url=f"unix://{tmp_path}/no.sock",
        repository=None,
        home=tmp_path,
        password=None,
        more={"VOLTAR_CONFIG": str(tmp_path / "voltar.toml")},
    )


def configure(voltar: Voltar, listener: Listener, text: str) -> None:
    host = f"127.0.0.1:{listener.port}"
    place = f'[repositories.main]\nlocation = "{voltar.home}/main"\npassword-file = "password"\n'
    told = f'[notify]\nurls = ["json://{host}/told"]\nping = "http://{host}/jobs"\n'
    path = voltar.home / "voltar.toml"
    path.write_text(f"{place}{text.replace('HOST', host)}{told}")
    path.chmod(0o600)


def damage(voltar: Voltar) -> Path:
    """Let something be in the repository that is no snapshot."""
    path = voltar.home / "main/snapshots" / f"{7:064x}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"this is no snapshot")
    return path


def titles(listener: Listener) -> list[str]:
    told = [json.loads(each.body)["title"] for each in listener.heard if each.path == "/told"]
    return [each.split(": ")[1] for each in told]


def by_cron(voltar: Voltar) -> list[str]:
    """The words of the check's line."""
    (line,) = (each for each in voltar.ask("cron")["lines"] if each[0] != "#" and " check " in each)
    return shlex.split(line.replace("\\%", "%"))[6:]


def by_timer(voltar: Voltar) -> list[str]:
    """The words that the check's unit starts."""
    text = voltar.ask("systemd", "print")["files"]["voltar-check@.service"]
    (line,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(line.replace("%i", "main"))[1:]


def test_a_check_that_finds_damage_is_told_once_however_it_is_started(
    voltar: Voltar, listener: Listener
) -> None:
    schedule = 'check = "every 1 minutes"\ncheck-ping = "http://HOST/check"\n'
    configure(voltar, listener, schedule)
    voltar("check")
    snapshot = damage(voltar)

    for words in (["check"], by_timer(voltar), by_cron(voltar), ["-r", "main", "check"]):
        voltar(*words, code=4)
    configure(voltar, listener, schedule.replace("1 minutes", "1 seconds"))
    for number in range(2):  # a daemon, and another one
        log = voltar.home / f"log{number}"
        with log.open("wb") as out, voltar.start("daemon", stdout=out, stderr=out) as running:
            until(lambda log=log: "exit code 4" in log.read_text(), what="a check")  # type: ignore[misc]
            running.process.send_signal(signal.SIGTERM)
            assert running.end().code == 0
    voltar("notify", "overdue")
    snapshot.unlink()
    for _ in range(2):
        voltar("check")

    assert titles(listener) == ["check main failed", "check main is well again"]
    failed, well = [each for each in listener.heard if each.path == "/told"]
    assert "1 damage: " in failed.body
    assert "exit code 4" in failed.body
    assert "check main: ok" in well.body
    pings = [each for each in listener.paths if each != "/told"]
    assert pings[:4] == ["/check/start", "/check", "/check/start", "/check/fail"]
    assert pings[-1] == "/check"
    assert not any(each.startswith("/jobs") for each in pings)


def test_a_prune_that_fails_is_told_once_and_so_is_that_it_works_again(
    voltar: Voltar, listener: Listener
) -> None:
    configure(voltar, listener, 'prune-ping = "http://HOST/prune"\n')
    snapshot = damage(voltar)

    for _ in range(2):
        voltar("prune", code=4)
    voltar("prune", "--dry-run", code=4)
    snapshot.unlink()
    voltar("prune")
    voltar("-r", voltar.home / "main", "--password-file", voltar.home / "password", "prune")

    assert titles(listener) == ["prune main failed", "prune main is well again"]
    assert [each for each in listener.paths if each != "/told"] == [
        *("/prune/start", "/prune/fail") * 2,
        *("/prune/start", "/prune"),
    ]


def test_a_check_that_is_overdue_is_seen_everywhere_and_told_once(
    voltar: Voltar, listener: Listener
) -> None:
    textfile = voltar.home / "voltar.prom"
    metrics = f'[metrics]\ntextfile = "{textfile}"\n'
    configure(voltar, listener, f'check = "every day at 03:00"\n{metrics}')
    voltar("status")
    long_ago = datetime.now(UTC) - timedelta(days=9)
    (voltar.home / "state/history.sqlite").unlink()
    History(voltar.home / "state/history.sqlite").seen("check main", long_ago)

    told = voltar("status", "main", code=3).text
    (chore,) = voltar.ask("status", code=3)["chores"]
    for _ in range(2):
        voltar("notify", "overdue")
    overdue = voltar("metrics").text
    voltar("check")

    assert "check main is overdue: it never went well" in told
    assert chore == {
        "chore": "check",
        "name": "main",
        "state": "overdue",
        "last_success": None,
        "next_run": chore["next_run"],
        "last_run": None,
    }
    sample = 'voltar_chore_overdue{chore="check",name="main"}'
    assert f"{sample} 1.0\n" in overdue
    assert f"{sample} 0.0\n" in textfile.read_text()
    assert titles(listener) == ["check main is overdue", "check main is well again"]
    (chore,) = voltar.ask("status")["chores"]
    assert (chore["state"], chore["last_run"]["result"]) == ("fine", "ok")
    voltar("notify", "overdue")
    assert len(titles(listener)) == 2
