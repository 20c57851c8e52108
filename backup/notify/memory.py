"""What each target was told, in a file beside the history.

The file is locked from before it is read until after the telling, so that of two runs that end at
the same time only one tells. It is replaced as a whole; who cannot read or write it tells once more
rather than not at all.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backup.config import Occasion
from backup.errors import BackupError
from backup.notify.alarm import Told
from transports.store import replace_file

_FILE: Final = "alarms.json"


class Memory:
    """The file while it is locked. Targets are named by their digests."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _parsed(path)

    def told(self, target: str) -> Told:
        """Return what a target was told."""
        return self._known.get(target, {})

    def keep(self, target: str, told: Told) -> None:
        """Remember it, on the disk. Raises BackupError."""
        self._known[target] = dict(told)
        document = {
            name: {
                subject: sorted(each.value for each in occasions)
                for subject, occasions in subjects.items()
            }
            for name, subjects in self._known.items()
        }
        try:
            replace_file(self._path, json.dumps(document, indent=1).encode())
        except OSError as error:
            raise BackupError(
                f"that it was cannot be kept in {self._path}, so it may be again: {error.strerror}"
            ) from error


@contextmanager
def remembered(state: Path) -> Iterator[Memory]:
    """Lock what was told, in the state directory. Raises BackupError where that cannot be."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "alarms.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BackupError(f"nobody can be told: {state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Memory(state / _FILE)
    finally:
        os.close(lock)


def _parsed(path: Path) -> dict[str, Told]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {
            target: {
                subject: frozenset(map(Occasion, occasions))
                for subject, occasions in subjects.items()
            }
            for target, subjects in document.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):  # none yet, or a damaged one
        return {}
