"""A drill run once, however it is started: chosen, performed, written down."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backup.config import Drill, Job
from backup.drill.boot import Shelf, Wishes
from backup.drill.choice import Unit, alone, meant, of_host, of_job, of_source, units
from backup.drill.level import Level, failed, passed
from backup.drill.perform import Drilled
from backup.drill.report import DrillReport, UnitReport
from backup.drill.scene import scene
from backup.engine import Engine, Remains, clear, remains
from backup.errors import BackupError, ConfigError, EngineUnavailable, NoSuchSnapshot
from backup.history import History, Kind, Result, Run, SourceResult
from backup.job.run import new_run
from backup.lookup import Found
from backup.report import Noted, OnEvent
from backup.repository import Repository
from backup.status import tried_last
from backup.targets import CONTAINER
from backup.timing.span import parse_span
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

    engine: Callable[[], AbstractContextManager[Engine]]
    repository: Callable[[], Repository]
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
    """Drill now. What fails is in the report; one that is interrupted is written down as failed."""
    wishes = order.wishes
    report = DrillReport(
        run=new_run(),
        job=order.name,
        wanted=wishes.level,
        asks=wishes.command is not None and wishes.level is Level.ASSERT,
        started=datetime.now(UTC),
    )
    with _written(means.history, report):
        try:
            if order.job is not None:
                _begin(means.history, report)
            _work(means, order, report)
        except (BackupError, TransportError) as error:
            report.error = error
    return report


def _begin(history: History, report: DrillReport) -> None:
    history.begin(Run(id=report.run, kind=Kind.DRILL, job=report.job, started=report.started))


def _work(means: Means, order: Order, report: DrillReport) -> None:
    """Choose and perform. A source that nobody has saved is no drill that failed."""
    began = time.monotonic()
    with means.engine() as engine:
        means.tidy(engine, report.run)
        repository = means.repository()
        report.engine, report.repository = engine.name, repository.store.url
        every, damaged = repository.readable()
        chosen = _chosen(engine.name, every, order, means.history)
        if damaged and not chosen:
            raise damaged[0]
        _demand_some(order, chosen)
        _tell_of_undrilled(order, chosen, means.on_event)
        if order.job is None:
            _begin(means.history, report)
        report.select_s = round(time.monotonic() - began, 3)
        saved = [each for each in every if each[1].image is not None]
        shelf = Shelf(repository, saved, means.on_event)
        _perform(means, (engine, repository, shelf), (order.wishes, chosen), report)
        if damaged:  # it may hide what is newer
            raise damaged[0]


def snapshots_of_job(order: Order, every: list[Found], history: History) -> list[Found]:
    """Return the snapshots of what a job takes, or took then. Who was removed since, and its image
    with it, would fail each drill for good."""
    runs = history.runs(job=order.name, kind=Kind.BACKUP, limit=10_000)
    found = of_job(order.job or Job(), {each.id for each in runs}, every)
    taken = tried_last(
        history, (each for each in runs if order.at is None or each.started <= order.at)
    )
    return [each for each in found if not taken or each[1].source in taken]


def _perform(
    means: Means,
    place: tuple[Engine, Repository, Shelf],
    what: tuple[Wishes, Sequence[Unit]],
    report: DrillReport,
) -> None:
    try:
        _play(means, place, what, report)
    except (EngineUnavailable, TransportError):
        _clear_anew(means, report.run)
        raise


def _clear_anew(means: Means, run: str) -> None:
    """The link was cut: by another one, what the drill made goes at once."""
    try:
        with means.engine() as engine:
            left = clear(engine, remains(engine).get(run, Remains()))
            means.tidy(engine, run)
    except (BackupError, TransportError) as error:
        left = [str(error)]
    for why in left:
        text = f"the next run there clears away what the drill made: {why}"
        means.on_event(Noted("drill", b"", text))


def _play(
    means: Means,
    place: tuple[Engine, Repository, Shelf],
    what: tuple[Wishes, Sequence[Unit]],
    report: DrillReport,
) -> None:
    engine, repository, shelf = place
    with scene(engine, report.run, means.on_event) as stage:
        report.left = stage.left
        drilled = Drilled(
            stage=stage,
            repository=repository,
            shelf=shelf,
            wishes=what[0],
            on_event=means.on_event,
        )
        for unit in drilled.each(what[1]):
            report.units.append(unit)
            means.on_unit(unit)


def _chosen(host: str, every: list[Found], order: Order, history: History) -> tuple[Unit, ...]:
    now = datetime.now(UTC)
    found, name = list(every), meant(order.name, every)
    if order.job is not None:
        found = snapshots_of_job(order, every, history)
    elif name:
        found = of_source(name, every)
    found = of_host(found, host) if found else found
    if order.job is None and name and not name.startswith(CONTAINER):
        chosen = alone(found, order.at, now)
    else:
        pool = [each for each in every if each[1].host in {one[1].host for one in found}]
        chosen = units(found, pool, order.at, now)
    if order.job is None and name.startswith(CONTAINER):  # not who else has the same volume
        chosen = tuple(one for one in chosen if not one.definition or one.subject == name)
    return chosen


def _demand_some(order: Order, chosen: tuple[Unit, ...]) -> None:
    """Raise NoSuchSnapshot where there is nothing to drill, ConfigError where it is not clear."""
    if not chosen:
        when = f" up to {order.at.isoformat(timespec='minutes')}" if order.at else ""
        raise NoSuchSnapshot(
            f"there is no snapshot of {order.name or 'anything'}{when} to drill",
            hint="say a job, or container:NAME or volume:NAME, as `voltar snapshots` shows them",
        )
    _demand_one(order, chosen)


def _tell_of_undrilled(order: Order, chosen: Sequence[Unit], on_event: OnEvent) -> None:
    drilled = {one.subject for one in chosen}
    for name in order.job.containers if order.job else ():
        if (subject := f"{CONTAINER}{name}") not in drilled:
            on_event(Noted(subject, b"", "it is not drilled: its definition is not kept"))


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
    result, message = Result.FAILED, "interrupted"
    try:
        yield
        result, message = report.result, report.message
    finally:
        report.ended = datetime.now(UTC)
        for each in _worst(one for unit in report.units for one in _recorded(unit, report)):
            history.add(report.run, each)
        for unit in report.units:
            for line in unit.told():
                history.say(report.run, line)
        history.end(report.run, report.ended, result, message)


def _worst(results: Iterable[SourceResult]) -> Iterable[SourceResult]:
    """Of a source that several containers had, what came of the one that came least far."""
    worst: dict[str, SourceResult] = {}
    for one in results:
        known = worst.setdefault(one.source, one)
        if known.snapshot is not None and (one.snapshot is None or _reached(one) < _reached(known)):
            worst[one.source] = one
    return worst.values()


def _reached(result: SourceResult) -> int:
    return Level(result.level).rank if result.level else -1


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
