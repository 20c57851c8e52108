"""What a job would do if it ran now. Nothing is changed, on the engine or in the repository."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final

from backup.anomaly import held
from backup.config import Job
from backup.engine import Engine
from backup.errors import BackupError
from backup.job.runner import Doors, named_job, repository_of
from backup.policy import policy_of
from backup.quiesce.plan import Order, Unit, units
from backup.repository import Recorded, Repository, Snapshot, SnapshotId
from backup.scope import Scope, Verdict, judge
from backup.selection.intent import Intent, intend
from backup.targets import IMAGE
from backup.timing.freshness import next_run
from transports.errors import TransportError

_RUNS: Final = 3
_NEW: Final = SnapshotId("new")
"""Stands for the snapshot of a source that a run would make."""


@dataclass(slots=True, kw_only=True)
class Preview:
    """What a run of a job would do.

    `newest` is the newest snapshot of each source that has one, `verdicts` what the policy says of
    the snapshots of each source after a run that goes well. `next_runs` are times. `problems` are
    what a run would complain of, or why it cannot be told. `known`: the repository was read.
    """

    name: str
    job: Job
    host: str = ""
    intent: Intent | None = None
    newest: dict[str, Snapshot] = field(default_factory=dict)
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    next_runs: list[datetime] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    known: bool = False

    def kept(self, source: str) -> list[Verdict]:
        """Those of a source that would be kept, and why, without the one that is not there yet."""
        return [
            each
            for each in self.verdicts[source]
            if each.kept and not each.recorded.id.startswith(_NEW)
        ]

    def dropped(self, source: str) -> list[Recorded]:
        """The snapshots of a source that would be forgotten."""
        return [each.recorded for each in self.verdicts[source] if not each.kept]

    @property
    def units(self) -> tuple[Unit, ...]:
        """What is read in one window, and who is quiet meanwhile, in order."""
        if self.intent is None:
            return ()
        order = Order(treatments=self.intent.selection.treatments, hooks=tuple(self.job.hooks))
        return units(self.intent.plan.groups, self.intent.present.containers, order)

    @property
    def sources(self) -> list[str]:
        """What would be captured."""
        if self.intent is None:
            return []
        wanted = self.intent.plan
        images = [f"{IMAGE}{each}" for each in wanted.images]
        dumps = [each.source for each in wanted.dumps]
        return [*(each.name for each in wanted.sources), *dumps, *images]


def preview(doors: Doors, name: str, now: datetime, clock: tzinfo) -> Preview:
    """Return what a run of a job would do. Raises ConfigError where there is no such job."""
    found = Preview(name=name, job=named_job(doors.config, name))
    found.next_runs = _next_runs(found.job, now, clock)
    repository = None
    try:
        repository = doors.repository(repository_of(doors.config, found.job))
    except (BackupError, TransportError) as error:
        advice = f" ({error.hint})" if error.hint else ""
        found.problems.append(f"its repository cannot be opened: {error}{advice}")
    try:
        with doors.engine(found.job.host) as engine:
            _look(doors, found, engine, repository)
    except (BackupError, TransportError) as error:
        found.problems.append(str(error))
        return found
    try:
        if repository is not None:
            _judge(found, repository, now)
    except (BackupError, TransportError) as error:
        found.problems.append(f"what it would forget cannot be told: {error}")
    return found


def _look(doors: Doors, found: Preview, engine: Engine, repository: Repository | None) -> None:
    keep_out = [engine.data_root] if repository is None else doors.keep_out(engine, repository)
    found.host = engine.name
    found.intent = intend(found.name, doors.config.jobs, engine, keep_out)
    itself = f"job {found.name}"
    found.problems += [
        str(error) if target == itself else f"{target}: {error}"
        for target, error in found.intent.failed
    ]
    found.problems += found.intent.selection.warnings
    found.problems += [str(each.refused) for each in found.units if each.refused]


def _judge(found: Preview, repository: Repository, now: datetime) -> None:
    history, damaged = repository.recorded()
    found.known = True
    found.problems += map(str, damaged)
    ours = [each for each in history if each.snapshot.host == found.host and not each.forgotten]
    found.newest = {each.snapshot.source: each.snapshot for each in ours}
    if found.job.keep is None or not found.sources:
        return
    scope = Scope(sources=found.sources, hosts=[found.host])
    expected = [*ours, *_expected(found, now)]
    judged = judge(expected, scope, policy_of(found.job.keep), now=now, held=held(ours))
    found.verdicts = {group.source: verdicts for group, verdicts in judged.items()}


def _expected(found: Preview, now: datetime) -> Iterable[Recorded]:
    """The snapshots that a run would make."""
    for number, source in enumerate(found.sources):
        snapshot = Snapshot(
            time=now, host=found.host, source=source, run="", tags=sorted(set(found.job.tags))
        )
        yield Recorded(id=SnapshotId(f"{_NEW}{number}"), snapshot=snapshot)


def _next_runs(job: Job, now: datetime, clock: tzinfo) -> list[datetime]:
    times: list[datetime] = []
    while len(times) < _RUNS:
        following = next_run(job, times[-1] if times else now, clock)
        if following is None:
            break
        times.append(following)
    return times
