"""A drill run once, however it is started: chosen, performed, written down."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backup.config import Drill, Job
from backup.drill.boot import Shelf, Wishes
from backup.drill.choice import Unit, alone, of_host, of_job, of_source, units
from backup.drill.level import Level, failed, passed
from backup.drill.perform import Drilled
from backup.drill.report import DrillReport, UnitReport
from backup.drill.scene import scene
from backup.engine import Engine
from backup.errors import BackupError, ConfigError, NoSuchSnapshot
from backup.history import History, Kind, Result, Run, SourceResult
from backup.job import new_run
from backup.lookup import Found
from backup.report import OnEvent
from backup.repository import Repository
from backup.span import parse_span
from backup.targets import CONTAINER
from transports.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be drilled: a job, or a source, or for "" all of a repository; as it was `at` a
    time, or the newest."""

    name: str
    job: Job | None = None
    at: datetime | None = None
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a drill works with. `tidy` clears away what killed runs left; `on_unit` is told of what
    was drilled as soon as it was."""

    engine: Engine
    repository: Repository
    history: History
    tidy: Callable[[Engine, str], object]
    on_event: OnEvent
    on_unit: Callable[[UnitReport], None]


def wishes_of(name: str, job: Job) -> Wishes:
    """Return what a job's configuration says of its drill. Raises ConfigError."""
    drill = job.drill or Drill()
    return Wishes(
        level=Level.ASSERT if drill.boot else Level.CONTENT,
        settle_s=parse_span(drill.settle, f"jobs.{name}.drill.settle"),
        timeout_s=parse_span(drill.timeout, f"jobs.{name}.drill.timeout"),
        container=drill.container,
        command=tuple(drill.assert_) if drill.assert_ else None,
    )


def run_drill(means: Means, order: Order) -> DrillReport:
    """Drill now. What fails is in the report; one that is interrupted is written down as failed.

    Raises NoSuchSnapshot and ConfigError where there is nothing to drill.
    """
    began, run = time.monotonic(), new_run()
    means.tidy(means.engine, run)
    every, damaged = means.repository.readable()
    chosen = _chosen(means.engine.name, every, order, means.history)
    if damaged and not chosen:
        raise damaged[0]
    _demand_some(order, chosen)
    report = DrillReport(
        run=run,
        job=order.name,
        engine=means.engine.name,
        repository=means.repository.store.url,
        wanted=order.wishes.level,
        started=datetime.now(UTC),
        select_s=round(time.monotonic() - began, 3),
        error=damaged[0] if damaged else None,  # it may hide what is newer
    )
    saved = [each for each in every if each[1].image is not None]
    with _written(means.history, report):
        try:
            _perform(means, order.wishes, (chosen, saved), report)
        except (BackupError, TransportError) as error:
            report.error = error
    return report


def _perform(
    means: Means,
    wishes: Wishes,
    chosen: tuple[Sequence[Unit], Sequence[Found]],
    report: DrillReport,
) -> None:
    with scene(means.engine, report.run, means.on_event) as stage:
        drilled = Drilled(
            stage=stage,
            repository=means.repository,
            shelf=Shelf(means.repository, chosen[1], means.on_event),
            wishes=wishes,
            on_event=means.on_event,
        )
        for unit in drilled.each(chosen[0]):
            report.units.append(unit)
            means.on_unit(unit)
        report.left = stage.left


def _chosen(host: str, every: list[Found], order: Order, history: History) -> tuple[Unit, ...]:
    now = datetime.now(UTC)
    found = list(every)
    if order.job is not None:
        runs = {each.id for each in history.runs(job=order.name, limit=10_000)}
        found = of_job(order.job, runs, every)
    elif order.name:
        found = of_source(order.name, every)
    found = of_host(found, host) if found else found
    if order.job is None and order.name and not order.name.startswith(CONTAINER):
        chosen = alone(found, order.at, now)
    else:
        pool = [each for each in every if each[1].host in {one[1].host for one in found}]
        chosen = units(found, pool, order.at, now)
    return chosen


def _demand_some(order: Order, chosen: tuple[Unit, ...]) -> None:
    """Raise NoSuchSnapshot where there is nothing to drill, ConfigError where it is not clear."""
    if not chosen:
        when = f" up to {order.at.isoformat(timespec='minutes')}" if order.at else ""
        raise NoSuchSnapshot(
            f"there is no snapshot of {order.name or 'anything'}{when} to drill",
            hint="`voltar snapshots` shows what there is",
        )
    _demand_one(order, chosen)


def _demand_one(order: Order, chosen: tuple[Unit, ...]) -> None:
    """Raise ConfigError where nobody can tell in which container the command is to run."""
    names = [each.subject.removeprefix(CONTAINER) for each in chosen if each.definition]
    wishes = order.wishes
    if wishes.container is not None and wishes.container not in names:
        raise ConfigError(
            f"jobs.{order.name}.drill.container is {wishes.container!r}, of which there is no"
            " snapshot",
            hint=f"containers: {', '.join(names) or 'none'}",
        )
    if wishes.command and wishes.container is None and len(names) != 1:
        raise ConfigError(
            f"jobs.{order.name}.drill.assert: the job has {len(names)} containers, and it is not"
            " said in which it runs",
            hint='name one: container = "…"',
        )


@contextmanager
def _written(history: History, report: DrillReport) -> Iterator[None]:
    history.begin(Run(id=report.run, kind=Kind.DRILL, job=report.job, started=report.started))
    result, message = Result.FAILED, "interrupted"
    try:
        yield
        result, message = report.result, report.message
    finally:
        report.ended = datetime.now(UTC)
        for unit in report.units:
            for each in _recorded(unit, report):
                history.add(report.run, each)
        history.end(report.run, report.ended, result, message)


def _recorded(unit: UnitReport, report: DrillReport) -> Iterator[SourceResult]:
    """What is remembered of each source: how far the whole came that it belongs to."""
    reached, wrong = passed(unit.steps), failed(unit.steps)
    for one in unit.sources:
        yield SourceResult(
            source=one.source,
            host=report.engine,
            snapshot=None if wrong else one.snapshot,
            time=one.time,
            entries=one.entries,
            size=one.size,
            seconds=round(sum(step.seconds for step in one.steps), 3),
            message=f"{wrong.level.value}: {wrong.message}" if wrong else "",
            level=reached.value if reached else "",
        )
