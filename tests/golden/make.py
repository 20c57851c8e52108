"""How the golden files were made; run again only with a new version of the format.

    python -m tests.golden.make

Makes repository-v1/plain and repository-v1/sealed (password: "golden") beside this file, and
expected.json: what reading them must give.
"""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from backup.members import archive
from backup.recorder import Recorder
from backup.repository import (
    MountFacts,
    Repository,
    Snapshot,
    Statistics,
    VolumeFacts,
    create,
    open_repository,
)
from backup.tar.split import split
from tests.tars import END, GNU, extended, header, long_name, old_sparse, padded
from transports.store.file import FileStore

HERE = Path(__file__).parent
PLACE = HERE / "repository-v1"
EXPECTED = HERE / "expected.json"
PASSWORDS = {"plain": None, "sealed": "golden"}
NOW = datetime(2026, 11, 25, 3, 0, 0, 250_000, tzinfo=UTC)


def noise(size: int) -> bytes:
    """Return bytes that do not compress."""
    return hashlib.shake_128(b"voltar golden").digest(size)


def text(size: int) -> bytes:
    """Return bytes that compress well and are nowhere the same."""
    return b"".join(b"line %08x of a file\n" % n for n in range(size // 24 + 1))[:size]


def tar(lines: bytes) -> bytes:
    """Return a tar with a bit of everything; `lines` is its large file."""
    xattrs = extended(
        (b"SCHILY.xattr.user.a", b"\0\xff="), (b"mtime", b"-1.5"), (b"path", "ü\n".encode())
    )
    regions = [(n * 8192, 10) for n in range(6)]
    return b"".join(
        [
            header(b"./", b"5", at={100: b"0001777\0"}),
            header(b"./large", size=len(lines)) + padded(lines),
            header(b"./noise", size=5000) + padded(noise(5000)),
            header(b"./empty"),
            header(b"./name\xff\n", size=3) + padded(b"abc"),
            xattrs + header(b"x", size=1) + padded(b"x"),
            long_name(b"d" * 120 + b"/" + b"n" * 200) + header(b"d", magic=GNU),
            header(b"./link", b"1", link=b"./large"),
            header(b"./symlink", b"2", link=b"../nowhere"),
            header(b"./null", b"3", at={329: b"0000001\0", 337: b"0000003\0"}),
            header(b"./pipe", b"6"),
            old_sparse(b"./sparse", 6 * 512, 1 << 20, regions),
            padded(b"0123456789") * 6,
            header(b"./padded", size=1) + b"x".ljust(512, b"!"),
            END,
            bytes(512),
        ]
    )


def save(repository: Repository, content: bytes, number: int) -> None:
    """Store a snapshot with every field set."""
    with repository.writer() as writer:
        recorder = Recorder(repository, writer)
        for entry in split([content]):
            recorder.add(entry)
        recorder.note(b"sock\xff", "a socket, which exists only while its program runs")
        manifest = recorder.finish()
        writer.finish()
    repository.commit(
        Snapshot(
            time=NOW.replace(day=24 + number),
            host="golden",
            source="volume:golden",
            run="00112233445566aa",
            volume=VolumeFacts(name="golden", options={"type": "none"}, labels={"a": "b"}),
            mount=MountFacts(container="web", destination="/data"),
            definition={"name": "web", "config": {"Env": ["A=1"], "Tty": False}},
            program="voltar 0",
            tags=["golden"],
            notes=1,
            statistics=Statistics(entries=recorder.entries, files=recorder.files, seconds=0.5),
            manifest=manifest,
        )
    )


def read(repository: Repository) -> dict[str, dict[str, Any]]:
    """Return all that a repository says: of each snapshot its facts, and digests of the rest.

    What later versions add to a record is left out.
    """
    said: dict[str, dict[str, Any]] = {}
    for snapshot_id, snapshot in repository.snapshots():
        stream = hashlib.sha256(b"".join(archive(repository, snapshot))).hexdigest()
        lines = [msgspec.to_builtins(line)[:17] for line in repository.manifest(snapshot)]
        said[snapshot_id] = {
            "tar": stream,
            "records": hashlib.sha256(json.dumps(lines).encode()).hexdigest(),
            "snapshot": json.loads(msgspec.json.encode(snapshot)),
        }
    return said


def main() -> None:
    """Make everything anew."""
    shutil.rmtree(PLACE, ignore_errors=True)
    expected: dict[str, dict[str, Any]] = {}
    for name, password in PASSWORDS.items():
        store = FileStore(PLACE / name)
        repository = create(store, password, now=NOW)
        lines = text(1 << 20)
        save(open_repository(store, password), tar(lines), 0)
        changed = lines[:500_000] + b"inserted" + lines[500_000:]
        save(open_repository(store, password), tar(changed), 1)
        expected[name] = {"id": repository.descriptor.id} | {
            "snapshots": read(open_repository(store, password))
        }
        (PLACE / name / "tmp").rmdir()
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
