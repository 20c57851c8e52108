"""status and log, by the command line, on a history and a repository made for it."""

import json
import os
import pty
import socket
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from backup.cli.app import run
from backup.cli.context import Context
from backup.cli.metrics import Exporter
from backup.config import load
from backup.errors import ConfigError
from backup.history import History, Kind, Result, Run, SourceResult
from backup.repository import Snapshot, Statistics
from tests.acceptance.cli import COMMAND
from tests.saved import plain
from transports.store import open_store

NOW = datetime.now(UTC).replace(microsecond=0)
LOST = "files: 1000 before, 3 now"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("VOLTAR_PASSWORD", "VOLTAR_PASSWORD_FILE", "VOLTAR_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("VOLTAR_STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("VOLTAR_CONFIG", str(tmp_path / "voltar.toml"))
    location = f'[repositories.main]\nlocation = "{tmp_path / "repository"}"\n'
    jobs = '[jobs.nightly]\nvolumes = ["db"]\nschedule = "every day at 03:00"\n'
    (tmp_path / "voltar.toml").write_text(location + jobs)


@pytest.fixture
def repository(tmp_path):
    return plain(open_store(str(tmp_path / "repository")))


@pytest.fixture
def book(tmp_path):
    return History(tmp_path / "state/history.sqlite")


@pytest.fixture
def told(capsys):
    """Run a command; return its exit code, what it printed and what it complained of."""

    def told(*words):
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return told


def save(repository, *, hours=1, size=2048, **more):
    return repository.commit(
        Snapshot(
            time=NOW - timedelta(hours=hours),
            host="here",
            source="volume:db",
            run="00",
            statistics=Statistics(size=size, files=2),
            **more,
        )
    )


def lived(book, *found, number=1, result=Result.OK, message="", said=()):
    begun = NOW - timedelta(hours=10 - number)
    book.begin(Run(id=f"{number:016}", kind=Kind.BACKUP, job="nightly", started=begun))
    for each in found:
        book.add(f"{number:016}", each)
    for text in said:
        book.say(f"{number:016}", text)
    book.end(f"{number:016}", begun + timedelta(seconds=90), result, message)


def test_all_is_well(repository, told):
    snapshot = save(repository)

    code, out, err = told("status", "--json")

    assert (code, err) == (0, "")
    (job,) = json.loads(out)["jobs"]
    (source,) = job["sources"]
    assert (job["job"], job["state"], source["state"]) == ("nightly", "fine", "fine")
    assert (source["source"], source["snapshot"], source["bytes"]) == ("volume:db", snapshot, 2048)
    assert source["known_from"] == "repository"
    assert datetime.fromisoformat(job["next_run"]) > NOW


def test_what_is_overdue_ends_with_3(repository, told):
    save(repository, hours=50)

    code, out, _ = told("status")

    assert code == 3
    assert "volume:db is overdue: it was saved 2 d ago" in out


def test_a_job_that_has_never_run_is_overdue_after_it_was_due(book, told, tmp_path):
    path = tmp_path / "voltar.toml"
    path.write_text(path.read_text().replace('volumes = ["db"]', 'patterns = ["x*"]'))
    book.seen("nightly", NOW - timedelta(days=3))

    code, out, _ = told("status", "--offline")

    assert code == 3
    assert "job nightly is overdue: it has saved nothing yet" in out


def test_a_repository_that_does_not_answer_leaves_the_history(book, told, tmp_path):
    lived(book, SourceResult(source="volume:db", host="here", snapshot="ab", time=NOW, size=9))
    path = tmp_path / "voltar.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # where nobody listens any more
    location = f'"{tmp_path / "repository"}"'
    path.write_text(path.read_text().replace(location, f'"sftp://127.0.0.1:{port}/srv"'))

    code, out, err = told("status")
    assert code == 0
    assert "repository main does not answer, so this is from the history" in err
    assert "volume:db" in out

    code, out, err = told("status", "--offline", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["jobs"][0]["sources"][0]["known_from"] == "history"


def test_a_repository_that_is_gone_is_not_well(book, told):
    """Nothing could be restored, however short ago it was saved."""
    lived(book, SourceResult(source="volume:db", host="here", snapshot="ab", time=NOW, size=9))

    code, out, err = told("status")

    assert code == 3
    assert "there is no repository at" in err
    assert "volume:db" in out


def test_json_is_one_document_whatever_is_warned_of(book, told):
    """Else a script that asks how things are fails when something is wrong."""
    code, out, err = told("status", "--json")

    assert (code, json.loads(out)["jobs"][0]["job"]) == (3, "nightly")
    assert "there is no repository at" in json.loads(err)["message"]


def test_a_history_that_was_damaged_is_not_well_until_somebody_has_looked(repository, book, told):
    """What failed before is not known any more: nothing may pass for never, and for fine."""
    save(repository)
    lived(book, SourceResult(source="volume:gone", host="here", message="no"))
    book.path.write_bytes(b"rubbish" * 999)

    codes = [told("status", *words)[0] for words in ((), ("--offline",), ("--json",))]

    assert codes == [3, 3, 3]
    (aside,) = book.aside()
    code, out, _ = told("status")
    assert (code, "the history was damaged, and began anew: " in out) == (3, True)
    assert out.endswith(f"remove {aside}\n")
    assert json.loads(told("status", "--json")[1])["damaged_histories"] == [str(aside)]
    assert "voltar_histories_damaged 1.0" in told("metrics")[1]
    assert f"remove {aside}" in told("notify", "overdue")[2]

    aside.unlink()
    assert told("status", "--json")[0] == 0


def test_what_is_held_is_held_until_it_is_accepted(repository, told):
    save(repository, hours=9)
    bad = save(repository, anomalies=[LOST])

    code, out, _ = told("status")
    assert code == 3
    assert f"volume:db is held, nothing of it is forgotten: {LOST}" in out
    assert "`voltar status volume:db --accept`" in out

    assert told("status", "db", "--accept") == (0, f"accepted {bad[:10]} volume:db\n", "")
    assert told("status", "--json")[0] == 0
    code, _, err = told("status", "db", "--accept")
    assert (code, "nothing of 'db' is held" in err) == (2, True)
    assert told("status", "--accept")[0] == 2


def test_a_job_or_a_source_may_be_named(repository, told):
    save(repository)

    assert told("status", "nightly") == told("status", "db") == told("status", "volume:db")
    code, _, err = told("status", "nothing")
    assert (code, "no job 'nothing'" in err) == (2, True)


def test_a_run_that_failed_is_told_with_what_it_said(repository, book, told):
    save(repository)
    why = "no engine at unix:///x"
    lived(book, result=Result.FAILED, message=why, said=["warning: \x1b[31mred"])

    code, out, _ = told("status")
    assert code == 3
    assert f" failed: {why}; `voltar log 00000000`" in out

    code, out, _ = told("log")
    assert code == 0
    assert why in out
    assert "warning: \\x1b[31mred" in out
    assert told("log", "00000000")[1] == out == told("log", "--job", "nightly")[1]


def test_runs_are_listed_and_told_in_json(book, told):
    lived(book, number=1)
    lived(book, SourceResult(source="volume:db", host="h", message="gone"), number=2, said=["a"])

    code, out, _ = told("log", "--list", "--json")
    assert (code, [each["run"][-1] for each in json.loads(out)]) == (0, ["2", "1"])

    found = json.loads(told("log", "--json")[1])
    assert (found["result"], found["sources"][0]["message"]) == ("ok", "gone")
    assert [each["text"] for each in found["messages"]] == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("log",), "no run is known"),
        (("log", "ff"), "no run is called 'ff'"),
        (("log", "--job", "x"), "no run of 'x' is known"),
        (("log", "ff", "--list"), "--list shows runs"),
    ],
)
def test_what_is_not_there_is_an_error_of_whoever_asks(told, words, said):
    code, _, err = told(*words)

    assert code == 2
    assert said in err


def test_it_fits_into_a_narrow_terminal(repository, tmp_path):
    save(repository, hours=60)
    save(repository, hours=50, size=1 << 40)
    ours, theirs = pty.openpty()
    subprocess.run(
        [COMMAND, "status"],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "60", "TERM": "xterm"},
        check=False,
        timeout=60,
    )
    os.close(theirs)
    lines = os.read(ours, 65536).decode().splitlines()
    os.close(ours)

    table = next(line for line in lines if "overdue" in line)
    assert len(table) <= 60
    assert " ".join(table.split()) == "volume:db nightly 2 d ago 1.0 TiB x9999 overdue"


def test_a_check_of_all_data_verifies_and_is_known_as_a_prune_is(repository, told, tmp_path):
    save(repository)

    assert told("check", "-r", "main", "--read-data")[0] == 0
    assert told("prune", "-r", tmp_path / "repository")[0] == 0
    assert told("prune", "-r", "main", "--dry-run")[0] == 0

    code, out, _ = told("log", "--list", "--json")
    runs = [(each["kind"], each["job"], each["result"]) for each in json.loads(out)]
    there = str(tmp_path / "repository")
    assert (code, runs) == (0, [("prune", there, "ok"), ("check", "main", "ok")])
    (source,) = json.loads(told("status", "--json")[1])["jobs"][0]["sources"]
    assert (source["verified"]["level"], source["verified"]["passed"]) == ("content", True)


def test_a_check_that_finds_damage_verifies_nothing(repository, told, tmp_path):
    save(repository)
    (snapshot,) = (tmp_path / "repository/snapshots").iterdir()
    before = snapshot.read_bytes()
    snapshot.write_bytes(b"damaged")

    assert told("check", "-r", "main", "--read-data")[0] == 4

    snapshot.write_bytes(before)
    (run,) = json.loads(told("log", "--list", "--json")[1])
    assert (run["result"], run["message"][:10]) == ("failed", "1 damage: ")
    (source,) = json.loads(told("status", "--json")[1])["jobs"][0]["sources"]
    assert source["verified"] is None


def test_the_endpoint_is_where_the_configuration_says_and_outlives_errors_in_it(
    repository, book, tmp_path
):
    path = tmp_path / "voltar.toml"
    context = Context(config=path)
    with Exporter(context) as nowhere:
        nowhere.follow(load(path))
        assert nowhere.address is None
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with path.open("a") as file:
            file.write(f'[metrics]\nlisten = "{address}"\n')
        with Exporter(context) as refused, pytest.raises(ConfigError, match="cannot listen"):
            refused.follow(load(path))

    with Exporter(context) as there:
        there.follow(load(path))
        assert there.address == address
        path.write_text("none")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            text = reply.read().decode()

    assert 'voltar_source_failed{host="",job="nightly",source="volume:db"} 0.0' in text


def test_metrics_are_printed_and_written(repository, book, told, tmp_path):
    lived(book, SourceResult(source="volume:db", host="here", snapshot="ab", time=NOW, size=9))

    code, out, _ = told("metrics")
    assert code == 0
    assert 'voltar_source_size_bytes{host="here",job="nightly",source="volume:db"} 9.0' in out
    assert json.loads(told("metrics", "--json")[1])["text"].splitlines()[2] == out.splitlines()[2]
    code, _, err = told("metrics", "--write")
    assert (code, "names no file for metrics" in err) == (2, True)

    path = tmp_path / "voltar.prom"
    with (tmp_path / "voltar.toml").open("a") as file:
        file.write(f'[metrics]\ntextfile = "{path}"\n')
    assert told("metrics", "--write") == (0, f"written: {path}\n", "")
    assert "voltar_source_size_bytes" in path.read_text()
