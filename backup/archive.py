"""Tar files on the host: plain, gzip or zstd, to and from.

What a file is compressed by is seen from its first bytes when it is read, and from its name when it
is written.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import IO, Final

from msgspec import structs

from backup.blocks import Block
from backup.compression import ArchiveError, Form, compressed, decompressed
from backup.errors import UsageError
from backup.recorder import Recorder
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Repository, Snapshot, SnapshotId
from backup.survey import refuse_overriding
from backup.tar.split import split
from transports.store import publish, sync_directory

_BLOCK_SIZE: Final = 1 << 20
_FORCE: Final = "--force replaces it"

__all__ = [
    "ArchiveError",
    "Existing",
    "Form",
    "demand_place",
    "form_of",
    "import_file",
    "read_file",
    "write_file",
    "write_stdout",
    "write_stream",
]


def form_of(path: Path) -> Form:
    """Return the form that a file's name asks for. Raises UsageError."""
    name = path.name.lower()
    for form, endings in (
        (Form.TAR, (".tar",)),
        (Form.GZIP, (".tar.gz", ".tgz")),
        (Form.ZSTD, (".tar.zst", ".tzst", ".tar.zstd")),
    ):
        if name.endswith(endings):
            return form
    raise UsageError(
        f"{path} has no ending that says what it should be",
        hint="use .tar, .tar.gz or .tar.zst, or say --format",
    )


class Existing(Enum):
    """What becomes of a file whose name a new one is to have."""

    KEEP = "keep"
    REPLACE = "replace"


def write_file(
    blocks: Iterable[Block], path: Path, form: Form, existing: Existing = Existing.KEEP
) -> None:
    """Write a tar stream to a file: complete and synced under its name, or not there at all.

    One that is to be replaced stays until then. Raises UsageError where a file exists that is not,
    ArchiveError where it cannot be written.
    """
    temporary = path.with_name(f".voltar-{secrets.token_hex(8)}.tmp")
    try:
        with _written(path):
            demand_place(path, existing)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                write_stream(blocks, file, form)
                file.flush()
                os.fsync(file.fileno())
            if existing is Existing.REPLACE:
                temporary.replace(path.resolve())
            else:
                publish(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            sync_directory(path.parent)


def demand_place(path: Path, existing: Existing) -> None:
    """Raise UsageError where a file stands in the way."""
    if not path.exists():
        return
    if existing is Existing.KEEP:
        raise UsageError(f"{path} exists, and an export replaces nothing", hint=_FORCE)
    if not path.is_file():
        raise UsageError(f"{path} is no file, and cannot be replaced by one")


def write_stdout(blocks: Iterable[Block], form: Form) -> None:
    """Write a tar stream to standard output. Raises ArchiveError, BrokenPipeError."""
    try:
        with _written("standard output"):
            write_stream(blocks, sys.stdout.buffer, form)
            sys.stdout.buffer.flush()
    except ArchiveError:
        # what is still in the buffer cannot be written either, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def write_stream(blocks: Iterable[Block], file: IO[bytes], form: Form) -> None:
    """Write a tar stream to an open file, compressed as asked."""
    for block in compressed(blocks, form):
        file.write(block)


def import_file(  # noqa: PLR0913  where from, where to, and as what
    repository: Repository,
    path: Path | None,
    source: str,
    *,
    host: str,
    run: str,
    program: str,
    on_event: OnEvent,
) -> tuple[SnapshotId, Snapshot]:
    """Store a tar file (standard input for None) as a snapshot of `source`.

    Nothing is committed unless the archive is whole. Raises ArchiveError, TruncatedArchive,
    MalformedArchive, UnsafeArchive, TransportError.
    """
    started = datetime.now(UTC)
    name = str(path) if path else "standard input"
    with repository.writer() as writer, contextlib.closing(read_file(path)) as blocks:
        on_event(Started("import", name))
        recorder = Recorder(repository, writer)
        for entry in split(blocks):
            if entry.kind == "g":
                refuse_overriding(entry)
            before = recorder.read
            recorder.add(entry)
            on_event(Advanced(recorder.read - before, 1))
        manifest = recorder.finish()
        writer.finish()
        on_event(Finished("import", name))
        statistics = structs.replace(
            recorder.statistics,
            added=writer.added,
            stored=writer.stored,
            seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
        )
    snapshot = Snapshot(
        time=started,
        host=host,
        source=source,
        run=run,
        program=program,
        imported=True,
        statistics=statistics,
        manifest=manifest,
    )
    return repository.commit(snapshot, writer), snapshot


def read_file(path: Path | None) -> Generator[Block, None, None]:
    """Read a tar stream from a file (standard input for None), whichever way it is compressed.

    Raises ArchiveError.
    """
    name = str(path) if path else "standard input"
    with _opened(path) as file:
        yield from decompressed(_blocks(file, name), name)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file


def _blocks(file: IO[bytes], name: str) -> Iterator[bytes]:
    try:
        while block := file.read(_BLOCK_SIZE):
            yield block
    except OSError as error:
        raise ArchiveError(f"cannot read {name}: {error}") from error


@contextlib.contextmanager
def _written(path: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except FileExistsError as error:
        raise UsageError(f"{path} exists, and an export replaces nothing", hint=_FORCE) from error
    except OSError as error:
        raise ArchiveError(f"cannot write {path}: {error.strerror}") from error
