"""What a capture does to an engine, on disk before it is done, so that a killed one is made good.

One file for each capture, locked while it is at work: one that is not locked belongs to a run that
is dead. Its first line says which image is to be removed, which container to go on, and which
directory in the making to remove; a second line, that the container goes on already.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from backup.engine import Engine, images, remove_image
from backup.engine.inspection import identity, unpause
from backup.errors import BackupError, EngineError, EngineUnavailable
from backup.lock import takes
from backup.restore import uninterrupted

REPOSITORY: Final = "voltar-evidence"
"""The name of images that captures make, each with its run as the tag."""
_SUFFIX: Final = ".json"
_WENT_ON: Final = b"went on\n"
_STALE_AFTER_S: Final = 24 * 3600
"""No capture takes so long. An engine may finish a commit when nobody waits for it any more."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a capture may leave: the container, by id, that it has paused; the image's name."""

    engine: str
    container: str
    name: str
    image: str
    pauses: bool
    directory: str | None


@contextmanager
def written(
    directory: Path, run: str, engine: Engine, record: Record
) -> Iterator[Callable[[], None]]:
    """Write down what is about to be done, and take it back at the end, whatever happens.

    Yields what is to be called once the container goes on. The record goes when all is taken back;
    else a later run does that. Raises BackupError.
    """
    path = directory / f"{run}{_SUFFIX}"
    handle = _begun(path, record)
    paused = record.pauses

    def went_on() -> None:
        nonlocal paused
        paused = False
        os.write(handle, _WENT_ON)
        os.fsync(handle)

    try:
        try:
            yield went_on
        finally:
            with uninterrupted():
                _take_back(engine, msgspec.structs.replace(record, pauses=paused))
                path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _begun(path: Path, record: Record) -> int:
    """Make a record that is locked before anybody else can see it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _locked_at_once(path, msgspec.json.encode(record) + b"\n")
    except OSError as error:
        raise BackupError(
            f"the journal of a capture cannot be kept in {path.parent}: {error.strerror}",
            hint="VOLTAR_STATE_DIRECTORY names another place",
        ) from error


def _locked_at_once(path: Path, data: bytes) -> int:
    """Make a file that is whole and locked when it gets its name; where that fails, none."""
    temporary = path.with_suffix(".tmp")
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _write_all(handle, data)
        os.fsync(handle)
        temporary.rename(path)
    except BaseException:
        os.close(handle)
        temporary.unlink(missing_ok=True)
        raise
    return handle


def _write_all(handle: int, data: bytes) -> None:
    """A disk that becomes full takes a part of it, and says so the next time only."""
    if os.write(handle, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _take_back(engine: Engine, record: Record) -> None:
    """Let the container go on, and remove what was made. What is not there is no error."""
    if record.pauses:
        unpause(engine, record.container)
    if record.directory is not None:
        shutil.rmtree(record.directory, ignore_errors=True)
    remove_image(engine, record.image, force=True)


@dataclass(frozen=True, slots=True)
class Swept:
    """A capture that was killed; `left` says why what it made is there still, if so. There is no
    `record` where it cannot be read any more."""

    record: Record | None
    left: str | None = None


def sweep(directory: Path, engine: Engine) -> list[Swept]:
    """Take back what killed captures left on an engine; return what they were.

    What cannot be removed, since somebody uses it, is left to a later run.
    """
    swept: list[Swept] = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")) if directory.is_dir() else ():
        with _dead(path) as record:
            if isinstance(record, BackupError):
                swept.append(Swept(None, str(record)))
            elif record is not None and record.engine == identity(engine):
                left = _tried(partial(_take_back, engine, record))
                if left is None:
                    path.unlink(missing_ok=True)
                swept.append(Swept(record, left))
    for tag in _stale(engine):
        _tried(partial(remove_image, engine, tag, force=True))
    return swept


def _tried(act: Callable[[], None]) -> str | None:
    """Do something; return what the engine has against it, or None."""
    try:
        act()
    except EngineUnavailable:
        raise
    except EngineError as error:
        return str(error)
    return None


def _stale(engine: Engine) -> list[str]:
    """Images of captures that nobody can be at work on any more."""
    return [
        tag
        for image in images(engine, reference=REPOSITORY)
        if image.tagged_at and engine.now() - image.tagged_at.timestamp() > _STALE_AFTER_S
        for tag in image.tags
        if tag.startswith(f"{REPOSITORY}:")
    ]


@contextmanager
def _dead(path: Path) -> Iterator[Record | BackupError | None]:
    """The record of a run that is dead, locked meanwhile, or what is wrong with it; None of one
    that lives."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None  # its run has just ended
        return
    try:
        yield _read(path) if takes(handle) else None
    finally:
        os.close(handle)


def _read(path: Path) -> Record | BackupError | None:
    try:
        first, _, more = path.read_bytes().partition(b"\n")
        record = msgspec.json.decode(first, type=Record)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return BackupError(
            f"the journal of a capture, {path}, cannot be read: its container may stand paused, "
            f"and its image {REPOSITORY}:{path.stem} be left; remove the file once that is settled"
        )
    return msgspec.structs.replace(record, pauses=False) if more == _WENT_ON else record
