"""Records of captures: a lock tells whose run is dead, and what is to be taken back is there."""

import fcntl
import os
import resource
import signal

import pytest

from backup.errors import BackupError, EngineError, EngineUnavailable
from backup.evidence.journal import Record, _begun, _dead, _tried

RECORD = Record(
    engine="E",
    container="c" * 64,
    name="web",
    image="voltar-evidence:7",
    pauses=True,
    directory="/somewhere",
)


def test_a_record_of_a_living_run_is_nobodys_business(tmp_path):
    handle = _begun(tmp_path / "7.json", RECORD)

    with _dead(tmp_path / "7.json") as found:
        assert found is None
    os.close(handle)


def test_a_disk_that_is_full_leaves_no_record(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(BackupError, match="cannot be kept"):
            _begun(tmp_path / "7.json", RECORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert list(tmp_path.iterdir()) == []


def test_a_record_whose_run_is_dead_is_read_and_locked(tmp_path):
    os.close(_begun(tmp_path / "7.json", RECORD))

    with _dead(tmp_path / "7.json") as found:
        assert found == RECORD
        with _dead(tmp_path / "7.json") as by_another:
            assert by_another is None


def test_a_container_that_goes_on_is_not_let_go_on_again(tmp_path):
    handle = _begun(tmp_path / "7.json", RECORD)
    os.write(handle, b"went on\n")
    os.close(handle)

    with _dead(tmp_path / "7.json") as found:
        assert isinstance(found, Record)
        assert not found.pauses


@pytest.mark.parametrize("data", [b"", b"{", b"[]\n", b"\xff\n"])
def test_what_is_no_record_is_told(tmp_path, data):
    (tmp_path / "7.json").write_bytes(data)

    with _dead(tmp_path / "7.json") as found:
        assert "7.json, cannot be read" in str(found)
        assert "voltar-evidence:7" in str(found)


def test_a_record_is_never_seen_unlocked(tmp_path, monkeypatch):
    seen = []
    lock = fcntl.flock

    def watched(handle, how):
        seen.append((tmp_path / "7.json").exists())
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", watched)
    os.close(_begun(tmp_path / "7.json", RECORD))

    assert seen == [False]


def test_where_no_record_can_be_kept_nothing_is_begun(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BackupError, match="journal of a capture"):
        _begun(tmp_path / "file" / "7.json", RECORD)


def test_what_an_engine_refuses_is_left_to_a_later_run():
    def refused():
        raise EngineError("it is in use")

    def gone():
        raise EngineUnavailable("no engine")

    assert _tried(refused) == "it is in use"
    assert _tried(lambda: None) is None
    with pytest.raises(EngineUnavailable):
        _tried(gone)
