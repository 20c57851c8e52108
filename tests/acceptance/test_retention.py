"""Forgetting, bringing back, pins, tags and policies, by the command line."""

import json
import os
import pty
import re
import select
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.repository import Repository, Snapshot, SnapshotId, catalog, open_repository
from tests.acceptance.cli import COMMAND, PASSWORD, Voltar
from tests.saved import at
from transports.store import open_store

TODAY = datetime.now(UTC).replace(hour=2, minute=30, second=0, microsecond=0)
NEWEST = TODAY - timedelta(days=1)


@pytest.fixture
def alone(made: Path, tmp_path: Path) -> Voltar:
    """The command with an encrypted repository; what is done here needs no engine."""
    shutil.copytree(made, tmp_path / "repository")
    return Voltar(url="unix:///nowhere", repository=tmp_path / "repository", home=tmp_path)


@pytest.fixture
def opened(alone: Voltar) -> Repository:
    """The same repository, to put snapshots of any time into it."""
    return open_repository(open_store(str(alone.repository)), PASSWORD)


def nightly(repository: Repository, nights: int, **facts: Any) -> list[SnapshotId]:
    """Commit a snapshot of each of the last nights; return the ids, the newest first."""
    said = {"host": "here", "source": "volume:db", "run": "00"} | facts
    return [
        repository.commit(Snapshot(time=NEWEST - timedelta(days=night), **said))
        for night in range(nights)
    ]


def listed(voltar: Voltar, *words: str) -> list[str]:
    """The ids that `snapshots` shows, the newest first."""
    return [each["id"] for each in voltar.ask("snapshots", *words)][::-1]


def on_a_terminal(voltar: Voltar, columns: int, *words: str) -> str:
    """What a terminal of a width shows, without its colours."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = voltar.environment | {"TERM": "xterm", "COLUMNS": str(columns)}
        os.execve(COMMAND, [str(COMMAND), *words], environment)
    said = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            said += os.read(terminal, 65536)
        except OSError:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    os.close(terminal)
    return re.sub(rb"\x1b\[[0-9;]*m", b"", said).decode().replace("\r\n", "\n")


# --- on an engine


def test_a_forgotten_backup_is_hidden_comes_back_and_restores(
    voltar: Voltar,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    content: Callable[[str], dict[bytes, Any]],
) -> None:
    volume = filled({"file": b"one\n"})
    (old,) = voltar.summary("backup", volume, "--tag", "first")["snapshots"]
    before = content(volume)
    (new,) = voltar.summary("backup", volume)["snapshots"]

    summary = voltar.summary("forget", "--keep-last", "1")

    assert summary["forgotten"] == [old]
    assert listed(voltar) == [new]
    hidden = voltar("restore", old, "--to", fresh("hidden"), code=1)
    assert f"voltar unforget {old[:10]}" in hidden.err
    (again,) = voltar.summary("backup", volume)["snapshots"]
    voltar("unforget", old)
    assert listed(voltar) == [again, new, old]
    restored = fresh()
    voltar("restore", old, "--to", restored)
    assert content(restored) == before
    assert voltar.summary("check")["damages"] == []


def test_a_backup_is_saved_whatever_the_markers_are_like(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled()
    (first,) = voltar.summary("backup", volume)["snapshots"]
    voltar("pin", first)
    assert voltar.repository is not None
    for directory, name in (("forgotten", first), ("annotations", "0" * 64)):
        (voltar.repository / directory).mkdir(exist_ok=True)
        (voltar.repository / directory / name).write_bytes(b"damaged")

    saved = voltar("backup", volume)

    assert f"forgotten/{first[:16]} is damaged" in saved.err
    told = voltar("snapshots", code=4)
    assert first[:10] in told.text
    assert "annotations/0000000000000000 is damaged" in told.err
    refused = voltar("forget", first, code=4)
    assert "it may be a pin, so nothing was forgotten" in refused.err


# --- a history of years


def test_a_policy_thins_out_two_years_and_gives_its_reasons(
    alone: Voltar, opened: Repository
) -> None:
    ids = nightly(opened, 730)
    policy = ("--keep-daily", "7", "--keep-weekly", "5", "--keep-monthly", "12", "--keep-yearly",
              "unlimited")  # fmt: skip

    planned = alone.summary("forget", *policy, "--dry-run")
    assert len(listed(alone)) == 730
    done = alone.summary("forget", *policy)

    assert planned["groups"] == done["groups"]
    (group,) = done["groups"]
    assert [each["id"] for each in group["snapshots"]] == ids
    kept = [each for each in group["snapshots"] if each["kept"]]
    assert kept[0]["reasons"] == ["daily", "weekly", "monthly", "yearly"]
    assert kept[-1]["id"] == ids[-1]
    assert kept[-1]["reasons"] in (["oldest yearly"], ["yearly"])  # the latter on 31 December
    for rule, count in (("daily", 7), ("weekly", 5), ("monthly", 12)):
        assert sum(rule in each["reasons"] for each in kept) == count
    assert done["kept"] == len(kept)
    assert listed(alone) == [each["id"] for each in kept]
    assert sorted(listed(alone, "--forgotten")) == sorted(done["forgotten"])

    again = alone.summary("forget", *policy)

    assert again["forgotten"] == []


def test_sources_and_hosts_do_not_use_up_the_places_of_each_other(
    alone: Voltar, opened: Repository
) -> None:
    ids = [
        *nightly(opened, 3),
        *nightly(opened, 3, source="path:/srv/www"),
        *nightly(opened, 3, host="there"),
    ]

    assert alone.summary("forget", "--keep-last", "2", "-n")["kept"] == 6
    assert alone.summary("forget", "--keep-last", "2", "--group-by", "source", "-n")["kept"] == 4
    only = alone.summary("forget", "--keep-last", "1", "--from-host", "there", "--source", "db")

    assert only["forgotten"] == ids[7:]
    assert len(listed(alone)) == 7


def test_pins_and_tags_keep_what_a_policy_does_not(alone: Voltar, opened: Repository) -> None:
    ids = nightly(opened, 10)
    alone("pin", f"volume:db@{NEWEST - timedelta(days=9):%Y-%m-%d}")
    alone("tag", ids[5], ids[6], "--add", "release", "--add", "v2")
    alone("tag", ids[6], "--remove", "v2")

    summary = alone.summary("forget", "--keep-last", "1", "--keep-tag", "release,v2")

    reasons = {each["id"]: each["reasons"] for each in summary["groups"][0]["snapshots"]}
    assert {found: why for found, why in reasons.items() if why} == {
        ids[0]: ["last"],
        ids[5]: ["tagged release,v2"],
        ids[9]: ["pinned"],
    }
    assert "pinned" in alone("forget", ids[9], code=5).err
    assert listed(alone) == [ids[0], ids[5], ids[9]]
    assert "pinned" in alone("snapshots").text
    alone("unpin", ids[9])
    alone("forget", ids[9])
    assert listed(alone) == [ids[0], ids[5]]


def test_what_would_leave_nothing_is_refused(alone: Voltar, opened: Repository) -> None:
    ids = nightly(opened, 2)

    refused = alone("--json", "forget", "--keep-tag", "never", code=5)
    alone("forget", code=2)
    alone("forget", ids[0], "--keep-last", "1", code=2)

    assert "keeps none of 2 snapshots of volume:db" in refused.error["message"]
    assert listed(alone) == ids


def test_what_was_forgotten_too_long_ago_does_not_come_back(
    alone: Voltar, opened: Repository
) -> None:
    late, later = nightly(opened, 2)
    now = datetime.now(UTC)
    catalog.forget(at(now - timedelta(hours=22, minutes=50), opened), [late])
    catalog.forget(at(now - timedelta(hours=23), opened), [later])

    alone("unforget", late)
    refused = alone("unforget", later, code=1)

    assert "forgotten more than 23 hours ago" in refused.err
    assert listed(alone) == [late]


def test_several_forget_at_the_same_time(alone: Voltar, opened: Repository) -> None:
    ids = nightly(opened, 20)

    running = [alone.start("--json", "forget", "--keep-last", "2") for _ in range(3)]
    ended = [each.end() for each in running]

    assert [each.code for each in ended] == [0, 0, 0], [str(each) for each in ended]
    assert listed(alone) == ids[:2]
    assert len(listed(alone, "--forgotten")) == 18
    assert alone.summary("check")["damages"] == []


def test_a_forget_that_is_killed_is_done_again(alone: Voltar, opened: Repository) -> None:
    """What it has put until then is whole; the rest is for the next run."""
    ids = nightly(opened, 300)
    assert alone.repository is not None
    markers = alone.repository / "forgotten"
    with alone.start("forget", "--keep-last", "2") as running:
        while not (markers.exists() and any(markers.iterdir())):
            assert running.process.poll() is None
        running.kill()

    assert set(listed(alone)) >= set(ids[:2])
    alone("forget", "--keep-last", "2")

    assert listed(alone) == ids[:2]
    assert len(listed(alone, "--forgotten")) == 298


# --- what is shown


def test_a_narrow_terminal_shows_each_reason(alone: Voltar, opened: Repository) -> None:
    ids = nightly(opened, 3, source="volume:a-rather-long-name-of-a-volume_data")

    said = on_a_terminal(
        alone, 60, "forget", "-n", "--keep-daily", "1", "--keep-weekly", "1", "--keep-monthly", "1",
        "--keep-yearly", "1", "--keep-within", "1d",
    )  # fmt: skip

    assert all(len(line) <= 60 for line in said.splitlines()[1:])
    words = re.sub(r"\s+", " ", said)
    assert re.search(rf"keep {ids[0][:10]} \S+ \S+ daily, weekly,", words)
    assert "monthly, yearly, within 1d" in words
    assert f"forget {ids[2][:10]}" in words


def test_a_simulation_shows_what_a_year_leaves(alone: Voltar, opened: Repository) -> None:
    ids = nightly(opened, 3)
    nightly(opened, 3, source="volume:a-rather-long-name-of-a-volume_data")
    policy = ("--keep-daily", "7", "--keep-monthly", "6")

    (found,) = alone.ask("retention", "simulate", *policy, "--source", "db")
    shown = on_a_terminal(alone, 60, "retention", "simulate", *policy)
    one = on_a_terminal(alone, 60, "retention", "simulate", *policy, "--source", "db")

    assert (found["snapshots"], found["kept"], found["added"]) == (3, 3, 365)
    assert 11 <= len(found["left"]) <= 13
    assert found["most"] >= len(found["left"])
    assert set(ids) <= set(listed(alone))
    for said in (shown, one):
        assert all(len(line.rstrip()) <= 60 for line in said.splitlines())
        assert re.search(rf"volume:db on here +3 +3 +365 +{found['most']}", said)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\dZ +0 h +daily, monthly", one)


def test_a_simulation_needs_no_repository(tmp_path: Path) -> None:
    bare = Voltar(url="unix:///nowhere", repository=None, home=tmp_path, password=None)

    (found,) = bare.ask(
        "retention", "simulate", "--imagined", "--every", "12h", "--for", "8w", "--keep-weekly", "4"
    )

    assert len(found["left"]) == 4
    assert found["added"] == 8 * 7 * 2 + 1
    assert json.dumps(found["left"][0]["reasons"]) == '["weekly"]'


def test_a_simulation_goes_on_for_the_coming_year(tmp_path: Path) -> None:
    bare = Voltar(url="unix:///nowhere", repository=None, home=tmp_path, password=None)
    policy = ("--keep-daily", "7", "--keep-monthly", "12", "--keep-yearly", "unlimited")

    (found,) = bare.ask("retention", "simulate", "--imagined", *policy)

    newest, *_, oldest = (datetime.fromisoformat(each["time"]) for each in found["left"])
    assert (found["snapshots"], found["added"]) in ((0, 366), (0, 367))
    assert timedelta(days=364) < newest - datetime.now(UTC) < timedelta(days=367)
    assert 7 + 10 <= len(found["left"]) <= 7 + 12 + 1
    assert newest - oldest > timedelta(days=300)
