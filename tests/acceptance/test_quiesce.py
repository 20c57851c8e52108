"""Who writes to what a job reads is quiet meanwhile, and runs again as soon as it is read.

The writer of these tests appends a number to a file twice, first to `a`, then to `b`, and flushes
its last line when it is asked to end: a copy of a writer that is quiet has the same in both.
"""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.test_jobs import configured
from tests.testbed import images
from tests.testbed.command import run
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

WRITER = (
    "sh",
    "-c",
    "trap 'echo end >> /v/a; echo end >> /v/b; exit 0' TERM; n=0; "
    "while :; do n=$((n+1)); echo $n >> /v/a; echo $n >> /v/b; sleep 0.01; done",
)


@pytest.fixture
def writer(scratch: Scratch, image: str) -> Callable[..., str]:
    """Start a container that writes to a volume, or does what it is told there."""

    def writer(volume: str, *options: str, command: Sequence[str] = WRITER) -> str:
        return scratch.running(image, *command, options=["-v", f"{volume}:/v", *options])

    return writer


def state(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", name))[0]["State"]
    return found


def idle(scratch: Scratch) -> tuple[str, ...]:
    return (images.tools(scratch.engine), *WRITER[:2], "while :; do sleep 1; done")


def journals(voltar: Voltar) -> list[Path]:
    return list((voltar.home / "state/quiesce").glob("*.jsonl"))


def processes() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += path.read_bytes()
    return found


def job(voltar: Voltar, text: str) -> Voltar:
    return configured(voltar, f"[jobs.nightly]\n{text}\n")


def test_a_writer_is_stopped_while_it_is_read_and_runs_again(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str], fresh: Callable[..., str]
) -> None:
    volume, into = scratch.volume(), fresh()
    name = writer(volume)
    before = state(scratch.engine, name)

    done = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"')("--json", "run", "nightly")

    now = state(scratch.engine, name)
    assert now["Running"]
    assert now["StartedAt"] != before["StartedAt"]
    [snapshot] = [each for each in done.events if each["type"] == "snapshot"]
    assert [(each["container"], each["how"]) for each in snapshot["downtimes"]] == [(name, "stop")]
    voltar("restore", f"volume:{volume}", "--to", into)
    directory = Path(scratch.engine.volume_directory(into))
    assert (directory / "a").read_text() == (directory / "b").read_text()
    assert (directory / "a").read_text().endswith("end\n")


def test_a_run_by_hand_pauses_who_writes_and_no_other(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str], fresh: Callable[..., str]
) -> None:
    volume, into = scratch.volume(), fresh()
    name, reader = (
        writer(volume),
        scratch.running(*idle(scratch), options=["-v", f"{volume}:/v:ro"]),
    )

    done = voltar("backup", volume, "--quiesce", "pause")

    assert f"{name}: was paused for" in done.err
    assert reader not in done.err
    assert not state(scratch.engine, name)["Paused"]
    voltar("restore", f"volume:{volume}", "--to", into)
    first, second = (Path(scratch.engine.volume_directory(into)) / each for each in "ab")
    assert len(first.read_text().split()) - len(second.read_text().split()) in (0, 1)


@pytest.fixture
def sealed_off(voltar: Voltar) -> Iterator[Callable[[], object]]:
    """Lets nothing be written to the repository from now on."""
    path = str(voltar.repository)
    run(["mount", "--bind", path, path])
    yield lambda: run(["mount", "-o", "remount,bind,ro", path])
    run(["umount", "--lazy", path])


@pytest.mark.parametrize("words", [["run", "nightly"], ["backup", "--quiesce", "stop"]])
def test_nothing_stops_for_a_repository_that_takes_nothing(
    voltar: Voltar,
    scratch: Scratch,
    sealed_off: Callable[[], object],
    words: list[str],
) -> None:
    """Nor where nothing is new, and hardly anything would be written."""
    volume = scratch.volume()
    name = scratch.running(*idle(scratch), options=["-v", f"{volume}:/v"])
    voltar("backup", volume)
    before = state(scratch.engine, name)
    sealed_off()
    hook = f'[[jobs.nightly.hooks]]\nwhen = "before"\ncommand = ["touch", "{voltar.home}/ran"]'
    asking = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"\n{hook}')

    failed = asking(*words, *([volume] if "backup" in words else []), code=1)

    assert failed.err.startswith("error: cannot store probe/")
    assert f" in {voltar.repository}: Read-only file system" in failed.err
    assert state(scratch.engine, name)["StartedAt"] == before["StartedAt"]
    assert not (voltar.home / "ran").exists()
    assert journals(voltar) == []


def test_the_downtime_is_in_the_history(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    volume = scratch.volume()
    writer(volume)

    job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"')("run", "nightly")

    with closing(sqlite3.connect(voltar.home / "state/history.sqlite")) as database:
        ((seconds,),) = database.execute("SELECT downtime_s FROM source").fetchall()
    assert 0 < seconds < 30


def test_a_slow_store_does_not_prolong_the_time_that_nobody_runs(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    """What was there before is uploaded before; what the container writes at its end, after."""
    volume = scratch.volume()
    (Path(scratch.engine.volume_directory(volume)) / "noise").write_bytes(os.urandom(6 << 20))
    code = "trap 'head -c 3000000 /dev/urandom > /v/end; exit 0' TERM; while :; do sleep 0.05; done"
    writer(volume, command=("sh", "-c", code))

    began = time.monotonic()
    done = voltar("--json", "--limit-upload", "1M", "backup", volume, "--quiesce", "stop")
    took = time.monotonic() - began

    (snapshot,) = [each for each in done.events if each["type"] == "snapshot"]
    assert took > 8
    assert snapshot["downtimes"][0]["seconds"] < 3
    assert snapshot["bytes_stored"] > 9_000_000


NOISY_END = (
    "sh",
    "-c",
    "trap 'head -c 60000000 /dev/urandom > /v/end; exit 0' TERM; while :; do sleep 0.05; done",
)
STUBBORN = ("sh", "-c", "trap 'echo told' TERM; while :; do sleep 0.05; done")
PHASES = {
    "hook": '"is":"hook"',
    "hook here": '"is":"hook"',
    "stopping": '"is":"quieting"',
    "reading": '"is":"quiet"',
}


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("hook", signal.SIGINT),
        ("stopping", signal.SIGINT),
        ("reading", signal.SIGTERM),
        ("hook", signal.SIGKILL),
        ("hook here", signal.SIGKILL),
        ("stopping", signal.SIGKILL),
    ],
)
def test_whatever_ends_a_run_in_whatever_phase_all_run_again(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str], phase: str, number: int
) -> None:
    volume = scratch.volume()
    command = STUBBORN if phase == "stopping" else NOISY_END
    name = writer(volume, command=command)
    before = state(scratch.engine, name)["StartedAt"]
    long = f"{os.getpid()}.75"  # of no other worker
    text = f'''volumes = ["{volume}"]
        quiesce = "stop"
        grace = "{2 if phase == "stopping" else 30}s"
        [[jobs.nightly.hooks]]
        when = "after"
        command = ["touch", "{voltar.home}/after"]
        '''
    if "hook" in phase:
        text += f"""[[jobs.nightly.hooks]]
            when = "before"
            {f'container = "{name}"' if phase == "hook" else ""}
            command = ["sleep", "{long}"]
            """
    jobs = job(voltar, text)

    with jobs.start("run", "nightly") as running:
        until(lambda: any(PHASES[phase] in each.read_text() for each in journals(voltar)))
        if phase == "stopping":  # the journal is first
            until(lambda: "told" in scratch.engine.docker("logs", name), what="SIGTERM")
        os.killpg(running.process.pid, number)
        ended = running.end()
    if number == signal.SIGKILL:
        (journal,) = journals(voltar)
        assert f"job nightly was killed (run {journal.stem})" in jobs("recover").said

    assert ended.code == (-9 if number == signal.SIGKILL else 130)
    after = state(scratch.engine, name)
    assert after["Running"]
    # an engine that is stopping it obeys to the end, whoever has asked
    assert (after["StartedAt"] != before) is ("hook" not in phase)
    assert (voltar.home / "after").exists()
    assert journals(voltar) == []
    until(lambda: long.encode() not in processes(), within_s=5, what="the end of the hook")


def test_the_next_run_lets_run_again_what_a_killed_one_has_stopped_and_saves_it(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    volume = scratch.volume()
    name = writer(volume, command=NOISY_END)
    jobs = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"')
    with jobs.start("run", "nightly") as running:
        until(lambda: any(PHASES["reading"] in each.read_text() for each in journals(voltar)))
        os.killpg(running.process.pid, signal.SIGKILL)
        running.end()
    assert not state(scratch.engine, name)["Running"]

    again = jobs("run", "nightly")

    assert f"what it had made quiet runs again: {name}" in again.err
    assert f"{name}: was stopped for" in again.err
    assert state(scratch.engine, name)["Running"]


def test_a_journal_is_kept_while_its_engine_is_away(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    volume = scratch.volume()
    name = writer(volume)
    jobs = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"')
    with jobs.start("run", "nightly") as running:
        until(lambda: any(PHASES["reading"] in each.read_text() for each in journals(voltar)))
        os.killpg(running.process.pid, signal.SIGKILL)
        running.end()
    (journal,) = journals(voltar)
    there = journal.read_text()
    journal.write_text(there.replace(voltar.url, "unix:///nonexistent"))

    said = jobs.changed(url="unix:///nonexistent")("recover", code=1).said

    assert "containers that job nightly has stopped" in said
    assert journal.exists()
    journal.write_text(there)
    jobs.changed(url="unix:///nonexistent")("recover")
    assert state(scratch.engine, name)["Running"]
    assert journals(voltar) == []


def test_what_stays_down_fails_each_run_and_recover_until_it_runs(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str], tmp_path: Path
) -> None:
    """What its container binds goes while it is down, and comes back in the end."""
    volume, other = scratch.volume(), scratch.volume()
    bound, away = tmp_path / "bound", tmp_path / "away"
    bound.mkdir()
    name = writer(volume, "--mount", f"type=bind,src={bound},dst=/bound")
    hook = f'hooks = [{{ when = "before", command = ["mv", "{bound}", "{away}"] }}]'
    jobs = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"\n{hook}')

    first = jobs("run", "nightly", code=1)

    assert f"{name}: was stopped and does not run again" in first.err
    assert f"{name}: was stopped for" not in first.err
    for words in (("recover",), ("backup", other)):
        later = voltar("--json", *words, code=1)
        assert f"container {name!r} was stopped by this run" in later.error["message"]
    away.rename(bound)
    assert f"runs again: {name}" in voltar("recover").err
    assert state(scratch.engine, name)["Running"]


def test_a_server_that_fails_a_moment_after_it_was_started_fails_the_run(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    volume = scratch.volume()
    code = "[ -e /v/been ] && sleep 0.4 && exit 9; touch /v/been; trap exit TERM; "
    name = writer(volume, command=("sh", "-c", f"{code}while :; do sleep 0.05; done"))
    until((scratch.engine.volume_directory(volume) / "been").exists)
    hook = 'hooks = [{ when = "after", command = ["sleep", "0.9"] }]'
    jobs = job(voltar, f'volumes = ["{volume}"]\nquiesce = "stop"\n{hook}')

    failed = jobs("run", "nightly", code=1)

    assert f"container {name!r} was started again, and ended with exit code 9" in failed.err


@pytest.mark.parametrize("text", [b"", b'{"format":2}\n', b"\0\xff\n"])
def test_a_journal_that_cannot_be_read_fails_recover_until_somebody_removes_it(
    voltar: Voltar, text: bytes
) -> None:
    (voltar.home / "state/quiesce").mkdir(parents=True)
    journal = voltar.home / "state/quiesce/0123456789abcdef.jsonl"
    journal.write_bytes(text)

    failed = voltar("--json", "recover", code=1)

    assert f"{journal} of a killed run cannot be read" in failed.error["message"]
    assert journal.exists()


def test_who_cannot_be_stopped_is_refused_before_anything_stops(
    voltar: Voltar, scratch: Scratch, writer: Callable[..., str]
) -> None:
    volume, other = scratch.volume(), scratch.volume()
    name, free = writer(volume, "--label", "com.docker.swarm.service.id=x"), writer(other)

    done = voltar("backup", volume, other, "--quiesce", "stop", code=3)

    assert f"container {name!r} is a task of the swarm's service" in done.said
    assert f"{name}: was stopped" not in done.err
    assert f"{free}: was stopped for" in done.err


@pytest.mark.parametrize(
    "words", [("--grace", "5s"), ("--quiesce", "stop", "--grace", "5 minutes")]
)
def test_what_cannot_be_meant_is_refused(voltar: Voltar, words: Sequence[str]) -> None:
    assert "--grace" in voltar("backup", "x", *words, code=2).err


def test_a_hook_that_wants_a_run_left_out_leaves_out_images_too(
    voltar: Voltar, writer: Callable[..., str], fresh: Callable[..., str]
) -> None:
    name = writer(fresh())
    hook = 'when = "before", command = ["false"], on-error = "skip"'
    jobs = job(voltar, f'containers = ["{name}"]\nimages = true\nhooks = [{{ {hook} }}]')

    done = jobs.summary("run", "nightly", code=3)

    assert "image" in [each["source"].partition(":")[0] for each in done["skipped"]]
    assert voltar.ask("snapshots") == []
    told = jobs("status", "--offline", code=3).text
    assert "image:" in told
    assert "was not backed up: the hook 'false' before the reading" in told
