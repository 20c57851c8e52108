"""What Prometheus is told: names that stay, a file that is whole, an endpoint that answers."""

import os
import re
import socket
import stat
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backup.config import Config
from backup.errors import BackupError, ConfigError
from backup.history import History, Kind, Result, Run, SourceResult
from backup.metrics import exposed, families, publish, serving
from backup.metrics.families import MOST_SOURCES
from backup.status import JobStatus, SourceFacts, SourceStatus, State

NOW = datetime.now(UTC).replace(microsecond=0)
LABELS = ("job", "source", "host", "chore", "name")
DOCUMENTED = Path(__file__).parents[2] / "docs/monitoring.md"


@pytest.fixture
def book(tmp_path):
    """A history with a run of an hour ago, of which a source failed, and a drill that did."""
    book = History(tmp_path / "history.sqlite")
    began = NOW - timedelta(hours=1)
    book.begin(Run(id="a1", kind=Kind.BACKUP, job="nightly", started=began))
    saved: dict[str, Any] = {
        "snapshot": "s1",
        "time": began,
        "files": 3,
        "size": 4096,
        "seconds": 1.5,
    }
    book.add("a1", SourceResult(source='volume:"d\nb', host="here", **saved))
    book.add("a1", SourceResult(source="path:/srv", host="here", message="it is gone"))
    book.end("a1", began + timedelta(seconds=90), Result.INCOMPLETE)
    book.begin(Run(id="d1", kind=Kind.DRILL, job="nightly", started=began))
    book.add("d1", SourceResult(source="path:/srv", host="here", level="store", message="content"))
    book.end("d1", NOW, Result.FAILED, "content")
    book.begin(Run(id="c1", kind=Kind.CHECK, job="main", started=began))
    book.end("c1", NOW, Result.OK)
    return book


def configured(**metrics):
    jobs = {"nightly": {"schedule": "every day at 03:00"}, "never": {"schedule": "every hour"}}
    main = {"location": "/srv", "check": "every day at 03:00", "prune": "every hour"}
    known = {"repositories": {"main": main}, "jobs": jobs, "metrics": metrics}
    return msgspec.convert(known, Config)


def parsed(text):
    """What Prometheus makes of it: {(name, labels): value}."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation, family
        assert family.type in ("gauge", "info"), family
        for sample in family.samples:
            labels = [sample.labels[each] for each in LABELS if each in sample.labels]
            found[sample.name, *labels] = sample.value
    return found


def test_each_source_and_job_is_told_of(book):
    found = parsed(exposed(configured(), book, UTC))

    good, bad = ('volume:"d\\nb', "here"), ("path:/srv", "here")
    began = (NOW - timedelta(hours=1)).timestamp()
    expected = {
        ("voltar_job_last_run_timestamp_seconds", "nightly"): began,
        ("voltar_job_last_run_timestamp_seconds", "never"): 0.0,
        ("voltar_job_last_run_duration_seconds", "nightly"): 90.0,
        ("voltar_job_last_run_success", "nightly"): 0.0,
        ("voltar_job_alarming", "nightly"): 1.0,
        ("voltar_job_alarming", "never"): 0.0,
        ("voltar_source_last_success_timestamp_seconds", "nightly", *good): began,
        ("voltar_source_last_success_timestamp_seconds", "nightly", *bad): 0.0,
        ("voltar_source_size_bytes", "nightly", *good): 4096.0,
        ("voltar_source_files", "nightly", *good): 3.0,
        ("voltar_source_last_duration_seconds", "nightly", *good): 1.5,
        ("voltar_source_failed", "nightly", *good): 0.0,
        ("voltar_source_failed", "nightly", *bad): 1.0,
        ("voltar_source_last_drill_timestamp_seconds", "nightly", *bad): began,
        ("voltar_source_last_drill_success", "nightly", *bad): 0.0,
        ("voltar_sources_left_out",): 0.0,
        ("voltar_chore_last_success_timestamp_seconds", "check", "main"): began,
        ("voltar_chore_last_success_timestamp_seconds", "prune", "main"): 0.0,
        ("voltar_chore_last_run_success", "check", "main"): 1.0,
        ("voltar_chore_overdue", "check", "main"): 0.0,
    }
    assert expected.items() <= found.items()
    assert found["voltar_job_next_run_timestamp_seconds", "nightly"] > NOW.timestamp()
    assert found["voltar_chore_next_run_timestamp_seconds", "prune", "main"] > NOW.timestamp()
    assert ("voltar_chore_last_run_success", "prune", "main") not in found
    assert ("voltar_source_last_drill_success", "nightly", *good) not in found


def test_every_name_is_documented_and_none_that_is_not(book):
    names = {name for name, *_ in parsed(exposed(configured(), book, UTC))} | {"voltar_up"}

    assert set(re.findall(r"\bvoltar_[a-z_]+", DOCUMENTED.read_text())) == names


def test_sources_are_bounded():
    sources = [
        SourceStatus(SourceFacts(source=f"volume:{number}"), State.FINE)
        for number in range(MOST_SOURCES + 7)
    ]
    job = JobStatus(name="n", state=State.FINE, next_run=None, last=None, sources=tuple(sources))

    found = {each.name: each.samples for each in families([job], NOW)}

    assert [each.value for each in found["voltar_sources_left_out"]] == [7]
    assert len(found["voltar_source_size_bytes"]) == MOST_SOURCES


def test_the_file_is_readable_whole_and_alone(book, tmp_path):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out/voltar.prom"
    path.write_text("old")
    before = os.umask(0o077)
    try:
        written = publish(configured(textfile=str(path)), book, UTC)
    finally:
        os.umask(before)

    assert written == path
    assert parsed(path.read_bytes())["voltar_sources_left_out",] == 0.0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_whoever_reads_the_file_meanwhile_sees_all_of_it(book, tmp_path):
    path = tmp_path / "voltar.prom"
    found = configured(textfile=str(path))
    publish(found, book, UTC)
    size, ended = path.stat().st_size, threading.Event()
    sizes = set()

    def read():
        while not ended.is_set():
            sizes.add(len(path.read_bytes()) > size // 2)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        publish(found, book, UTC)
    ended.set()
    reader.join()

    assert sizes == {True}


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(book, tmp_path):
    (tmp_path / "taken").mkdir()

    for name, why in (("none/x.prom", "No such file"), ("taken", "directory")):
        with pytest.raises(BackupError, match=f"cannot write the metrics to .*{why}"):
            publish(configured(textfile=str(tmp_path / name)), book, UTC)

    assert not list(tmp_path.glob(".taken*"))


def test_nothing_is_written_that_nobody_wants(book):
    assert publish(configured(), book, UTC) is None


def asked(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return parsed(reply.read())


def test_the_endpoint_answers_with_what_is_known_by_then(book):
    with serving("127.0.0.1:0", configured, book, UTC) as port:
        before = asked(port)
        book.begin(Run(id="a2", kind=Kind.BACKUP, job="nightly", started=NOW))
        book.end("a2", NOW, Result.FAILED, "no")
        after = asked(port)

    name = ("voltar_job_last_run_timestamp_seconds", "nightly")
    assert (before[name], after[name]) == ((NOW - timedelta(hours=1)).timestamp(), NOW.timestamp())
    assert after["voltar_up",] == 1.0
    with pytest.raises(OSError, match="refused"):
        asked(port)


def test_the_endpoint_goes_on_where_the_history_cannot_be_read(tmp_path):
    (tmp_path / "history.sqlite").mkdir()

    with serving("127.0.0.1:0", configured, History(tmp_path / "history.sqlite"), UTC) as port:
        assert asked(port) == {("voltar_up",): 0.0}


def test_a_port_that_is_taken_is_an_error_that_says_so(book):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with (
            pytest.raises(ConfigError, match=f"cannot listen on {address}: Address already in use"),
            serving(address, configured, book, UTC),
        ):
            pass


@pytest.mark.parametrize("address", ["9100", "localhost:", ":9100", "a:b", "127.0.0.1:70000"])
def test_what_is_no_address_is_an_error(book, address):
    with (
        pytest.raises(ConfigError, match="expected HOST:PORT"),
        serving(address, configured, book, UTC),
    ):
        pass
