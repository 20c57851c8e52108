import contextlib
import os
import subprocess
from datetime import UTC, datetime

import pytest

from backup.errors import BackupError, InUse
from backup.scheduler import Mark, State, only_daemon, read_state, save_state

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STATE = State(seed="s", marks={"run x": Mark(said="every day", served=NOW, due=NOW)})


def test_what_was_saved_is_read(tmp_path):
    save_state(tmp_path / "schedule.json", STATE)

    assert read_state(tmp_path / "schedule.json") == (STATE, None)


def test_nothing_is_known_at_first(tmp_path):
    state, damage = read_state(tmp_path / "schedule.json")

    assert (state.marks, damage) == ({}, None)


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"\0" * 512,
        b'{"seed": 1}',
        b'{"marks": {"run x": {"said": "", "served": "2026-01-01T00:00:00", "due": "x"}}}',
    ],
    ids=["empty", "half", "other", "no UTF-8", "zeros", "type", "no zone"],
)
def test_a_damaged_file_is_told_of_and_kept_aside(tmp_path, bytes_):
    file = tmp_path / "schedule.json"
    file.write_bytes(bytes_)

    state, damage = read_state(file)
    save_state(file, state)

    assert damage
    assert bytes_ == (tmp_path / "schedule.damaged").read_bytes()
    assert (state, None) == read_state(file)


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.private
def test_a_full_disk_changes_nothing(small_disk):
    file = small_disk / "schedule.json"
    save_state(file, STATE)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))

    with pytest.raises(OSError, match="No space"):
        save_state(file, State(seed="other" * 10_000))

    assert read_state(file) == (STATE, None)
    assert {"schedule.json", "filler"} == set(os.listdir(small_disk))


def test_what_a_killed_daemon_left_disturbs_nobody(tmp_path):
    file = tmp_path / "schedule.json"
    save_state(file, STATE)
    (tmp_path / ".schedule.json.0a1b2c3d").write_bytes(b"half" * 1000)

    assert read_state(file) == (STATE, None)
    save_state(file, STATE)
    assert read_state(file) == (STATE, None)


def test_there_is_one_daemon_of_a_state_directory(tmp_path):
    with only_daemon(tmp_path / "state"):
        with pytest.raises(InUse, match="another daemon"), only_daemon(tmp_path / "state"):
            raise AssertionError
        with only_daemon(tmp_path / "other"):
            pass
    with only_daemon(tmp_path / "state"):
        pass


def test_a_place_that_is_none_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with (
        pytest.raises(BackupError, match="there can be no lock"),
        only_daemon(tmp_path / "file/state"),
    ):
        raise AssertionError
