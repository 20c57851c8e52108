"""From how jobs are to families of metrics.

What never happened has the time 0, so that an alert on its age goes off. Labels are the names of
jobs, sources and hosts; there are at most MOST_SOURCES of them, and how many more there would be is
told.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from backup import __version__
from backup.history import Result
from backup.paths import printable
from backup.status import ChoreStatus, JobStatus, Proof, SourceStatus, State

MOST_SOURCES: Final = 2000
_OF_JOB: Final = ("job",)
_OF_SOURCE: Final = ("job", "source", "host")
_OF_CHORE: Final = ("chore", "name")


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0


def _proven(proof: Proof | None) -> float:
    return _seconds(proof.time if proof else None)


def _success(job: JobStatus) -> float | None:
    if job.last is None or job.last.result is None:
        return None
    return float(job.last.result in (Result.OK, Result.INCOMPLETE) and not _failed(job))


def _failed(job: JobStatus) -> bool:
    return any(each.facts.failure for each in job.sources)


def _duration(job: JobStatus) -> float | None:
    if job.last is None or job.last.ended is None:
        return None
    return (job.last.ended - job.last.started).total_seconds()


_JOBS: Final[dict[str, tuple[str, Callable[[JobStatus], float | None]]]] = {
    "last_run_timestamp_seconds": (
        "When the job began last, 0 for never.",
        lambda job: _seconds(job.last.started if job.last else None),
    ),
    "last_run_success": (
        "1 where all sources were saved in the last run that ended, 0 where not.",
        _success,
    ),
    "last_run_duration_seconds": ("How long the last run took.", _duration),
    "next_run_timestamp_seconds": (
        "When the job is due next, by its schedule.",
        lambda job: job.next_run.timestamp() if job.next_run else None,
    ),
    "overdue": (
        "1 where the job or one of its sources is overdue.",
        lambda job: float(
            State.OVERDUE in (job.state, *(each.state for each in job.sources)),
        ),
    ),
    "alarming": (
        "1 where `voltar status` would end with 3: something failed, is overdue or held.",
        lambda job: float(job.state.is_alarming),
    ),
}
_SOURCES: Final[dict[str, tuple[str, Callable[[SourceStatus], float | None]]]] = {
    "last_success_timestamp_seconds": (
        "When the newest snapshot was taken, 0 for never.",
        lambda one: _seconds(one.facts.saved),
    ),
    "last_duration_seconds": (
        "How long it took to save the source.",
        lambda one: one.facts.seconds,
    ),
    "size_bytes": (
        "What the source held when it was saved last.",
        lambda one: one.facts.sizes[-1] if one.facts.sizes else 0.0,
    ),
    "files": ("How many files it had then.", lambda one: one.facts.files),
    "warnings": (
        "How many entries were not captured as they should be.",
        lambda one: one.facts.warnings,
    ),
    "overdue": (
        "1 where it was due after its last success, and too long ago.",
        lambda one: float(one.state is State.OVERDUE),
    ),
    "failed": (
        "1 where the last run that tried could not save it.",
        lambda one: float(bool(one.facts.failure)),
    ),
    "held": (
        "1 where its newest snapshot looks like a loss or an attack.",
        lambda one: float(bool(one.facts.held)),
    ),
    "last_verified_timestamp_seconds": (
        "When its content was proven last, by a check of all data or a drill; 0 for never.",
        lambda one: _proven(one.facts.verified),
    ),
    "last_drill_timestamp_seconds": (
        "When it was drilled last, 0 for never.",
        lambda one: _proven(one.facts.drilled),
    ),
    "last_drill_success": (
        "1 where it passed its last drill.",
        lambda one: None if one.facts.drilled is None else float(not one.facts.drilled.failure),
    ),
}


_CHORES: Final[dict[str, tuple[str, Callable[[ChoreStatus], float | None]]]] = {
    "last_success_timestamp_seconds": (
        "When the check, prune or drill began that went well last, 0 for never.",
        lambda one: _seconds(one.facts.success.started if one.facts.success else None),
    ),
    "last_run_success": (
        "1 where the last one that ended went well, 0 where not.",
        lambda one: None if one.facts.last is None else float(one.facts.last.result is Result.OK),
    ),
    "next_run_timestamp_seconds": (
        "When it is due next, by its schedule.",
        lambda one: one.next_run.timestamp() if one.next_run else None,
    ),
    "overdue": (
        "1 where it was due after it went well last, and too long ago.",
        lambda one: float(one.state is State.OVERDUE),
    ),
}


def chore_families(chores: Sequence[ChoreStatus]) -> Iterator[Metric]:
    """Return what is told of checks, prunes and drills."""
    for name, (text, of_chore) in _CHORES.items():
        family = GaugeMetricFamily(f"voltar_chore_{name}", text, labels=_OF_CHORE)
        for one in chores:
            if (value := of_chore(one)) is not None:
                family.add_metric([one.facts.kind.value, _shown(one.facts.name)], value)
        yield family


def history_family(aside: Sequence[Path]) -> Metric:
    """Return what is told of the history itself."""
    text = "How many histories were found damaged, moved aside, and not yet removed."
    return GaugeMetricFamily("voltar_histories_damaged", text, len(aside))


def families(jobs: Sequence[JobStatus], now: datetime) -> Iterator[Metric]:
    """Return what is told of jobs and their sources."""
    yield InfoMetricFamily("voltar_build", "The version of voltar.", {"version": __version__})
    yield GaugeMetricFamily(
        "voltar_last_update_timestamp_seconds", "When this was made.", now.timestamp()
    )
    for name, (text, of_job) in _JOBS.items():
        family = GaugeMetricFamily(f"voltar_job_{name}", text, labels=_OF_JOB)
        for job in jobs:
            if (value := of_job(job)) is not None:
                family.add_metric([_shown(job.name)], value)
        yield family
    sources = [(job.name, one) for job in jobs for one in job.sources]
    yield GaugeMetricFamily(
        "voltar_sources_left_out",
        f"How many sources are not told of, as there are more than {MOST_SOURCES}.",
        max(0, len(sources) - MOST_SOURCES),
    )
    for name, (text, of_source) in _SOURCES.items():
        family = GaugeMetricFamily(f"voltar_source_{name}", text, labels=_OF_SOURCE)
        for job_name, one in sources[:MOST_SOURCES]:
            if (value := of_source(one)) is not None:
                labels = (job_name, one.facts.source, one.facts.host)
                family.add_metric([*map(_shown, labels)], value)
        yield family


def _shown(name: str) -> str:
    return printable(name.encode(errors="surrogateescape"))
