"""Tar files on the host: plain, gzip or zstd, to and from.

The one place outside of the repository that compresses. What a file is compressed by is seen from
its first bytes when it is read, and from its name when it is written.
"""

import contextlib
import gzip
import os
import secrets
import sys
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import IO, Final, cast

import zstandard

from backup.blocks import Block
from backup.errors import BackupError, UsageError
from backup.recorder import Recorder
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Repository, Snapshot, SnapshotId, Statistics
from backup.survey import refuse_overriding
from backup.tarsplit import split
from transports.store import publish, sync_directory

_BLOCK_SIZE: Final = 1 << 20
_ZSTD_STEP: Final = 4 << 10
"""Bytes decompressed at once: 4 KiB can be a thousand runs, and so 128 MiB, and no more."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC: Final = b"\x2a\x4d\x18"


class Form(Enum):
    """How a tar file is compressed."""

    TAR = ".tar"
    GZIP = ".tar.gz"
    ZSTD = ".tar.zst"


class ArchiveError(BackupError):
    """A tar file on the host cannot be read or written."""


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


def write_file(blocks: Iterable[Block], path: Path, form: Form) -> None:
    """Write a tar stream to a new file: complete and synced under its name, or not there at all.

    Raises UsageError where the file exists, ArchiveError where it cannot be written.
    """
    temporary = path.with_name(f".voltar-{secrets.token_hex(8)}.tmp")
    try:
        with _written(path):
            if path.exists():
                raise UsageError(f"{path} exists, and an export replaces nothing")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                write_stream(blocks, file, form)
                file.flush()
                os.fsync(file.fileno())
            publish(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
            sync_directory(path.parent)


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
    with contextlib.ExitStack() as stack:
        sink: IO[bytes] = file
        if form is Form.GZIP:
            sink = cast(
                IO[bytes],
                stack.enter_context(
                    gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0)
                ),
            )
        elif form is Form.ZSTD:
            compressor = zstandard.ZstdCompressor(level=3, write_checksum=True, threads=-1)
            sink = cast(
                IO[bytes], stack.enter_context(compressor.stream_writer(file, closefd=False))
            )
        for block in blocks:
            sink.write(block)


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
    with repository.writer() as writer, _opened(path) as file:
        on_event(Started("import", name))
        recorder = Recorder(repository, writer)
        for entry in split(_decompressed(file, name)):
            if entry.kind == "g":
                refuse_overriding(entry)
            before = recorder.read
            recorder.add(entry)
            on_event(Advanced(recorder.read - before, 1))
        manifest = recorder.finish()
        writer.finish()
        on_event(Finished("import", name))
        statistics = Statistics(
            entries=recorder.entries,
            files=recorder.files,
            size=recorder.size,
            read=recorder.read,
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


def _decompressed(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the tar stream in a file, whichever way it is compressed."""
    first = file.read(_BLOCK_SIZE)
    rejoined = cast(IO[bytes], _Rejoined(first, file))
    if first.startswith(_GZIP_MAGIC):
        stream = _blocks(cast(IO[bytes], gzip.GzipFile(fileobj=rejoined)), _BLOCK_SIZE)
    elif first.startswith(_ZSTD_MAGIC) or first[1:4] == _SKIPPABLE_MAGIC:
        stream = _unzstd(_blocks(rejoined, _ZSTD_STEP))
    else:
        stream = _blocks(rejoined, _BLOCK_SIZE)
    try:
        yield from stream
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise ArchiveError(f"cannot read {name}: {error}") from error


def _blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while block := file.read(size):
        yield block


def _unzstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress frame after frame. Raises EOFError where the last one is cut off.

    The library's own file reader takes a cut frame for the end.
    """
    frames = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    frame = None
    for block in blocks:
        left = block
        while left:
            frame = frame or frames.decompressobj()
            yield frame.decompress(left)
            left = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the compressed data end too early")


class _Rejoined:
    """A file whose first bytes were read already."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._rest.read(size)
        if size < 0:
            size = len(self._first)
        part, self._first = self._first[:size], self._first[size:]
        return part


@contextlib.contextmanager
def _written(path: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except FileExistsError as error:
        raise UsageError(f"{path} exists, and an export replaces nothing") from error
    except OSError as error:
        raise ArchiveError(f"cannot write {path}: {error.strerror}") from error
