"""A configured job, run once: chosen, read, stored, thinned out, and written down.

However it is started, by hand, by the daemon, by systemd or by cron, this is what runs.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path

from backup import config
from backup.anomaly import held
from backup.config import Config
from backup.engine import Engine
from backup.errors import BackupError, ConfigError
from backup.exclusion import Exclusion
from backup.history import History, Kind, Result, Run, SourceResult
from backup.job.run import Failed, Outcome, Saved, Wishes, back_up, new_run
from backup.lock import sole
from backup.notify import Bell, Ended
from backup.paths import printable
from backup.policy import policy_of
from backup.quantity import parse_size
from backup.quiesce.journal import DIRECTORY
from backup.quiesce.plan import Order
from backup.quiesce.site import Setting
from backup.quiesce.window import Windows, quiesced
from backup.report import Event, Noted, OnEvent
from backup.repository import SHORT_ID, Repository, SnapshotId, catalog, probe
from backup.scope import Scope, judge, to_forget
from backup.selection.intent import intend
from transports.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What whoever starts runs opens for them: it knows the secrets.

    `engine` gets the name of a host, `repository` that of a repository. `keep_out` are directories
    of the engine's host that are no sources. `tidy` clears away what killed runs left, and returns
    why what they stopped may be so still. `zone` is where jobs are that name none. `bell` tells
    whoever wants to know; `code` is the exit code for a result, or for what has ended a run.
    `environ` is what hooks on this machine see.
    """

    config: Config
    state: Path
    engine: Callable[[str], AbstractContextManager[Engine]]
    repository: Callable[[str], Repository]
    keep_out: Callable[[Engine, Repository], list[str]]
    tidy: Callable[[Engine, str], Sequence[BackupError]]
    on_event: OnEvent
    zone: tzinfo = UTC
    bell: Bell
    code: Callable[[Result, BaseException | None], int]
    environ: Mapping[str, str] = field(default_factory=dict)

    def quiet(self, host: str, run: str, job: str) -> Setting:
        """What is needed to keep containers of a host quiet."""
        return Setting(
            run=run,
            job=job,
            directory=self.state / DIRECTORY,
            connect=partial(self.engine, host),
            environ=self.environ,
            on_event=self.on_event,
        )


@dataclass(slots=True, kw_only=True)
class JobReport:
    """What a run of a job came to. `error` is what ended it before all sources were tried."""

    run: str
    job: str
    started: datetime
    ended: datetime | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    forgotten: list[SnapshotId] = field(default_factory=list)
    error: BackupError | TransportError | None = None
    windows: Windows | None = None

    @property
    def warnings(self) -> list[str]:
        """What happened to containers and hooks that is worse than asked."""
        return self.windows.warnings if self.windows else []

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """The sources that a hook wanted left out, and why: they are not saved."""
        return self.windows.left_out if self.windows else []

    @property
    def held(self) -> list[str]:
        """The sources of which nothing is forgotten."""
        saved = (each.snapshot for each in self.outcomes if isinstance(each, Saved))
        return [each.source for each in saved if each.anomalies]

    @property
    def result(self) -> Result:
        saved = [each for each in self.outcomes if isinstance(each, Saved)]
        if self.error is not None or ((self.outcomes or not self.warnings) and not saved):
            return Result.FAILED
        whole = not any(each.warnings or each.snapshot.anomalies for each in saved)
        whole = whole and len(saved) == len(self.outcomes) and not self.warnings
        return Result.OK if whole else Result.INCOMPLETE


def run_job(doors: Doors, name: str, on_outcome: Callable[[Outcome], None]) -> JobReport:
    """Run a job now. What fails is in the report; raises ConfigError, InUse where it runs already.

    A run that is interrupted is written down as failed.
    """
    job = named_job(doors.config, name)
    with alone(doors.state, name):
        history = History(history_path(doors.state), partial(_tell, doors.on_event))
        report = JobReport(run=new_run(), job=name, started=datetime.now(UTC))
        history.begin(Run(id=report.run, kind=Kind.BACKUP, job=name, started=report.started))
        message = "interrupted"
        try:
            doors.bell.started(f"job {name}")
            try:
                _work(heard(doors, history, report.run), job, report, history, on_outcome)
            except (BackupError, TransportError) as error:
                report.error = error
            message = "" if report.error is None else str(report.error)
        finally:
            report.ended = datetime.now(UTC)
            result = Result.FAILED if message else report.result
            history.end(report.run, report.ended, result, message)
            publish(doors.config, history, doors.zone, partial(_tell, doors.on_event))
            code = doors.code(result, report.error or sys.exception())
            doors.bell.ended(_ended(report, result, message, code))
    return report


def _ended(report: JobReport, result: Result, message: str, code: int) -> Ended:
    """What others are told. A file that changed while it was read is no failure: its source is
    there, and to be told of it each night would teach everybody to look away."""
    failed = [each for each in report.outcomes if isinstance(each, Failed)]
    saved = [each for each in report.outcomes if isinstance(each, Saved)]
    warned = [each for each in saved if each.warnings]
    return Ended(
        subject=f"job {report.job}",
        run=report.run,
        wrong=result is Result.FAILED or bool(failed or report.left_out or report.held),
        code=code,
        lines=(
            f"job {report.job}: {result.value}{message and f': {message}'}",
            f"{len(saved)} of {len(report.outcomes)} sources saved",
            *(f"{each.source}: {each.error}" for each in failed),
            *(f"{name}: {why}" for name, why in report.left_out),
            *(
                f"{each.snapshot.source}: {'; '.join(each.snapshot.anomalies)}; none is forgotten"
                for each in saved
                if each.snapshot.anomalies
            ),
            *(f"{each.snapshot.source}: warnings: {each.warnings}" for each in warned),
        ),
    )


def publish(
    found: Config, history: History, zone: tzinfo, on_trouble: Callable[[str], object]
) -> None:
    """Write the metrics where the configuration wants them; what fails is told, and no more."""
    if found.metrics is None or found.metrics.textfile is None:
        return
    from backup import metrics  # noqa: PLC0415  0.1 s to load, and not for everybody

    try:
        metrics.publish(found, history, zone)
    except BackupError as error:
        on_trouble(str(error))


def history_path(state: Path) -> Path:
    """Return where the history is."""
    return state / "history.sqlite"


def heard(doors: Doors, history: History, run: str) -> Doors:
    """Return doors through which what is told is kept with a run as well."""

    def on_event(event: Event) -> None:
        if isinstance(event, Noted):
            about = filter(None, (event.subject, printable(event.path), event.text))
            history.say(run, f"{'note' if event.harmless else 'warning'}: {': '.join(about)}")
        doors.on_event(event)

    return replace(doors, on_event=on_event)


def _tell(on_event: OnEvent, text: str) -> None:
    on_event(Noted("", b"", text))


def named_job(found: Config, name: str) -> config.Job:
    """Return a job. Raises ConfigError."""
    if name not in found.jobs:
        known = ", ".join(sorted(found.jobs)) or "none"
        raise ConfigError(f"no job {name!r} is configured", hint=f"jobs: {known}")
    return found.jobs[name]


def repository_of(found: Config, job: config.Job) -> str:
    """Return the name of a job's repository: its own, or the only one. Raises ConfigError."""
    if job.repository is not None:
        return job.repository
    if len(found.repositories) != 1:
        raise ConfigError(
            "the configuration names no repository for the job",
            hint="add [repositories.main] with its location, or set VOLTAR_REPOSITORY",
        )
    return next(iter(found.repositories))


def alone(state: Path, job: str) -> AbstractContextManager[None]:
    """Hold a job's lock. Raises InUse."""
    return sole(state / "locks" / f"{job}.lock", f"job {job!r} is running already")


def _work(
    doors: Doors,
    job: config.Job,
    report: JobReport,
    history: History,
    on_outcome: Callable[[Outcome], None],
) -> None:
    with doors.engine(job.host) as engine:
        left = doors.tidy(engine, report.run)
        repository = doors.repository(repository_of(doors.config, job))
        intent = intend(report.job, doors.config.jobs, engine, doors.keep_out(engine, repository))
        for warning in intent.selection.warnings:
            doors.on_event(Noted(f"job {report.job}", b"", warning))
        report.skipped += intent.left_out
        exclusion = _exclusion(job)
        outcomes = [Failed(each, error) for each, error in intent.failed]
        setting = doors.quiet(job.host, report.run, report.job)
        order = Order(treatments=intent.selection.treatments, hooks=tuple(job.hooks))
        writable = partial(probe, repository.store, engine.name)
        with quiesced(engine, setting, intent.plan, order, writable) as windows:
            report.windows = windows
            wishes = Wishes(
                exclusion=exclusion,
                tags=sorted(set(job.tags)),
                watchful=job.brake,
                windows=windows,
                hot_copy=job.hot_copy,
            )
            back_up_all = back_up(
                engine, repository, intent.plan, wishes, run=report.run, on_event=doors.on_event
            )
            for outcome in _each(outcomes, back_up_all):
                report.outcomes.append(outcome)
                history.say(report.run, _said(outcome))
                history.add(report.run, _recorded(outcome, engine.name))
                on_outcome(outcome)
        for name, why in windows.left_out:
            report.skipped.append((name, why))
            history.add(report.run, SourceResult(source=name, host=engine.name, message=why))
        if failures := [*left, *windows.failures]:
            raise failures[0]
        if job.keep is not None:
            report.forgotten += _forget(repository, job.keep, report)
            history.say(report.run, f"forgotten: {len(report.forgotten)} snapshots")


def _exclusion(job: config.Job) -> Exclusion:
    largest = job.exclude_larger_than
    size = None if largest is None else parse_size(largest, "exclude-larger-than")
    return Exclusion(tuple(job.exclude_files), job.exclude_caches, size)


def _each(first: list[Failed], rest: Iterator[Outcome]) -> Iterator[Outcome]:
    yield from first
    yield from rest


def _recorded(outcome: Outcome, host: str) -> SourceResult:
    if isinstance(outcome, Failed):
        downtime_s = _downtime_s(outcome)
        message = str(outcome.error)
        return SourceResult(
            source=outcome.source, host=host, message=message, downtime_s=downtime_s
        )
    counts = outcome.snapshot.statistics
    return SourceResult(
        source=outcome.snapshot.source,
        host=host,
        snapshot=outcome.id,
        time=outcome.snapshot.time,
        entries=counts.entries,
        files=counts.files,
        size=counts.size,
        stored=counts.stored,
        seconds=counts.seconds,
        warnings=outcome.warnings,
        downtime_s=_downtime_s(outcome),
        held="; ".join(outcome.snapshot.anomalies),
    )


def _said(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        hint = f" ({outcome.error.hint})" if outcome.error.hint else ""
        return f"{outcome.source} was not backed up: {outcome.error}{hint}"
    counts = outcome.snapshot.statistics
    noun = "entry" if counts.entries == 1 else "entries"
    return (
        f"{outcome.id[:SHORT_ID]} {outcome.snapshot.source}: {counts.entries} {noun}, "
        f"{counts.size} bytes; stored {counts.stored} bytes in {counts.seconds:.1f} s"
    )


def _downtime_s(outcome: Outcome) -> float:
    return max((each.seconds for each in outcome.downtimes), default=0.0)


def _forget(repository: Repository, keep: config.Keep, report: JobReport) -> list[SnapshotId]:
    """Forget of what went well in this run: what is missing in the newest may be in an old one."""
    well = [
        each.snapshot for each in report.outcomes if isinstance(each, Saved) and not each.warnings
    ]
    if not well:
        return []
    scope = Scope(
        sources=sorted({each.source for each in well}), hosts=sorted({each.host for each in well})
    )
    history = catalog.history(repository)
    now = datetime.now(UTC)
    judged = judge(history, scope, policy_of(keep), now=now, held=held(history))
    return catalog.forget(repository, to_forget(judged))
