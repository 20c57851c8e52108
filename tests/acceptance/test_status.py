"""What looks like a loss is held; what runs came to is known, whatever becomes of them."""

import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.cli import Voltar, until
from tests.acceptance.files import fill
from tests.acceptance.test_jobs import configured
from tests.testbed.engine import Engine

FILES = {f"file{number}": f"line {number}\n".encode() * 2500 for number in range(100)}


def job(voltar: Voltar, volume: str, more: str = "") -> Voltar:
    text = f'[jobs.nightly]\nvolumes = ["{volume}"]\nkeep = {{ last = 1 }}\n{more}'
    return configured(voltar, text)


def held(voltar: Voltar, jobs: Voltar, volume: str, word: str) -> None:
    """Demand that a run finds something, tells it in all places, and forgets nothing."""
    before = len(voltar.ask("snapshots"))
    name = f"volume:{volume}"

    done = jobs("run", "nightly", code=3)
    assert f"{name}: {word}: " in done.err
    told = voltar("forget", "--keep-last", "1", code=3)
    assert f"{name}: nothing of it is forgotten" in told.err

    assert len(voltar.ask("snapshots")) == before + 1
    (source,) = jobs.ask("status", code=3)["jobs"][0]["sources"]
    assert (source["state"], source["held"].split(":")[0]) == ("held", word)
    assert f"{name}: {word}: " in jobs("log").text


def test_old_snapshots_of_what_was_deleted_are_held_until_it_is_back(
    voltar: Voltar, filled: Callable[..., str], engine: Engine
) -> None:
    volume = filled(FILES)
    place = engine.volume_directory(volume)
    jobs = job(voltar, volume)
    jobs("run", "nightly")
    for each in [*place.iterdir()][:70]:
        each.unlink()

    held(voltar, jobs, volume, "files")

    fill(place, FILES)
    jobs("run", "nightly")
    assert len(voltar.ask("snapshots")) == 1
    jobs("status")


def test_old_snapshots_of_what_was_encrypted_are_held_until_that_is_accepted(
    voltar: Voltar, filled: Callable[..., str], engine: Engine, tmp_path: Path
) -> None:
    volume = filled(FILES)
    textfile = tmp_path / "voltar.prom"
    jobs = job(voltar, volume, f'[metrics]\ntextfile = "{textfile}"\n')
    jobs("run", "nightly")
    for each in engine.volume_directory(volume).iterdir():
        each.write_bytes(os.urandom(each.stat().st_size))

    held(voltar, jobs, volume, "encrypted")
    jobs("run", "nightly", code=3)

    metrics = {
        each.name: each.samples for each in text_string_to_metric_families(textfile.read_text())
    }
    assert [each.value for each in metrics["voltar_source_held"]] == [1]
    assert [each.value for each in metrics["voltar_job_alarming"]] == [1]
    assert len(voltar.ask("snapshots")) == 3

    jobs("status", volume, "--accept")
    jobs("run", "nightly")
    assert len(voltar.ask("snapshots")) == 1
    jobs("status", "--offline")


def test_a_run_that_was_killed_is_told_and_a_history_that_is_damaged_keeps_none_from_running(
    voltar: Voltar, bed: Engine, filled: Callable[..., str]
) -> None:
    jobs = job(voltar, filled({"large": os.urandom(64 << 20)}))
    history = voltar.home / "state/history.sqlite"
    with jobs.start("run", "nightly") as running:
        until(lambda: history.exists() and history.stat().st_size, what="the run")
        # what is killed before its helper runs leaves that for five minutes
        until(lambda: bed.docker("ps", "-q", "--filter", "label=voltar.helper"), what="the helper")
        running.kill()

    assert jobs.ask("status", code=3)["jobs"][0]["last_run"]["result"] == "killed"
    history.write_bytes(b"damaged" * 1000)

    done = jobs("run", "nightly")

    assert "the history is damaged; it is " in done.err
    assert [each["result"] for each in jobs.ask("log", "--list")] == ["ok"]
    assert "the history was damaged" in jobs("status", code=3).text
    next(history.parent.glob("history.sqlite.damaged-*")).unlink()
    jobs("status")
