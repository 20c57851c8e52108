"""voltar drill"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from backup.cli import FAILED, INCOMPLETE, INTEGRITY, exit_code
from backup.cli.configured import code_of, doors
from backup.cli.console import listening
from backup.cli.context import Context, state_directory
from backup.cli.drilled import Files, tell_drill, tell_unit
from backup.cli.places import config_path
from backup.config import LOCAL, Job
from backup.drill.boot import Wishes
from backup.drill.level import Level
from backup.drill.report import DrillReport
from backup.drill.run import Means, Order, run_drill, wishes_of
from backup.engine import Engine
from backup.errors import BackupError, ConfigError, UsageError
from backup.history import History, Result
from backup.job.runner import Doors, alone, history_path, repository_of
from backup.lookup import parse_time
from backup.notify import Bell, Ended
from backup.paths import printable
from backup.report import OnEvent
from backup.repository import Repository
from backup.timing.span import parse_span
from transports.errors import TransportError

_GRAVITY: Final = (0, INCOMPLETE, FAILED)


def drill(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="JOB|SOURCE", help="A job, a volume, or a container."),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every job; without a configuration, every source.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="As it was then, not the newest.")
    ] = None,
    level: Annotated[Level, typer.Option(help="Go no further than this.")] = Level.ASSERT,
    settle: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="A container without a health check runs so long: 10s."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="It is healthy, or the command ends, within: 5min."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what came of it as JSON.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as JUnit XML.")
    ] = None,
    prometheus: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it for Prometheus' node exporter.")
    ] = None,
) -> None:
    """Restore snapshots for proof, start the container, and clear up.

    Examples: voltar drill nightly · voltar drill container:db --junit drill.xml
    · voltar drill volume:pgdata --at 2026-11-25 --level content · voltar drill --all

    Everything happens in scratch volumes and on a network without a way out; no container, network
    or volume of yours is touched. Levels: catalog, store, content, boot, assert. Exit code 4 where
    data are damaged, 1 where all of it failed, 3 where a part did.
    """
    context: Context = ctx.obj
    if bool(what) == everything:
        raise UsageError("say a job or a source, or --all", hint="voltar drill --help")
    files = Files(report, junit, prometheus)
    files.demand_writable()
    asked = _Asked(level, settle, timeout, parse_time(at) if at else None)
    with listening(context.voice) as listener:
        reports, errors = _drilled(context, _tasks(context, what, asked, listener))
    files.write(reports)
    for error in errors:
        context.voice.error(error, exit_code(error))
    if code := _code(reports, errors):
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says of all drills; None where a job's configuration counts."""

    level: Level
    settle: str | None
    timeout: str | None
    at: datetime | None

    def order(self, name: str, job: Job | None = None) -> Order:
        """Return the order to drill a job or a source. Raises ConfigError."""
        wishes = wishes_of(name, job) if job else Wishes()
        if self.level.rank < wishes.level.rank:
            wishes = replace(wishes, level=self.level)
        if self.settle is not None:
            wishes = replace(wishes, settle_s=parse_span(self.settle, "--settle"))
        if self.timeout is not None:
            wishes = replace(wishes, timeout_s=parse_span(self.timeout, "--timeout"))
        return Order(name=name, job=job, at=self.at, wishes=wishes)


@dataclass(frozen=True, slots=True)
class _Task:
    """One drill, what opens its engine and its repository, and who is told of a job's."""

    order: Order
    engine: Callable[[], AbstractContextManager[Engine]]
    repository: Callable[[], Repository]
    on_event: OnEvent
    bell: Bell | None = None


def _tasks(context: Context, what: str | None, asked: _Asked, listener: OnEvent) -> Iterator[_Task]:
    """Yield the jobs that are meant, or else the sources. Raises ConfigError."""
    opened = _configured(context, listener)
    jobs = opened.config.jobs if opened else {}
    direct = context.repository or os.environ.get("VOLTAR_REPOSITORY")
    names = [what] if what in jobs else [*jobs] if what is None and not direct else []
    for name in names:
        assert opened is not None  # noqa: S101  jobs are configured
        job = jobs[name]
        engine = context.engine if context.host else partial(opened.engine, job.host)
        repository = repository_of(opened.config, job)
        opening = partial(opened.repository, repository)
        yield _Task(asked.order(name, job), engine, opening, listener, opened.bell)
    if names:
        return
    order = asked.order(what or "")
    if direct or opened is None:
        yield _Task(order, context.engine, context.open, listener)
        return
    engine = context.engine if context.host else partial(opened.engine, LOCAL)
    repository = repository_of(opened.config, Job())
    yield _Task(order, engine, partial(opened.repository, repository), listener)


def _configured(context: Context, listener: OnEvent) -> Doors | None:
    """What a configuration leads to, if there is one. Raises ConfigError for one that is wrong."""
    try:
        config_path(context.config)
    except ConfigError:
        return None
    return doors(context, listener)


def _drilled(
    context: Context, tasks: Iterable[_Task]
) -> tuple[list[DrillReport], list[BackupError | TransportError]]:
    """Drill one after the other; one that cannot begin must not keep the others from it."""
    reports: list[DrillReport] = []
    errors: list[BackupError | TransportError] = []
    for task in tasks:
        try:
            report = _drill(context, task)
        except (BackupError, TransportError) as error:
            errors.append(error)
            continue
        reports.append(report)
        if report.units:
            tell_drill(context.voice, report)
        errors += filter(None, [report.error])
    return reports, errors


def _drill(context: Context, task: _Task) -> DrillReport:
    state = state_directory()
    name = f"drill of {task.order.name}"
    means = Means(
        engine=task.engine,
        repository=task.repository,
        history=History(history_path(state), context.voice.warn),
        tidy=context.tidy,
        on_event=task.on_event,
        on_unit=partial(tell_unit, context.voice),
    )
    with alone(state, name) if task.order.job else nullcontext():
        report = run_drill(means, task.order)
    if task.bell is not None:
        task.bell.ended(_ended(report))
    return report


def _ended(report: DrillReport) -> Ended:
    """What whoever wants to know is told of a job's drill."""
    said = f"drill {report.job}: {report.result.value}"
    return Ended(
        subject=f"drill {report.job}",
        run=report.run,
        wrong=report.result is not Result.OK,
        code=_code([report], [report.error] if report.error else []),
        lines=(f"{said}: {printable(report.message.encode())}" if report.message else said,),
    )


def _code(reports: Sequence[DrillReport], errors: Sequence[Exception]) -> int:
    """The exit code: damage first, then what failed as a whole, then a part."""
    if any(each.damaged for each in reports):
        return INTEGRITY
    if errors:
        return exit_code(errors[0])
    return max((code_of(each.result, None) for each in reports), default=0, key=_GRAVITY.index)
