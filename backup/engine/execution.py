"""One command in a container that somebody runs, by its own programs and in its own environment.

    with reading(engine, Where(id, name), ["pg_dumpall"]) as output:
        for block in output: …
    # here the command has ended, and `output.finished` says how

Nothing of it outlives voltar: a shell beside the command waits on a connection that the engine
closes when voltar is gone, however that came about, and then ends the command. How, the caller
says, for nothing may be left without its parent: the container's first process would inherit it,
and a PostgreSQL that is that process takes a stranger that was killed for one of its own, and
restarts itself with all connections.

The engine gives a slow reader two seconds for what a command wrote last, and says nothing about
what it dropped; so the shell writes a random mark and the status, and stays until we have it.
"""

import secrets
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from backup.blocks import Blocks
from backup.discretion import hidden
from backup.engine.connect import Engine
from backup.engine.door import Declined
from backup.engine.gather import gathered
from backup.engine.session import IDLE_S, PATIENCE_S, Finished, Frames, Tail
from backup.engine.wire import Wire
from backup.errors import EngineError, NotOnEngine

_STDOUT: Final = 1
_DIGITS: Final = 3
_CANNOT_RUN: Final = (126, 127)
_BUFFER: Final = 256 << 10
_GUARDED: Final = (
    "m=$1 e=$2; shift 2; trap '' INT; exec 3<&0; "
    '"$@" </dev/null 3<&- & p=$!; '
    '{ read -r w || while kill -0 "$p"; do eval "$e"; sleep 1; done; } <&3 >/dev/null 2>&1 & w=$!; '
    'wait "$p"; printf "%s%03d" "$m" "$?"; wait "$w"'
)
END_ALONE: Final = 'kill -TERM "$p"'
"""Ends a command that starts no others."""
END_FAMILY: Final = "kill -INT 0"
"""Interrupts what a command has started; it ignores that itself, unless it wants to know of it, and
ends when they have."""


@dataclass(frozen=True, slots=True)
class Where:
    """A container by its id, and what people call it; `user` is who runs the command in it.
    `secrets` are not in what its programs complain of."""

    id: str
    name: str
    user: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class Output:
    """What a command writes, as blocks; `finished` is there after the last one."""

    def __init__(self, engine: Engine, where: Where, argv: Sequence[str], end: str) -> None:
        self.finished: Finished | None = None
        self._mark = secrets.token_hex(16).encode()
        guarded = ["sh", "-c", _GUARDED, "voltar", self._mark.decode(), end, *argv]
        self._call = _Call(engine, where, guarded)

    def __iter__(self) -> Iterator[bytes]:
        """The last bytes are always held back: they may be the mark."""
        length = len(self._mark) + _DIGITS
        held = b""
        while self.finished is None:
            data = held + self._call.take()
            end = data[-length:]
            if end.startswith(self._mark) and end[-_DIGITS:].isdigit():
                held = data[:-length]
                self.finished = self._call.released(int(end[-_DIGITS:]))
                break
            if self._call.ended:
                raise self._call.cut_off(data)
            if len(data) > length:
                yield data[:-length]
            held = end
        if held:
            yield held

    def close(self) -> None:
        """Let go of it; a command that runs is ended."""
        self._call.close()


@contextmanager
def reading(
    engine: Engine, where: Where, argv: Sequence[str], *, end: str = END_ALONE
) -> Iterator[Output]:
    """Run a command and read what it writes. One that is not read to its end is ended by `end`.

    Raises EngineError where the container cannot run it, is stopped or paused meanwhile.
    """
    output = Output(engine, where, argv, end)
    try:
        yield output
    finally:
        output.close()


def writing(engine: Engine, where: Where, argv: Sequence[str], blocks: Blocks) -> Finished:
    """Run a command that reads `blocks`, and that ends by itself at what they end with.

    Its standard input is only closed with the connection, for not every connection can be closed in
    one direction. What it writes, the last of it, is in `stderr`. Raises EngineError.
    """
    call = _Call(engine, where, argv)
    try:
        for piece in gathered(blocks):
            if not call.send(piece):
                break
        while not call.ended:
            call.tail.add(call.take())
        return call.finished()
    finally:
        call.close()


class _Call:
    """An exec of the engine, and its connection."""

    def __init__(self, engine: Engine, where: Where, argv: Sequence[str]) -> None:
        self.tail = Tail()
        self.ended = False
        self._engine = engine
        self._where = where
        self._frames = Frames()
        self._buffer = memoryview(bytearray(_BUFFER))
        body = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(argv),
            "User": where.user,
        }
        try:
            self._id = str(engine.post(f"/containers/{where.id}/exec", body)["Id"])
            self._wire: Wire = engine.stream(
                f"/exec/{self._id}/start", {"Detach": False, "Tty": False}
            )
        except Declined as err:
            self._examine()
            raise EngineError(
                f"container {where.name!r} cannot run {argv[0]}: {err.reason}"
            ) from err

    def take(self) -> bytes:
        """What came next on stdout, maybe nothing; waits until something happens."""
        came = self._came()
        if came is None:
            self._wait(writing=False)
        return came or b""

    def _came(self) -> bytes | None:
        """What is there of stdout, None where nothing has happened."""
        size = self._wire.receive(self._buffer)
        if size is None:
            return None
        if size == 0:
            self.ended = True
            return b""
        out = []
        for stream, piece in self._frames.feed(self._buffer[:size]):
            if stream == _STDOUT:
                out.append(bytes(piece))
            else:
                self.tail.add(bytes(piece))
        return b"".join(out)

    def send(self, data: bytes | memoryview) -> bool:
        """Send it all; False when the command has ended."""
        rest = memoryview(data)
        while rest:
            while (came := self._came()) is not None and not self.ended:
                self.tail.add(came)
            if self.ended:
                return False
            size = self._wire.send(rest)
            if size == 0:
                return False
            if size is None:
                self._wait(writing=True)
            else:
                rest = rest[size:]
        return True

    def released(self, status: int) -> Finished:
        """Let the guarding shell go; take what is left of stderr."""
        self._wire.send(memoryview(b"\n"))
        while not self.ended:
            self.take()
        return self._finished(status)

    def finished(self) -> Finished:
        """How a command ended whose connection is at its end."""
        status = self._status()
        if status is None:
            raise self.cut_off(b"")
        if status > 128:
            self._examine()
        return self._finished(status)

    def _finished(self, status: int) -> Finished:
        said = hidden(self.tail.text, self._where.secrets)
        return Finished(status=status, stderr=said, dropped=self.tail.dropped)

    def cut_off(self, said: bytes) -> EngineError:
        """Why a stream ended before its end. The engine tells of a container's death a little later
        than it closes its streams. `said` is the engine's own complaint where it cannot run a
        command, and otherwise data, which belong in no message."""
        limit = time.monotonic() + PATIENCE_S
        self._examine()
        status = self._status()
        while status not in _CANNOT_RUN and time.monotonic() < limit:
            time.sleep(0.05)
            self._examine()
        if status in _CANNOT_RUN:
            text = (said.decode(errors="replace") + self.tail.text).strip()
            return EngineError(f"container {self._where.name!r} cannot run a command: {text}")
        return EngineError(f"the command in container {self._where.name!r} was cut off")

    def close(self) -> None:
        self._wire.close()

    def _status(self) -> int | None:
        with suppress(Declined):
            found = self._engine.get(f"/exec/{self._id}/json")
            if not found["Running"] and found["ExitCode"] is not None:
                return int(found["ExitCode"])
        return None

    def _wait(self, *, writing: bool) -> None:
        poll = select.poll()
        poll.register(self._wire, select.POLLIN | (select.POLLOUT if writing else 0))
        if not poll.poll(IDLE_S * 1000):
            self._examine()

    def _examine(self) -> None:
        """Raise EngineError where the container does not run any more."""
        name = self._where.name
        try:
            state = self._engine.get(f"/containers/{self._where.id}/json")["State"]
        except Declined as err:
            raise NotOnEngine("container", name) from err
        if state["Paused"]:
            raise EngineError(f"container {name!r} is paused")
        if not state["Running"]:
            raise EngineError(f"container {name!r} does not run")
