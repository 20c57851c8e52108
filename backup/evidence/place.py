"""Where evidence goes to: a directory, a tar file, a repository. It is there when it is whole."""

import os
import secrets
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from msgspec import structs

from backup.archive import form_of, write_file
from backup.blocks import Block
from backup.compression import ArchiveError
from backup.errors import UsageError
from backup.recorder import Recorder
from backup.repository import Repository, Snapshot, SnapshotId
from backup.tar.build import end_of_archive
from backup.tar.entry import Entry
from transports.store import sync_directory

_ENDINGS: Final = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.zstd")
_BLOCK_SIZE: Final = 1 << 20


class Place(Protocol):
    """Takes files, one after the other."""

    def add(self, name: str, blocks: Iterable[Block]) -> None:
        """Store a file. Raises ArchiveError, TransportError: then all of it is given up."""
        ...


def demand_free(output: Path) -> None:
    """Raise UsageError where something is at a path, or nothing can be put there."""
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists, and evidence replaces nothing")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.absolute().parent} is not a directory")


def temporary_beside(output: Path) -> Path:
    """Return the name of a directory that is evidence in the making."""
    return output.absolute().parent / f".voltar-{secrets.token_hex(8)}.tmp"


class Directory:
    """A directory in the making."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []

    def add(self, name: str, blocks: Iterable[Block]) -> None:
        path = self.path / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _written(path), _created(path) as descriptor:
            for block in blocks:
                _write(descriptor, block)
            os.fsync(descriptor)
        self.names.append(name)

    def publish(self, output: Path) -> None:
        """Make it what was asked for: a directory of that name, or a tar file. Raises UsageError
        where the name is taken."""
        if output.name.lower().endswith(_ENDINGS):
            write_file(self._tar(), output, form_of(output))
            return
        with _written(output):
            for directory in {self.path, *((self.path / name).parent for name in self.names)}:
                sync_directory(directory)
            demand_free(output)
            self.path.rename(output)
            sync_directory(output.absolute().parent)

    def _tar(self) -> Iterator[Block]:
        for name in self.names:
            path = self.path / name
            size = path.stat().st_size
            yield header(name, size, datetime.now(UTC))
            with path.open("rb") as file:
                while block := file.read(_BLOCK_SIZE):
                    yield block
            yield bytes(-size % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)


@contextmanager
def directory(temporary: Path) -> Iterator[Directory]:
    """Make a directory for evidence, which only its owner may enter; it is gone at the end, where
    it was not published."""
    with _written(temporary):
        temporary.mkdir(mode=0o700)
    try:
        yield Directory(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class InRepository:
    """A snapshot in the making: a tar file with the evidence in it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._writer = repository.writer()
        self._recorder = Recorder(repository, self._writer)

    def __enter__(self) -> "InRepository":
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._writer.__exit__(kind, *rest)

    def add(self, name: str, blocks: Iterable[Block]) -> None:
        """The size is known at the end only; by then the recorder asks for the header."""
        entry = Entry(b"", "f", name.encode(), b"", 0o600, 0, 0, 0, 0, 0, 0, {}, None, iter(()))

        def body() -> Iterator[Block]:
            for block in blocks:
                entry.size += len(block)
                yield block
            now = datetime.now(UTC)
            entry.head = header(name, entry.size, now)
            entry.mtime_ns = int(now.timestamp()) * 10**9

        entry.body = body()
        self._recorder.add(entry)

    def commit(self, source: str, facts: "Facts") -> SnapshotId:
        """Commit what was added as a snapshot."""
        self._recorder.add(end_of_archive())
        manifest = self._recorder.finish()
        self._writer.finish()
        recorder, writer = self._recorder, self._writer
        statistics = structs.replace(
            recorder.statistics,
            added=writer.added,
            stored=writer.stored,
            seconds=round((datetime.now(UTC) - facts.time).total_seconds(), 3),
        )
        snapshot = Snapshot(
            time=facts.time,
            host=facts.host,
            source=source,
            run=facts.run,
            tags=[*facts.tags],
            program=facts.program,
            imported=True,
            statistics=statistics,
            manifest=manifest,
        )
        return self._repository.commit(snapshot, writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the snapshot says of itself."""

    time: datetime
    host: str
    run: str
    program: str
    tags: tuple[str, ...] = ()


def header(name: str, size: int, now: datetime) -> bytes:
    """Return the headers of a file in a tar archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(now.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


@contextmanager
def _created(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, block: Block) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"cannot write {path}: {error.strerror}") from error
