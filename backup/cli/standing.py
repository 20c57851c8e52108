"""How the standing of sources and chores is shown, and its JSON document."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup.cli.clock import ago_text, ahead_text
from backup.cli.console import Voice, local_text, size_text
from backup.paths import printable

if TYPE_CHECKING:
    from backup.history import Run
    from backup.status import ChoreStatus, JobStatus, Proof, SourceStatus

_COLUMNS = ("source", "job", "host", "saved", "verified", "size", "trend", "next", "state")


def tell(voice: Voice, jobs: Sequence["JobStatus"], now: datetime) -> None:
    """Print a line for each source, and what somebody should look at."""
    rows = [_row(job, each, now) for job in jobs for each in job.sources]
    rows += [_empty_row(job, now) for job in jobs if not job.sources]
    voice.table(
        _COLUMNS,
        rows,
        right="size trend",
        elastic="source job host",
        spare="host next verified trend job",
    )
    for job in jobs:
        for line in _remarks(job, now):
            voice.answer(line)


def tell_chores(voice: Voice, chores: Sequence["ChoreStatus"], now: datetime) -> None:
    """Print a line for each check, prune and drill, and what somebody should look at."""
    if not chores:
        return
    voice.table(
        ("chore", "name", "went well", "next", "state"),
        [
            (
                one.facts.kind.value,
                one.facts.name,
                ago_text(_success(one), now),
                ahead_text(one.next_run, now),
                one.state.value,
            )
            for one in chores
        ],
    )
    for one in chores:
        subject, last = one.facts.subject, one.facts.last
        if one.state.value == "failed" and last is not None:
            voice.answer(_ended_badly(f"{subject} at {local_text(last.started)}", last))
        if one.state.value == "overdue":
            well = _success(one)
            since = f"last went well {ago_text(well, now)}" if well else "never went well"
            voice.answer(f"{subject} is overdue: it {since}")


def _success(one: "ChoreStatus") -> datetime | None:
    return one.facts.success.started if one.facts.success else None


def document(
    jobs: Sequence["JobStatus"],
    chores: Sequence["ChoreStatus"],
    aside: Sequence[Path],
    now: datetime,
) -> dict[str, Any]:
    """Return what `voltar status --json` prints; names are never given another meaning."""
    return {
        "time": now.isoformat(),
        "jobs": [_job_json(each) for each in jobs],
        "chores": [_chore_json(each) for each in chores],
        "damaged_histories": [str(each) for each in aside],
    }


def _row(job: "JobStatus", one: "SourceStatus", now: datetime) -> tuple[str, ...]:
    facts = one.facts
    return (
        _shown(facts.source),
        job.name,
        facts.host,
        ago_text(facts.saved, now),
        ago_text(facts.verified.time if facts.verified else None, now),
        size_text(facts.sizes[-1]) if facts.sizes else "",
        trend_text(facts.sizes),
        ahead_text(job.next_run, now),
        one.state.value,
    )


def _empty_row(job: "JobStatus", now: datetime) -> tuple[str, ...]:
    """Of a job that has never run, it is not known which sources it has."""
    due = ahead_text(job.next_run, now)
    return ("", job.name, "", "never", "never", "", "", due, job.state.value)


def trend_text(sizes: Sequence[int]) -> str:
    """Return by how much the last size differs from the first: "+12 %"."""
    if len(sizes) < 2 or not sizes[0]:
        return ""
    change = sizes[-1] / sizes[0] - 1
    if change >= 10:
        return f"x{min(change + 1, 9999):.0f}"
    return "=" if abs(change) < 0.005 else f"{change:+.0%}".replace("%", " %")


def _remarks(job: "JobStatus", now: datetime) -> Iterator[str]:
    last = job.last
    if last is not None and last.result is not None and last.result.value in ("failed", "killed"):
        yield _ended_badly(f"the run of job {job.name} at {local_text(last.started)}", last)
    if not job.sources and job.state.value == "overdue":
        yield f"job {job.name} is overdue: it has saved nothing yet"
    for one in job.sources:
        name, facts = _shown(one.facts.source), one.facts
        if facts.failure:
            yield f"{name} was not backed up: {facts.failure}"
        if one.state.value == "overdue":
            yield f"{name} is overdue: it was saved {ago_text(facts.saved, now)}"
        if facts.held:
            yield (
                f"{name} is held, nothing of it is forgotten: {facts.held}; "
                f"if that is meant: `voltar status {name} --accept`"
            )
        if facts.drilled is not None and facts.drilled.failure:
            yield f"{name} did not pass its last drill: {facts.drilled.failure}"


def _ended_badly(what: str, run: "Run") -> str:
    was = "was killed" if run.result is not None and run.result.value == "killed" else "failed"
    why = f": {run.message}" if run.message else ""
    return f"{what} {was}{why}; `voltar log {run.id[:8]}`"


def _shown(name: str) -> str:
    return printable(name.encode(errors="surrogateescape"))


def _job_json(job: "JobStatus") -> dict[str, Any]:
    return {
        "job": job.name,
        "state": job.state.value,
        "next_run": _time(job.next_run),
        "last_run": run_json(job.last) if job.last else None,
        "sources": [_source_json(each) for each in job.sources],
    }


def _chore_json(one: "ChoreStatus") -> dict[str, Any]:
    return {
        "chore": one.facts.kind.value,
        "name": one.facts.name,
        "state": one.state.value,
        "last_success": _time(_success(one)),
        "next_run": _time(one.next_run),
        "last_run": run_json(one.facts.last) if one.facts.last else None,
    }


def run_json(run: "Run") -> dict[str, Any]:
    """Return a run as JSON shows it."""
    return {
        "run": run.id,
        "kind": run.kind.value,
        "job": run.job,
        "started": run.started.isoformat(),
        "ended": _time(run.ended),
        "result": run.result.value if run.result else None,
        "message": run.message,
    }


def _source_json(one: "SourceStatus") -> dict[str, Any]:
    facts = one.facts
    return {
        "source": facts.source,
        "host": facts.host or None,
        "state": one.state.value,
        "last_success": _time(facts.saved),
        "snapshot": facts.snapshot,
        "known_from": "repository" if facts.from_repository else "history",
        "verified": _proof_json(facts.verified),
        "drill": _proof_json(facts.drilled),
        "files": facts.files,
        "bytes": facts.sizes[-1] if facts.sizes else None,
        "bytes_before": list(facts.sizes[:-1]),
        "seconds": facts.seconds,
        "warnings": facts.warnings,
        "held": facts.held,
        "failure": facts.failure,
    }


def _proof_json(proof: "Proof | None") -> dict[str, Any] | None:
    if proof is None:
        return None
    return {
        "time": proof.time.isoformat(),
        "level": proof.level,
        "passed": not proof.failure,
        "failure": proof.failure,
    }


def _time(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
