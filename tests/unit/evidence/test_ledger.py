"""What is written down of evidence, and where it goes to."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from backup.compression import ArchiveError
from backup.errors import EngineError, UsageError
from backup.evidence.ledger import Ledger
from backup.evidence.place import Facts, InRepository, demand_free, directory
from backup.members import archive
from tests.memory_store import MemoryStore
from tests.saved import NOW, checked, plain, reopened


def breaking(*blocks: bytes):
    yield from blocks
    raise EngineError("it went away")


@pytest.fixture
def temporary(tmp_path):
    return tmp_path / ".voltar-making.tmp"


def test_each_artefact_is_listed_with_size_and_digest(temporary, tmp_path):
    with directory(temporary) as made:
        ledger = Ledger(made)
        ledger.add("logs/a.log", [b"some", memoryview(b"thing")], "a log")
        digest = ledger.close({"run": "7"})
        made.publish(tmp_path / "evidence")

    found = tmp_path / "evidence"
    manifest = json.loads((found / "manifest.json").read_text())
    assert manifest["artefacts"] == [
        {
            "name": "logs/a.log",
            "size": 9,
            "sha256": hashlib.sha256(b"something").hexdigest(),
            "about": "a log",
        }
    ]
    assert (manifest["run"], manifest["missing"], manifest["format"]) == ("7", [], 1)
    sums = (found / "SHA256SUMS").read_bytes()
    assert digest == hashlib.sha256(sums).hexdigest()
    assert [line.split()[1] for line in sums.decode().splitlines()] == [
        "logs/a.log", "manifest.json",
    ]  # fmt: skip


def test_what_cannot_be_had_at_all_leaves_no_file(temporary):
    with directory(temporary) as made:
        ledger = Ledger(made)

        with pytest.raises(EngineError):
            ledger.add("top.json", breaking(), "processes")

        assert ledger.artefacts == []
        assert list(temporary.iterdir()) == []


def test_what_breaks_off_is_kept_as_far_as_it_came(temporary):
    with directory(temporary) as made:
        ledger = Ledger(made)

        with pytest.raises(EngineError):
            ledger.add("a.log", breaking(b"the", b" start"), "a log")

        (artefact,) = ledger.artefacts
        assert (artefact.size, artefact.about) == (9, "a log, cut off")
        assert (temporary / "a.log").read_bytes() == b"the start"


def test_what_was_not_published_is_gone(temporary):
    with pytest.raises(KeyError), directory(temporary) as made:
        made.add("a", [b"x"])
        raise KeyError

    assert not temporary.exists()


@pytest.mark.parametrize("name", ["evidence", "evidence.tar"])
def test_what_came_there_meanwhile_is_not_replaced(temporary, tmp_path, name):
    output = tmp_path / name
    demand_free(output)

    with pytest.raises(UsageError, match="replaces nothing"), directory(temporary) as made:
        made.add("a", [b"x"])
        output.write_text("somebody's")
        made.publish(output)

    assert output.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [output]


def test_a_directory_that_cannot_be_written_is_one_sentence(temporary):
    with directory(temporary) as made, pytest.raises(ArchiveError, match="cannot write"):
        made.add("a" * 300, [b"x"])


def test_only_the_owner_may_read_it(temporary, tmp_path):
    with directory(temporary) as made:
        made.add("d/a", [b"x"])
        made.publish(tmp_path / "evidence")

    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "evidence").rglob("*")}
    assert modes == {0o700, 0o600}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 3_000_000])
def test_in_a_repository_it_is_a_tar_of_the_same_files(tmp_path, size):
    repository = plain(MemoryStore())
    body = bytes(range(256)) * (size // 256 + 1)
    with InRepository(repository) as made:
        ledger = Ledger(made)
        ledger.add("d/body", [body[:size][:1000], body[:size][1000:]], "a body")
        with pytest.raises(EngineError):
            ledger.add("broken", breaking(b"half"), "what broke off")
        ledger.close({})
        made.commit("evidence:web", Facts(time=NOW, host="here", run="7", program="voltar"))

    ((_, snapshot),) = reopened(repository).snapshots()
    stream = tmp_path / "evidence.tar"
    stream.write_bytes(b"".join(archive(reopened(repository), snapshot)))
    with tarfile.open(stream) as tar:
        read = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    assert read["d/body"] == body[:size]
    assert read["broken"] == b"half"
    assert set(read) == {"d/body", "broken", "manifest.json", "SHA256SUMS"}
    assert (snapshot.statistics.files, snapshot.imported) == (4, True)
    assert snapshot.statistics.size == sum(map(len, read.values()))
    assert checked(repository).damages == []


def test_a_tar_file_holds_the_same(temporary, tmp_path):
    with directory(temporary) as made:
        made.add("d/a", [b"x" * 700])
        made.publish(tmp_path / "evidence.tar.zst")

    assert not temporary.exists()
    assert_listed(tmp_path / "evidence.tar.zst", b"x" * 700)


def assert_listed(file: Path, body: bytes) -> None:
    done = subprocess.run(["tar", "-xOf", file, "d/a"], capture_output=True, check=True)
    assert done.stdout == body
