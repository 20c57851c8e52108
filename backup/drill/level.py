"""How far something was proven: what each level shows, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """What a drill shows, each on top of those before it.

    catalog: record and manifest can be read, and all chunks are listed · store: every byte of it is
    what was stored · content: restored and compared · boot: the container came up · assert: a
    command in it ended with 0.
    """

    CATALOG = "catalog"
    STORE = "store"
    CONTENT = "content"
    BOOT = "boot"
    ASSERT = "assert"

    @property
    def rank(self) -> int:
        """Its place among the levels."""
        return [*Level].index(self)


class Outcome(Enum):
    """What came of a level. What was skipped is not passed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One level of one subject. `message` says why it failed or was skipped; `output` is what the
    container or the command wrote. `damaged`: the data are not what was stored."""

    level: Level
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    damaged: bool = False
    output: str = ""


def passed(steps: Iterable[Step]) -> Level | None:
    """Return the highest level up to which all was passed, or None."""
    reached = None
    every = list(steps)
    for level in Level:
        outcomes = {step.outcome for step in every if step.level is level}
        if not outcomes:
            continue
        if outcomes != {Outcome.PASSED}:
            break
        reached = level
    return reached


def failed(steps: Iterable[Step]) -> Step | None:
    """Return the step that failed on the lowest level, or None."""
    failures = [step for step in steps if step.outcome is Outcome.FAILED]
    return min(failures, key=lambda step: step.level.rank, default=None)
