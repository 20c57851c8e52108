"""Data plane for an engine on this machine: a FIFO in a directory that helper and voltar share.

No daemon is in the path. Two hazards are settled here. *Blocking*: opening a FIFO waits for the
other end; both ends are opened without waiting, and the command is watched at the same time.
*Truncation*: a FIFO ends in the same way for a command that finished and for one that was killed; a
stream is at its end only when the FIFO is drained **and** the engine has told the command's exit
status.
"""

import errno
import fcntl
import itertools
import os
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from backup.blocks import Blocks
from backup.engine.gather import gathered
from backup.engine.session import IDLE_S, SETTLE_S, Cell, Finished, Session, examine
from backup.engine.tools import SCRATCH
from backup.errors import HelperFailed

PIPE_SIZE = 1 << 20
_OUT = 'p=$1; shift; exec "$@" >"$p" </dev/null'
_IN = 'p=$1; shift; exec "$@" <"$p" >/dev/null'


class FifoPlane:
    """The data plane over `directory`, which the helper sees at SCRATCH."""

    name = "fifo"

    def __init__(self, cell: Cell, directory: Path) -> None:
        self._cell = cell
        self._directory = directory
        self._numbers = itertools.count()

    def read(self, argv: Sequence[str], patience_s: float | None = None) -> "FifoSource":
        """Start a command and read what it writes."""
        path = self._make()
        return FifoSource(self._cell, self._command(_OUT, path, argv), path, patience_s)

    def write(self, argv: Sequence[str], blocks: Blocks) -> Finished:
        """Run a command that reads `blocks`."""
        path = self._make()
        session = Session(self._cell, self._command(_IN, path, argv))
        try:
            _feed(session, path, blocks)
            _outlast(session)
            return session.finished()
        finally:
            session.close()
            path.unlink(missing_ok=True)

    def place(self, name: str, blocks: Blocks) -> str:
        """Put a file where the helper can read it, over one of that name; returns its path."""
        with (self._directory / name).open("wb", buffering=0) as target:
            for piece in gathered(blocks):
                target.write(piece)
        return f"{SCRATCH}/{name}"

    def _make(self) -> Path:
        """A fresh FIFO, open to all: the directory around it is closed to other users."""
        path = self._directory / f"fifo-{next(self._numbers)}"
        os.mkfifo(path)
        path.chmod(0o666)
        return path

    def _command(self, script: str, path: Path, argv: Sequence[str]) -> list[str]:
        shell = self._cell.image.program("sh")
        return [shell, "-c", script, "voltar", f"{SCRATCH}/{path.name}", *argv]


class FifoSource:
    """What one command writes, as blocks; `outcome` is there once the last one was taken."""

    def __init__(
        self, cell: Cell, argv: Sequence[str], path: Path, patience_s: float | None
    ) -> None:
        self.outcome: Finished | None = None
        self._limit = None if patience_s is None else time.monotonic() + patience_s
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            _widen(self._fd)
            self._session = Session(cell, argv)
        except BaseException:
            os.close(self._fd)
            raise
        self._open = False  # the command has opened its end
        self._closed = False  # and closed it again

    def __iter__(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(PIPE_SIZE))
        ending: Finished | None = None
        since = 0.0
        while True:
            size = self._read(buffer)
            if self._session.ended and ending is None:
                ending, since = self._session.finished(), time.monotonic()
            if size:
                self._session.pull()  # or its stderr would fill up, and the engine's end go unseen
                yield buffer[:size]
                since = time.monotonic()
            elif size == 0 and ending is not None:
                break
            else:
                if ending is not None:
                    self._lingering(since)
                self._wait()
        self.outcome = ending

    def close(self) -> None:
        """Let go; a command that still writes gets SIGPIPE."""
        self._session.close()
        os.close(self._fd)
        self._path.unlink(missing_ok=True)

    def _read(self, buffer: memoryview) -> int | None:
        """Read once: None when nothing is there now, 0 when nobody has the other end open."""
        try:
            size = os.readv(self._fd, [buffer])
        except BlockingIOError:
            self._open = True
            return None
        self._open = self._open or size > 0
        self._closed = self._open and size == 0
        return size

    def _wait(self) -> None:
        """Until bytes come, or the command says something or ends; looks around when idle."""
        poll = select.poll()
        if not self._closed:
            poll.register(self._fd, select.POLLIN)
        if not self._session.ended:
            poll.register(self._session.wire, select.POLLIN)
            if self._session.pull() is not None:
                return
        timeout = 50.0 if self._session.ended else IDLE_S * 1000
        events = dict(poll.poll(timeout))
        if events.get(self._fd) == select.POLLHUP:
            self._closed = True
        if not events and not self._session.ended:
            self._idle()

    def _idle(self) -> None:
        if self._limit is not None and time.monotonic() > self._limit:
            raise HelperFailed("nothing came through the FIFO")
        examine(self._session.cell)

    def _lingering(self, since: float) -> None:
        """The command has ended, and something that it left behind still holds the FIFO."""
        if time.monotonic() - since > SETTLE_S:
            raise HelperFailed("the command ended, and left a process behind that goes on writing")


def _feed(session: Session, path: Path, blocks: Blocks) -> None:
    """Write the blocks into the FIFO until they or the command end.

    When `blocks` raises, the command sees the end of a truncated stream; it has ended when this
    raises in turn, so that nothing writes to the volume any more.
    """
    fd = _open_for_writing(session, path)
    if fd is None:
        return
    try:
        try:
            for piece in gathered(blocks):
                session.pull()
                if session.ended or not _push(session, fd, piece):
                    break
        finally:
            os.close(fd)
    except BaseException:
        with suppress(HelperFailed):
            _outlast(session, SETTLE_S)
        raise


def _open_for_writing(session: Session, path: Path) -> int | None:
    """The FIFO's writing end, once the command has opened the other; None if it ended before."""
    looked = time.monotonic()
    while not session.ended:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as err:
            if err.errno != errno.ENXIO:
                raise
        else:
            _widen(fd)
            return fd
        if session.pull() is None:
            _ready(session, None, 0.002)
        if time.monotonic() - looked > IDLE_S:
            examine(session.cell)
            looked = time.monotonic()
    return None


def _push(session: Session, fd: int, piece: memoryview) -> bool:
    """Write one piece; False when the command does not read any more."""
    while piece:
        try:
            piece = piece[os.write(fd, piece) :]
        except BlockingIOError:
            if session.pull() is None and not _ready(session, fd, IDLE_S):
                examine(session.cell)
        except BrokenPipeError:
            return False
    return True


def _outlast(session: Session, limit_s: float | None = None) -> None:
    """Wait for the command's end. Raises HelperFailed when the helper is not at work any more."""
    start = time.monotonic()
    while not session.ended:
        if session.pull() is None and not _ready(session, None, IDLE_S):
            examine(session.cell)
            if limit_s is not None and time.monotonic() - start > limit_s:
                return


def _ready(session: Session, fd: int | None, timeout_s: float) -> bool:
    """Wait until the session has news or `fd` takes bytes; False when neither happens."""
    poll = select.poll()
    if not session.ended:
        poll.register(session.wire, select.POLLIN)
    if fd is not None:
        poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))


def _widen(fd: int) -> None:
    """A larger pipe needs fewer switches; the default works too, where the system refuses."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
