"""Whether a run goes on: it holds a lock, which the kernel takes from it however it ends."""

import fcntl
import os
from pathlib import Path


class Claims:
    """The locks of runs, a file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._handles: dict[str, int] = {}

    def take(self, run: str) -> None:
        """Hold the lock of a run. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._handles[run] = os.open(self._directory / run, flags, 0o600)
        fcntl.flock(self._handles[run], fcntl.LOCK_EX)

    def drop(self, run: str) -> None:
        """Let go of the lock of a run, if it is held."""
        if run in self._handles:
            os.close(self._handles.pop(run))
            (self._directory / run).unlink(missing_ok=True)

    def is_held(self, run: str) -> bool:
        """Whether a process holds the lock; the file that a dead one left is removed."""
        path = self._directory / run
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        path.unlink(missing_ok=True)
        return False
