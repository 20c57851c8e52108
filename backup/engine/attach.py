"""Data plane for any other engine: the command's own stdin and stdout, through the engine's API.

Two hazards are settled here. *Truncation*: the stream ends in the same way when all was sent and
when the engine gave it up, and engines have lost the end of an output while the status was 0 (moby
issue 27289); so the shell around the command says when all was written, by a random mark and the
status at the end of stdout, and stays until we have it. *No half-close*: TLS cannot close one
direction, and tar reads on after the end of an archive; so what we send is framed ("size, newline,
bytes", 0 ends), and the shell unpacks it.
"""

import secrets
import select
from collections.abc import Iterator, Sequence

from backup.blocks import Blocks
from backup.engine.gather import gathered
from backup.engine.session import IDLE_S, Cell, Finished, Session, examine, explain
from backup.engine.tools import SCRATCH
from backup.errors import HelperFailed

CAPACITY = 1 << 20
_OUT = 'm=$1; shift; "$@" </dev/null; printf "%s%03d" "$m" "$?"; read -r m || :'
_IN = (
    'm=$1; dd=$2; shift 2; while read -r n && [ "$n" -gt 0 ] && '
    '"$dd" bs="$n" count=1 iflag=fullblock status=none; do :; done | "$@" >/dev/null; '
    'printf "%s%03d" "$m" "$?"; read -r m || :'
)


class AttachPlane:
    """The data plane over exec's own streams."""

    name = "attach"

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def read(self, argv: Sequence[str]) -> "AttachSource":
        """Start a command and read what it writes."""
        return AttachSource(self._cell, argv)

    def write(self, argv: Sequence[str], blocks: Blocks) -> Finished:
        """Run a command that reads `blocks`."""
        mark = secrets.token_hex(16).encode()
        image = self._cell.image
        shell = [image.program("sh"), "-c", _IN, "voltar", mark.decode(), image.program("dd")]
        session = Session(self._cell, [*shell, *argv], stdin=True, stdout=True)
        end = _End(session, mark)
        try:
            for piece in gathered(blocks):
                if not end.send(b"%d\n" % len(piece)) or not end.send(piece):
                    break
            end.send(b"0\n")
            return end.wait()
        finally:
            session.close()

    def place(self, name: str, blocks: Blocks) -> str:
        """Put a file where the helper can read it; returns its path in the helper."""
        path = f"{SCRATCH}/{name}"
        shell = self._cell.image.program("sh")
        cat = self._cell.image.program("cat")
        done = self.write([shell, "-c", 'exec "$1" >"$2"', "voltar", cat, path], blocks)
        if done.status:
            raise HelperFailed(
                f"cannot put {name} into the helper", status=done.status, stderr=done.stderr
            )
        return path


class AttachSource:
    """What one command writes, as blocks; `outcome` is there once the last one was taken."""

    def __init__(self, cell: Cell, argv: Sequence[str]) -> None:
        self.outcome: Finished | None = None
        self._mark = secrets.token_hex(16).encode()
        shell = [cell.image.program("sh"), "-c", _OUT, "voltar", self._mark.decode()]
        self._session = Session(cell, [*shell, *argv], stdin=True, stdout=True)

    def __iter__(self) -> Iterator[memoryview]:
        """The last bytes are always held back: they may be the mark."""
        session, held = self._session, len(self._mark) + 3
        buffer = memoryview(bytearray(CAPACITY + held))
        used = 0
        while True:
            pieces = session.pull() if used <= CAPACITY >> 1 else None
            for piece in pieces or ():
                buffer[used : used + len(piece)] = piece
                used += len(piece)
            if pieces:
                continue
            status = _status(bytes(buffer[max(0, used - held) : used]), self._mark)
            if used > held:
                yield buffer[: used - held]
                buffer[:held] = bytes(buffer[used - held : used])
                used = held
            elif status is None and pieces is None:
                _await(session, said=bytes(buffer[:used]))
            if status is not None:
                break
        self.outcome = _finished(session, status)

    def close(self) -> None:
        """Let go; the shell around the command ends with it, or with the helper."""
        self._session.close()


class _End:
    """The far end of a writing: its mark comes when the command has ended."""

    def __init__(self, session: Session, mark: bytes) -> None:
        self._session = session
        self._mark = mark
        self._seen = b""

    def send(self, data: bytes | memoryview) -> bool:
        """Send it all; False when the command has ended."""
        rest = memoryview(data)
        while rest:
            self._take()
            if self._status is not None:
                return False
            size = self._session.wire.send(rest)
            if size == 0:
                return False
            if size is None:
                _await(self._session, writing=True)
            else:
                rest = rest[size:]
        return True

    def wait(self) -> Finished:
        """Wait for the command's end."""
        while True:
            self._take()
            if self._status is not None:
                return _finished(self._session, self._status)
            _await(self._session, said=self._seen)

    @property
    def _status(self) -> int | None:
        return _status(self._seen, self._mark)

    def _take(self) -> None:
        while (pieces := self._session.pull()) is not None and not self._session.ended:
            self._seen += b"".join(pieces)


def _status(end: bytes, mark: bytes) -> int | None:
    """The exit status behind the mark, if these bytes end with one."""
    digits = end[-3:]
    return int(digits) if end[:-3].endswith(mark) and digits.isdigit() else None


def _finished(session: Session, status: int) -> Finished:
    """Release the shell, and take what is left of stderr until the connection ends."""
    session.wire.send(memoryview(b"\n"))
    while not session.ended:
        if session.pull() is None and not _ready(session):
            examine(session.cell)
    return Finished(status=status, stderr=session.tail.text, dropped=session.tail.dropped)


def _await(session: Session, *, said: bytes = b"", writing: bool = False) -> None:
    """Until the session has news. Raises HelperFailed when it ended without its mark.

    `said` is what came instead of the mark: the engine's complaint where it cannot run the shell.
    """
    if session.ended:
        status = session.status()
        explain(session.cell, status)
        what = "the helper's command was cut off"
        if status in (126, 127):
            what = f"the helper cannot run commands: {said.decode(errors='replace').strip()}"
        raise HelperFailed(what, status=status, stderr=session.tail.text)
    if not _ready(session, writing=writing):
        examine(session.cell)


def _ready(session: Session, *, writing: bool = False) -> bool:
    poll = select.poll()
    poll.register(session.wire, select.POLLIN | (select.POLLOUT if writing else 0))
    return bool(poll.poll(IDLE_S * 1000))
