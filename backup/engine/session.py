"""One command that runs in a helper container, seen from here.

A session is an exec of the engine with its hijacked connection: what the command writes comes as
frames (stream number, length, bytes), its exit status by asking the engine afterwards. Nothing here
blocks: the data planes wait for several things at once, and ask `examine` when nothing happens.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.engine.image import Image
from backup.errors import HelperFailed

IDLE_S = 2.0
SETTLE_S = 10.0
PATIENCE_S = 3.0
KEPT = 1 << 20
_HEADER = 8
_STDERR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A running helper container, as the data planes need it."""

    engine: Engine
    id: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended. `dropped` lines of stderr came before the ones kept in `stderr`."""

    status: int
    stderr: str
    dropped: int = 0


class Source(Protocol):
    """What one command writes: blocks, then `outcome`. Close it on every path."""

    @property
    def outcome(self) -> Finished | None:
        """How the command ended, once the last block was taken."""

    def __iter__(self) -> Iterator[memoryview]: ...

    def close(self) -> None:
        """Let go of the stream, finished or not."""


class Tail:
    """The last lines that a command wrote to stderr, at most KEPT bytes of them."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._open = b""
        self._size = 0
        self.dropped = 0

    def add(self, piece: bytes) -> None:
        """Append what arrived."""
        *whole, self._open = (self._open + piece).split(b"\n")
        self._open = self._open[:KEPT]
        for line in whole:
            self._lines.append(line)
            self._size += len(line) + 1
        while self._size > KEPT:
            self._size -= len(self._lines.popleft()) + 1
            self.dropped += 1

    @property
    def text(self) -> str:
        """The lines, undecodable bytes escaped."""
        lines = [*self._lines, self._open] if self._open else list(self._lines)
        return b"\n".join(lines).decode(errors="backslashreplace")


class Frames:
    """Takes the engine's framing apart, wherever the pieces are cut."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._stream = 0

    def feed(self, piece: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield (stream number, bytes) for what is in `piece`."""
        while piece:
            if not self._left:
                need = _HEADER - len(self._head)
                self._head += piece[:need]
                piece = piece[need:]
                if len(self._head) < _HEADER:
                    return
                self._stream = self._head[0]
                self._left = int.from_bytes(self._head[4:], "big")
                self._head = b""
                continue
            part = piece[: self._left]
            self._left -= len(part)
            piece = piece[len(part) :]
            yield self._stream, part


class Session:
    """One command under way. `ended` is true once the engine has closed the connection."""

    def __init__(
        self, cell: Cell, argv: Sequence[str], *, stdin: bool = False, stdout: bool = False
    ) -> None:
        self.cell = cell
        self.tail = Tail()
        self.ended = False
        self._wants_stdout = stdout
        self._frames = Frames()
        self._buffer = memoryview(bytearray(256 << 10))
        path = f"/containers/{cell.id}/exec"
        body = {
            "AttachStdin": stdin,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(argv),
            "Env": cell.image.environment,
            "User": "0:0",
            "WorkingDir": "/",
        }
        try:
            self._id = str(cell.engine.post(path, body)["Id"])
            self.wire = cell.engine.stream(
                f"/exec/{self._id}/start", {"Detach": False, "Tty": False}
            )
        except Declined as err:
            examine(cell)
            raise HelperFailed(f"the helper cannot run {argv[0]}: {err.reason}") from err

    def pull(self) -> list[memoryview] | None:
        """Read once: what the command wrote to stdout, or None when nothing is there now.

        The pieces are valid until the next call. What it wrote to stderr goes to `tail`; so does
        stdout where nobody wants it, for the engine complains there about a command it cannot run.
        """
        if self.ended:
            return None
        size = self.wire.receive(self._buffer)
        if size is None:
            return None
        if size == 0:
            self.ended = True
            return []
        pieces = []
        for stream, piece in self._frames.feed(self._buffer[:size]):
            if stream == _STDERR or not self._wants_stdout:
                self.tail.add(bytes(piece))
            else:
                pieces.append(piece)
        return pieces

    def status(self) -> int:
        """The exit status of a command whose connection has ended.

        Raises HelperFailed when there is none, EngineUnavailable when the engine is gone.
        """
        limit = time.monotonic() + SETTLE_S
        while time.monotonic() < limit:
            try:
                state = self.cell.engine.get(f"/exec/{self._id}/json")
            except Declined as err:
                examine(self.cell)
                raise HelperFailed(f"the helper's command is lost: {err.reason}") from err
            if not state["Running"] and state["ExitCode"] is not None:
                return int(state["ExitCode"])
            examine(self.cell)
            time.sleep(0.02)
        raise HelperFailed("the connection to the helper's command broke while it was running")

    def finished(self) -> Finished:
        """How the command ended; see `status`."""
        return Finished(status=self.status(), stderr=self.tail.text, dropped=self.tail.dropped)

    def close(self) -> None:
        """Let go of the connection."""
        self.wire.close()


def explain(cell: Cell, status: int) -> None:
    """Raise HelperFailed when a command was killed because its container was.

    The engine tells of the two deaths one after the other: it gives the streams two seconds in
    between.
    """
    limit = time.monotonic() + PATIENCE_S
    examine(cell)
    while status > 128 and time.monotonic() < limit:
        time.sleep(0.02)
        examine(cell)


def examine(cell: Cell) -> None:
    """Raise HelperFailed when the helper container is paused, stopped or gone.

    Raises EngineUnavailable when the engine does not answer.
    """
    try:
        state = cell.engine.get(f"/containers/{cell.id}/json")["State"]
    except Declined as err:
        raise HelperFailed("the helper container is gone: somebody removed it") from err
    if state.get("OOMKilled"):
        raise HelperFailed("the helper container ran out of memory")
    if state["Paused"]:
        raise HelperFailed("the helper container was paused", hint="leave voltar's helpers alone")
    if not state["Running"]:
        raise HelperFailed(
            "the helper container was stopped or killed while it was at work",
            status=int(state["ExitCode"]),
        )
