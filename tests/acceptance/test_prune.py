"""Prune, check and repair, by the command line; what lies a day back is put there by the program
with its clock set back."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.report import ignore
from backup.repository import Repository, SnapshotId, catalog, open_repository, prune_repository
from tests.acceptance.cli import PASSWORD, Voltar
from tests.saved import content, save
from tests.tars import END, header, padded
from tests.testbed.engine import Engine
from transports.store import open_store

SIZE = 300_000


@pytest.fixture
def alone(made: Path, tmp_path: Path) -> Voltar:
    """The command with an encrypted repository; what is done here needs no engine."""
    shutil.copytree(made, tmp_path / "repository")
    return Voltar(url="unix:///nowhere", repository=tmp_path / "repository", home=tmp_path)


@pytest.fixture
def opened(alone: Voltar) -> Callable[[timedelta], Repository]:
    """Opens the same repository, so long ago."""

    def opened(ago: timedelta = timedelta()) -> Repository:
        repository = open_repository(open_store(str(alone.repository)), PASSWORD)
        repository.clock = lambda: datetime.now(UTC) - ago
        return repository

    return opened


Opened = Callable[..., Repository]


def tar(name: bytes, data: bytes) -> list[bytes]:
    return [header(name, size=len(data)) + padded(data) + END]


@pytest.fixture
def two(opened: Opened) -> tuple[SnapshotId, SnapshotId]:
    """Two snapshots with nothing in common, made and the first one forgotten three days ago."""
    repository = opened(timedelta(days=3))
    gone = save(repository, tar(b"gone", os.urandom(SIZE)), number=0)
    stays = save(repository, tar(b"stays", os.urandom(SIZE)), number=1)
    catalog.forget(repository, [gone])
    return gone, stays


def size_of(voltar: Voltar) -> int:
    assert voltar.repository is not None
    return sum(path.stat().st_size for path in voltar.repository.rglob("*") if path.is_file())


def test_space_comes_free_a_day_after_it_was_condemned(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    good = content(opened())[two[1]]
    prune_repository(opened(timedelta(hours=25)), ignore)
    before = size_of(alone)

    told = alone.summary("prune")

    assert told["bytes_deleted"] > SIZE
    assert before - size_of(alone) >= told["bytes_deleted"]
    assert content(opened()) == {two[1]: good}
    assert alone.summary("check", "--read-data")["damages"] == []


def test_the_first_prune_condemns_and_says_when_it_comes_free(
    alone: Voltar, two: tuple[SnapshotId, SnapshotId]
) -> None:
    before = size_of(alone)

    told = alone("prune").text
    again = alone.summary("prune")

    assert "condemned: 2 packs" in told
    assert "come free by the first prune after" in told
    assert "deleted: 1 forgotten snapshots" in told
    assert again["packs_waiting"] == 2
    assert again["packs_deleted"] == again["packs_condemned"] == 0
    assert size_of(alone) > before - 10_000
    alone("unforget", two[0][:10], code=1)


def test_a_dry_run_changes_nothing(alone: Voltar, two: tuple[SnapshotId, SnapshotId]) -> None:
    assert alone.repository is not None
    files = {path: path.stat().st_mtime_ns for path in alone.repository.rglob("*")}

    told = alone("prune", "--dry-run").text
    as_json = alone.summary("prune", "--dry-run")

    assert "would be condemned: 2 packs" in told
    assert (as_json["dry_run"], as_json["packs_condemned"]) == (True, 2)
    after = {path: path.stat().st_mtime_ns for path in alone.repository.rglob("*")}
    assert {p: t for p, t in after.items() if "tmp" not in p.parts} == {
        p: t for p, t in files.items() if "tmp" not in p.parts
    }


def test_exclusive_frees_at_once(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    good = content(opened())[two[1]]

    told = alone.summary("prune", "--exclusive")

    assert told["bytes_deleted"] > SIZE
    assert size_of(alone) < 1.5 * SIZE
    assert content(opened()) == {two[1]: good}


def test_forget_and_prune_in_one(alone: Voltar, two: tuple[SnapshotId, SnapshotId]) -> None:
    events = alone("--json", "forget", two[1][:10], "--prune").events

    assert [event["forgotten"] for event in events if "forgotten" in event] == [[two[1]]]
    assert events[-1]["snapshots_deleted"] == 1
    assert alone.ask("snapshots") == []


@pytest.mark.parametrize("text", ["5", "5%", "2G", "unlimited", "0"])
def test_max_unused_is_a_share_a_size_or_unlimited(alone: Voltar, text: str) -> None:
    assert alone.summary("prune", "--max-unused", text)["packs_deleted"] == 0


def test_max_unused_says_what_is_worth_copying(alone: Voltar, opened: Opened) -> None:
    """Half of a pack is unused: what is used is copied out only where that is too much."""
    repository = opened(timedelta(days=3))
    files = [os.urandom(SIZE) for _ in range(2)]
    both = header(b"gone", size=SIZE) + padded(files[0]) + tar(b"stays", files[1])[0]
    gone = save(repository, [both], number=0)
    stays = save(repository, tar(b"stays", files[1]), number=1)
    catalog.forget(repository, [gone])

    kept = [alone.summary("prune", "-n", "--max-unused", text) for text in ("unlimited", "90%")]
    copied = [alone.summary("prune", "-n", "--max-unused", text) for text in ("5%", "0", "100K")]
    alone.summary("prune", "--exclusive", "--max-unused", "0")

    assert [each["bytes_copied"] < SIZE for each in kept] == [True] * 2
    assert [each["bytes_copied"] > SIZE for each in copied] == [True] * 3
    assert size_of(alone) < 1.5 * SIZE
    assert content(opened()) == {stays: tar(b"stays", files[1])[0]}


@pytest.mark.parametrize("text", ["-1", "101%", "many", "", "5%%", "nan"])
def test_amounts_that_are_none_are_refused(alone: Voltar, text: str) -> None:
    alone("prune", "--max-unused", text, code=2)
    alone("check", f"--read-data={text}", code=2)


def test_a_damaged_snapshot_stops_prune_and_is_named(
    alone: Voltar, two: tuple[SnapshotId, SnapshotId]
) -> None:
    assert alone.repository is not None
    for pack in (alone.repository / "packs").rglob("*"):
        if pack.is_file():
            pack.unlink()

    told = alone("prune", code=4)

    assert two[1][:10] in told.err
    assert "no pack was deleted" in told.err


def test_a_sample_of_the_data_is_read_unless_all_is_asked_for(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    whole = alone.summary("check")["bytes"]

    for words, least, most in (
        ([], whole, whole),  # a small repository is read whole
        (["--read-data"], whole, whole),
        (["--read-data=100%"], whole, whole),
        (["--read-data", "100%"], whole, whole),
        (["--read-data=0"], 0, 0),
        (["--read-data=0%"], 0, 0),
        (["--read-data=1G"], whole, whole),
        (["--read-data=10K"], 1, whole - 1),
        (["--read-data=5%"], 1, whole - 1),
        (["--read-data=1%"], 1, whole - 1),
    ):
        told = alone.summary("check", *words)
        assert least <= told["bytes_read"] <= most, words
        assert told["damages"] == []


def test_flipped_data_are_found_by_reading_them_only(
    alone: Voltar, two: tuple[SnapshotId, SnapshotId]
) -> None:
    assert alone.repository is not None
    packs = [path for path in (alone.repository / "packs").rglob("*") if path.is_file()]
    pack = max(packs, key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)

    assert alone.summary("check", "--read-data=0")["damages"] == []
    told = alone("check", "--read-data", code=4)

    assert pack.name[:10] in told.text
    assert "cannot be read whole" in told.text


def test_indexes_are_made_anew_from_the_packs(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    assert alone.repository is not None
    good = content(opened())
    indexes = [path for path in (alone.repository / "index").rglob("*") if path.is_file()]
    indexes[0].chmod(0o600)
    indexes[0].write_bytes(b"rubbish")
    indexes[1].unlink()

    alone("check", code=4)
    alone("prune", code=4)
    told = alone.summary("repair", "index")

    assert (told["packs"], told["damages"]) == (4, [])
    assert alone.summary("check")["damages"] == []
    assert content(opened()) == good
    alone("prune")


def test_packs_alone_are_enough_to_make_indexes(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    assert alone.repository is not None
    good = content(opened())
    shutil.rmtree(alone.repository / "index")
    for cache in alone.home.rglob("tables.sqlite3*"):
        cache.unlink()

    assert alone.summary("check", code=4)["damages"]
    told = alone.summary("repair", "index")

    assert (told["packs"], told["damages"]) == (4, [])
    assert alone.summary("check", "--read-data")["damages"] == []
    assert content(opened()) == good


def test_a_cache_that_is_spoilt_or_of_another_does_no_harm(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId], tmp_path: Path
) -> None:
    voltar = alone.changed(more={"VOLTAR_CACHE_DIRECTORY": str(tmp_path / "cache")})
    voltar("prune", "--dry-run")
    (file,) = (tmp_path / "cache").rglob("*.sqlite3")
    file.write_bytes(b"not a database" * 1000)

    assert voltar.summary("prune", "--dry-run")["packs_condemned"] == 2
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file where a directory should be")
    assert voltar.summary("prune", "--dry-run")["packs_condemned"] == 2


def test_a_prune_that_is_killed_is_done_again(
    alone: Voltar, opened: Opened, two: tuple[SnapshotId, SnapshotId]
) -> None:
    assert alone.repository is not None
    repository = opened(timedelta(days=3))
    doomed = [save(repository, tar(b"%d" % n, os.urandom(2000)), number=n) for n in range(2, 200)]
    catalog.forget(repository, doomed)
    good = content(opened())
    snapshots = alone.repository / "snapshots"
    there = len(list(snapshots.iterdir()))
    with alone.start("prune", "--exclusive") as running:
        while len(list(snapshots.iterdir())) == there:
            assert running.process.poll() is None
        running.kill()

    assert len(list(snapshots.iterdir())) > 1
    assert alone.summary("check", "--read-data")["damages"] == []
    assert content(opened()) == good
    alone("prune", "--exclusive")
    assert content(opened()) == good
    assert size_of(alone) < 1.5 * SIZE


def test_the_main_way(
    voltar: Voltar, filled: Callable[..., str], fresh: Callable[..., str], bed: Engine
) -> None:
    """Back up, change, back up, forget the first, prune, and restore the second."""
    volume = filled({"a": os.urandom(200_000), "b": b"stays"})
    (first,) = voltar.summary("backup", volume)["snapshots"]
    other = filled({"a": os.urandom(200_000)})
    voltar("backup", other)
    voltar("forget", first)
    told = voltar.summary("prune", "--exclusive")

    assert told["snapshots_deleted"] == 1
    assert told["bytes_deleted"] > 200_000
    target = fresh()
    voltar("restore", f"volume:{other}", "--to", target, "--verify=full")
    voltar("restore", f"volume:{volume}", "--to", fresh(), code=1)
    (again,) = voltar.summary("backup", volume)["snapshots"]
    voltar("restore", again, "--to", fresh(), "--verify=full")
    assert voltar.summary("check", "--read-data")["damages"] == []
    assert bed.docker("volume", "inspect", target)
