"""What happens while voltar works, told as it happens.

Long work takes an `on_event` callable. The progress bar, the JSON lines and, later, metrics and
notifications are subscribers; nobody who works knows who listens. Events arrive in the caller's
thread, in order.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """A piece of work began. `size` in bytes and `entries` are what lies ahead, 0 if not known.

    `unit` says what the entries are.
    """

    work: str
    subject: str
    size: int = 0
    entries: int = 0
    unit: str = "entries"


@dataclass(frozen=True, slots=True)
class Advanced:
    """So much more is done than at the last event of this kind; `size` in bytes."""

    size: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """Something is not as it should be, though the work goes on. `path` is raw, as on disk.

    `harmless` is what no copy could have kept, so nothing is lost.
    """

    subject: str
    path: bytes
    text: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A piece of work ended well."""

    work: str
    subject: str


Event = Started | Advanced | Noted | Finished
OnEvent = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing."""
