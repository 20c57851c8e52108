"""FIFOs in a directory of this machine that voltar and a helper share: our ends of them.

No daemon is in the path. Opening a FIFO waits for the other end; ours is opened without waiting.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backup.blocks import Blocks
from backup.engine.gather import gathered
from backup.engine.private import private_directory

PIPE_SIZE = 1 << 20


class Directory:
    """A directory with FIFOs, closed to other users; `path` is where the engine finds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.path = str(path)

    def intake(self, name: str) -> "Intake":
        """Make a FIFO for what a command writes, and open our end."""
        return Intake(self._made(name))

    def outlet(self, name: str) -> "Outlet":
        """Make a FIFO for what a command reads; our end opens when the command's does."""
        return Outlet(self._made(name))

    def place(self, name: str, blocks: Blocks) -> None:
        """Put a file here, over one of that name."""
        with (self._path / name).open("wb", buffering=0) as target:
            for piece in gathered(blocks):
                target.write(piece)

    def _made(self, name: str) -> Path:
        """A fresh FIFO, open to all: the directory around it is closed to other users."""
        path = self._path / name
        os.mkfifo(path)
        path.chmod(0o666)
        return path


@contextmanager
def local_directory(parent: Path) -> Iterator[Directory]:
    """A fresh directory under `parent`, removed at the end."""
    with private_directory(parent) as path:
        yield Directory(path)


class Intake:
    """The reading end of a FIFO. `closed`: the command has opened its end, and closed it again."""

    settle_s = 10.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._open = False
        self.closed = False
        _widen(self._fd)

    def fileno(self) -> int:
        """For poll."""
        return self._fd

    def receive(self, buffer: memoryview) -> int | None:
        """Read once: None when nothing is there now, 0 when nobody has the other end open."""
        try:
            size = os.readv(self._fd, [buffer])
        except BlockingIOError:
            self._open = True
            return None
        self._open = self._open or size > 0
        self.closed = self._open and size == 0
        return size

    def release(self) -> None:
        """Nothing waits: our end is open."""

    def confirm(self) -> None:
        """What was read to the end is whole: there is nobody between the command and us."""

    def close(self) -> None:
        """Let go; a command that still writes gets SIGPIPE."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)


class Outlet:
    """The writing end of a FIFO."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def fileno(self) -> int:
        """For poll, once it is ready."""
        return self._fd

    def ready(self) -> bool:
        """Return whether bytes can be sent by now: the command has opened its end."""
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as err:
            if err.errno != errno.ENXIO:
                raise
            return False
        _widen(self._fd)
        return True

    def send(self, piece: memoryview) -> int | None:
        """Write once: None when nothing can be taken now, 0 when the command reads no more."""
        try:
            return os.write(self._fd, piece)
        except BlockingIOError:
            return None
        except BrokenPipeError:
            return 0

    def finish(self) -> None:
        """That was all: the command sees the end."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def confirm(self) -> None:
        """What was sent is in the FIFO: there is nobody between the command and us."""

    def close(self) -> None:
        """Let go."""
        self.finish()
        self._path.unlink(missing_ok=True)


def _widen(fd: int) -> None:
    """A larger pipe needs fewer switches; the default works too, where the system refuses."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
