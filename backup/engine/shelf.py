"""Directories that voltar shares with helpers, whichever host they are on.

pipes.py makes them on this machine, far.py on a host at the other end of an SSH connection.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from backup.blocks import Blocks


class Intake(Protocol):
    """Our end of a FIFO that a command writes into."""

    closed: bool
    """The command has opened its end, and closed it again."""
    settle_s: float
    """How long bytes may be under way after the command's end."""

    def fileno(self) -> int: ...

    def receive(self, buffer: memoryview) -> int | None:
        """Read once: None when nothing is there now, 0 when nobody has the other end open."""

    def release(self) -> None:
        """The command has ended: nothing shall wait any longer for it to open the FIFO."""

    def confirm(self) -> None:
        """Raise HelperFailed unless all that the command wrote has come through."""

    def close(self) -> None:
        """Let go, finished or not."""


class Outlet(Protocol):
    """Our end of a FIFO that a command reads from."""

    def fileno(self) -> int: ...

    def ready(self) -> bool:
        """Return whether bytes can be sent by now."""

    def send(self, piece: memoryview) -> int | None:
        """Write once: None when nothing can be taken now, 0 when the command reads no more."""

    def finish(self) -> None:
        """That was all: let the command see the end."""

    def confirm(self) -> None:
        """Raise HelperFailed unless the command got all that was sent, or did not want it."""

    def close(self) -> None:
        """Let go, finished or not."""


class Directory(Protocol):
    """A directory with FIFOs that the helper sees at SCRATCH, and the engine's host at `path`."""

    path: str

    def intake(self, name: str) -> Intake:
        """Make a FIFO for what a command writes."""

    def outlet(self, name: str) -> Outlet:
        """Make a FIFO for what a command reads."""

    def place(self, name: str, blocks: Blocks) -> None:
        """Put a file there, over one of that name."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where such directories may be made; each is gone at the end of its `with`.

    `linked`: what comes from there crosses an SSH connection.
    """

    name: str
    fresh: Callable[[], AbstractContextManager[Directory]]
    linked: bool = False
