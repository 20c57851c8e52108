"""What is known of a job and of its sources before anything is made of it."""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from backup.history import Run
from backup.timing.sentence import Sentence


@dataclass(frozen=True, slots=True)
class Proof:
    """When something was proven, or not: `level` is the highest that was passed."""

    time: datetime
    level: str
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What is known of a source.

    `saved` is when its newest snapshot was taken, `sizes` are those of the last ones, the newest
    last. `failure` says why the last run that tried has no snapshot of it; `verified` is the last
    time at which content of that snapshot was proven, or of all in its repository.
    """

    source: str
    host: str = ""
    saved: datetime | None = None
    snapshot: str | None = None
    files: int = 0
    sizes: tuple[int, ...] = ()
    seconds: float = 0.0
    warnings: int = 0
    held: str = ""
    failure: str = ""
    verified: Proof | None = None
    drilled: Proof | None = None
    from_repository: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What is known of a job. `since` is when it was first seen; `last` is its newest run."""

    name: str
    since: datetime
    schedule: Sentence | None = None
    zone: tzinfo
    jitter_s: float = 0.0
    last: Run | None = None
    sources: tuple[SourceFacts, ...] = ()
