"""What the history knows of a run, of a source in it, and what was said."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Final

from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]

STORE: Final = "store"
"""The level of a check that has found everything in its place."""
CONTENT: Final = "content"
"""The level of a check that has read all data, and of a drill that has compared it."""


class Kind(Enum):
    """What a run does."""

    BACKUP = "backup"
    DRILL = "drill"
    CHECK = "check"
    PRUNE = "prune"


class Result(Enum):
    """What a run came to. That one was killed is found out by whoever looks."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a job; of a check or prune, `job` is the repository.

    `ended` is None for one that goes on, or was killed, and `result` for one that goes on.
    """

    id: str
    kind: Kind
    job: str
    started: Time
    ended: Time | None = None
    result: Result | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResult:
    """What became of a source in a run. Without a `snapshot` it failed, and `message` says why.

    `size` and `stored` are bytes; `downtime_s` is how long its containers did not run. `level` is
    of a drill: the highest that was passed. `held` says why its old snapshots are not forgotten.
    """

    source: str
    host: str
    snapshot: str | None = None
    time: Time | None = None
    entries: int = 0
    files: int = 0
    size: int = 0
    stored: int = 0
    seconds: float = 0.0
    warnings: int = 0
    message: str = ""
    downtime_s: float = 0.0
    level: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said during a run."""

    time: Time
    text: str
