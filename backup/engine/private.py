"""Directories that voltar shares with its helpers: closed to other users, gone on every path.

A directory is locked while its owner lives. The kernel lets go of the lock when the owner dies, so
what a killed run left behind can be told from what is in use.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "voltar-io-"
YOUNG_S = 60.0


def places() -> list[Path]:
    """Where such a directory may be, the best place first: one that an engine is likely to see.

    A unit of systemd may have a /tmp of its own, and be kept from /run; what it was given there is
    the machine's.
    """
    named = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    candidates = [os.environ.get("RUNTIME_DIRECTORY", ""), named, tempfile.gettempdir()]
    return [Path(one) for one in candidates if one and os.access(one, os.W_OK | os.X_OK)]


@contextmanager
def private_directory(parent: Path) -> Iterator[Path]:
    """A fresh directory (mode 0700), removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(parents: list[Path] | None = None) -> int:
    """Remove the directories of dead runs; returns how many there were."""
    found = 0
    for parent in places() if parents is None else parents:
        for path in parent.glob(f"{PREFIX}*"):
            found += _remove_dead(path)
    return found


def _remove_dead(path: Path) -> int:
    try:
        state = path.lstat()
        if state.st_uid != os.geteuid() or time.time() - state.st_mtime < YOUNG_S:
            return 0
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        return 0
    finally:
        os.close(fd)
    return 1
