"""What a drill came to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from backup.drill.boot import Booted
from backup.drill.level import Level, Outcome, Step, failed, passed
from backup.drill.proof import Proven
from backup.errors import BackupError, IntegrityError
from backup.history import Result
from transports.errors import TransportError

STAGES = ("select", "restore", "verify", "boot", "assert")
"""The stages of a recovery, in order: together they are how long one takes."""


@dataclass(slots=True, kw_only=True)
class UnitReport:
    """What became of what was drilled together. `booted` is of a container."""

    subject: str
    sources: list[Proven] = field(default_factory=list)
    booted: Booted | None = None

    def subjects(self) -> Iterator[tuple[str, list[Step]]]:
        """Yield each source and the container with their steps."""
        for one in self.sources:
            yield one.source, one.steps
        if self.booted is not None:
            yield self.subject, self.booted.steps

    @property
    def steps(self) -> list[Step]:
        return [step for _, steps in self.subjects() for step in steps]

    def told(self) -> Iterator[str]:
        """Yield a line for what was not passed, and one for what was left out."""
        for subject, steps in self.subjects():
            for step in steps:
                if step.outcome is not Outcome.PASSED:
                    yield f"{subject}: {step.level.value} {step.outcome.value}: {step.message}"
        if self.booted is not None and self.booted.left_out:
            yield f"{self.subject}: left out: {'; '.join(self.booted.left_out)}"


@dataclass(slots=True, kw_only=True)
class DrillReport:
    """A drill. `error` is what ended it early; `left` says what of it could not be removed.

    `asks`: a command is to be run, and the drill is not good before it has been.
    """

    run: str
    job: str
    engine: str = ""
    repository: str = ""
    wanted: Level = Level.ASSERT
    asks: bool = False
    started: datetime
    ended: datetime | None = None
    select_s: float = 0.0
    units: list[UnitReport] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    error: BackupError | TransportError | None = None

    @property
    def steps(self) -> list[Step]:
        return [step for unit in self.units for step in unit.steps]

    @property
    def level(self) -> Level | None:
        """The highest level that all was passed up to."""
        return passed(self.steps)

    @property
    def failure(self) -> tuple[str, Step] | None:
        """The first subject that failed on the lowest level, and where."""
        lowest = failed(self.steps)
        if lowest is None:
            return None
        subjects = (each for unit in self.units for each in unit.subjects())
        whose = (subject for subject, steps in subjects if any(one is lowest for one in steps))
        return next(whose), lowest

    @property
    def damaged(self) -> bool:
        """Whether data are not what was stored."""
        return isinstance(self.error, IntegrityError) or any(step.damaged for step in self.steps)

    @property
    def result(self) -> Result:
        """Failed where nothing was proven; incomplete where something failed, is left, or was not
        asked."""
        bad = [unit for unit in self.units if failed(unit.steps)]
        if self.error is not None or not self.units or len(bad) == len(self.units):
            return Result.FAILED
        return Result.INCOMPLETE if bad or self.left or self._unasked else Result.OK

    @property
    def _unasked(self) -> bool:
        asked = [step for step in self.steps if step.level is Level.ASSERT]
        return self.asks and all(step.outcome is Outcome.SKIPPED for step in asked)

    @property
    def message(self) -> str:
        """Why it failed, in a sentence."""
        if self.error is not None:
            return str(self.error)
        if self.failure is not None:
            subject, step = self.failure
            return f"{subject}: {step.level.value}: {step.message}"
        unasked = "the job's command was not run: no container was started for it"
        return "; ".join([*self.left, *([unasked] if self._unasked else [])])

    @property
    def point_s(self) -> float | None:
        """The recovery point: how old the oldest of the data were when the drill began."""
        times = [source.time for unit in self.units for source in unit.sources]
        return max(((self.started - time).total_seconds() for time in times), default=None)

    @property
    def seconds(self) -> dict[str, float]:
        """The recovery time by stage."""
        total = dict.fromkeys(STAGES, 0.0) | {"select": self.select_s}
        for unit in self.units:
            parts = [one.seconds for one in unit.sources]
            parts += [unit.booted.seconds] if unit.booted else []
            for part in parts:
                for stage, seconds in part.items():
                    total[stage] += seconds
        return {stage: round(seconds, 3) for stage, seconds in total.items()}
