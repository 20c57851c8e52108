"""Data plane through FIFOs in a directory that the helper shares with voltar, here or far away.

Where the directory is, and how our ends of its FIFOs are had, is the business of pipes.py (this
machine) and far.py (the host at the other end of an SSH connection). Two hazards are settled here.
*Blocking*: opening a FIFO waits for the other end; so the command is watched all the time.
*Truncation*: a FIFO ends in the same way for a command that finished and for one that was killed; a
stream is at its end only when the FIFO is drained **and** the engine has told the command's exit
status.
"""

import secrets
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from backup.blocks import Blocks
from backup.engine.packing import PLAIN, Packing
from backup.engine.session import IDLE_S, SETTLE_S, Cell, Finished, Session, Source, examine
from backup.engine.shelf import Directory, Intake, Outlet
from backup.engine.tools import SCRATCH
from backup.errors import HelperFailed

BLOCK = 1 << 20
_RELEASE_S = 0.25
_LOOK_S = 5.0


class FifoPlane:
    """The data plane over a directory. `packing` says what the bytes look like on the way."""

    name = "fifo"

    def __init__(self, cell: Cell, directory: Directory, packing: Packing = PLAIN) -> None:
        self._cell = cell
        self._directory = directory
        self._packing = packing

    def read(self, argv: Sequence[str], patience_s: float | None = None) -> Source:
        """Start a command and read what it writes."""
        name = _name()
        intake = self._directory.intake(name)
        command = self._command(self._packing.out, name, argv)
        return self._packing.unpacked(FifoSource(self._cell, command, intake, patience_s))

    def write(self, argv: Sequence[str], blocks: Blocks) -> Finished:
        """Run a command that reads `blocks`."""
        name = _name()
        outlet = self._directory.outlet(name)
        try:
            session = Session(self._cell, self._command(self._packing.into, name, argv))
            try:
                _feed(session, outlet, self._packing.packed(blocks))
                _outlast(session)
                done = session.finished()
                outlet.confirm()
            finally:
                session.close()
        finally:
            outlet.close()
        return done

    def place(self, name: str, blocks: Blocks) -> str:
        """Put a file where the helper can read it, over one of that name; returns its path."""
        self._directory.place(name, blocks)
        return f"{SCRATCH}/{name}"

    def _command(self, script: str, name: str, argv: Sequence[str]) -> list[str]:
        shell = self._cell.image.program("sh")
        return [shell, "-c", script, "voltar", f"{SCRATCH}/{name}", *argv]


class FifoSource:
    """What one command writes, as blocks; `outcome` is there once the last one was taken."""

    def __init__(
        self, cell: Cell, argv: Sequence[str], intake: Intake, patience_s: float | None
    ) -> None:
        self.outcome: Finished | None = None
        self._intake = intake
        self._limit = None if patience_s is None else time.monotonic() + patience_s
        try:
            self._session = Session(cell, argv)
        except BaseException:
            intake.close()
            raise

    def __iter__(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(BLOCK))
        ending: Finished | None = None
        since = 0.0
        while True:
            size = self._intake.receive(buffer)
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
        self._intake.confirm()
        self.outcome = ending

    def close(self) -> None:
        """Let go; a command that still writes gets SIGPIPE."""
        self._session.close()
        self._intake.close()

    def _wait(self) -> None:
        """Until bytes come, or the command says something or ends; looks around when idle."""
        poll = select.poll()
        if not self._intake.closed:
            poll.register(self._intake, select.POLLIN)
        if not self._session.ended:
            poll.register(self._session.wire, select.POLLIN)
            if self._session.pull() is not None:
                return
        timeout = 50.0 if self._session.ended else IDLE_S * 1000
        events = dict(poll.poll(timeout))
        if events.get(self._intake.fileno()) == select.POLLHUP:
            self._intake.closed = True
        if not events and not self._session.ended:
            self._idle()

    def _idle(self) -> None:
        if self._limit is not None and time.monotonic() > self._limit:
            raise HelperFailed("nothing came through the FIFO")
        examine(self._session.cell)

    def _lingering(self, since: float) -> None:
        """The command has ended, and something that it left behind still holds the FIFO."""
        waited = time.monotonic() - since
        if waited > _RELEASE_S:
            self._intake.release()
        if waited > self._intake.settle_s:
            raise HelperFailed("the command ended, and left a process behind that goes on writing")


def _name() -> str:
    return f"fifo-{secrets.token_hex(4)}"


def _feed(session: Session, outlet: Outlet, blocks: Blocks) -> None:
    """Write packed blocks into the FIFO until they or the command end.

    When `blocks` raises, the command sees the end of a truncated stream; it has ended when this
    raises in turn, so that nothing writes to the volume any more.
    """
    if not _opened(session, outlet):
        return
    try:
        try:
            looked = time.monotonic()
            for block in blocks:
                session.pull()
                if time.monotonic() - looked > _LOOK_S:  # much may be packed into what gets through
                    examine(session.cell)
                    looked = time.monotonic()
                if session.ended or not _push(session, outlet, memoryview(block)):
                    break
        finally:
            outlet.finish()
    except BaseException:
        with suppress(HelperFailed):
            _outlast(session, SETTLE_S)
        raise


def _opened(session: Session, outlet: Outlet) -> bool:
    """Wait until the command has opened its end of the FIFO; False if it ended before."""
    looked = time.monotonic()
    while not session.ended:
        if outlet.ready():
            return True
        if session.pull() is None:
            _ready(session, None, 0.002)
        if time.monotonic() - looked > IDLE_S:
            examine(session.cell)
            looked = time.monotonic()
    return False


def _push(session: Session, outlet: Outlet, piece: memoryview) -> bool:
    """Write one piece; False when the command does not read any more."""
    while piece:
        size = outlet.send(piece)
        if size == 0:
            return False
        if size is not None:
            piece = piece[size:]
        elif session.pull() is None and not _ready(session, outlet, IDLE_S):
            examine(session.cell)
        if session.ended:
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


def _ready(session: Session, outlet: Outlet | None, timeout_s: float) -> bool:
    """Wait until the session has news or the outlet takes bytes; False when neither happens."""
    poll = select.poll()
    if not session.ended:
        poll.register(session.wire, select.POLLIN)
    if outlet is not None:
        poll.register(outlet, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))
