"""Locks on files: the kernel takes them from a process however it ends, so none is left behind."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backup.errors import BackupError, InUse


def takes(handle: int) -> bool:
    """Lock an open file; return whether that could be done at once, since nobody else has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def sole(path: Path, taken: str) -> Iterator[None]:
    """Be the only one who holds a lock. Raises InUse, with what is `taken`, where somebody else
    does, and BackupError where it cannot be."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BackupError(
            f"there can be no lock {path}: {error.strerror}",
            hint="VOLTAR_STATE_DIRECTORY names another place",
        ) from error
    try:
        if not takes(handle):
            raise InUse(taken)
        yield
    finally:
        os.close(handle)
