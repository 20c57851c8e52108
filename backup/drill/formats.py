"""A drill's report for others: JSON (docs/drills.md), Prometheus text.

The JSON is stable: what is in it stays, what is added changes no meaning; else `format` counts up.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from backup.drill.level import Outcome, Step, failed, passed
from backup.drill.proof import Proven
from backup.drill.report import DrillReport, UnitReport
from backup.history import Result

FORMAT: Final = 1
_METRICS: Final = {
    "last_run_timestamp_seconds": "When the last drill ended.",
    "success": "Whether nothing failed in the last drill.",
    "recovery_point_seconds": "How old the oldest of the data were when it began.",
    "recovery_time_seconds": "How long each stage took.",
    "level_passed": "1 where a level was passed, 0 where it failed or was skipped.",
}


def as_json(reports: Sequence[DrillReport]) -> str:
    """Return reports as a file of JSON."""
    document = {"format": FORMAT, "drills": [as_document(each) for each in reports]}
    return json.dumps(document, indent=2) + "\n"


def as_document(report: DrillReport) -> dict[str, Any]:
    """Return a report as it is in JSON."""
    failure = report.failure
    return {
        "type": "drill",
        "format": FORMAT,
        "run": report.run,
        "job": report.job,
        "engine": report.engine,
        "repository": report.repository,
        "started": report.started.isoformat(),
        "ended": report.ended.isoformat() if report.ended else None,
        "result": report.result.value,
        "wanted": report.wanted.value,
        "level": report.level.value if report.level else None,
        "failed": failure[1].level.value if failure else None,
        "damaged": report.damaged,
        "message": report.message,
        "recovery_point_seconds": None if report.point_s is None else round(report.point_s, 3),
        "recovery_time_seconds": report.seconds | {"total": round(sum(report.seconds.values()), 3)},
        "units": [_unit(unit, report) for unit in report.units],
        "left": report.left,
    }


def _unit(unit: UnitReport, report: DrillReport) -> dict[str, Any]:
    reached, failure = passed(unit.steps), failed(unit.steps)
    return {
        "subject": unit.subject,
        "level": reached.value if reached else None,
        "failed": failure.level.value if failure else None,
        "sources": [_source(one, report) for one in unit.sources],
        "container": None
        if unit.booted is None
        else {
            "levels": [_step(step) for step in unit.booted.steps],
            "seconds": _rounded(unit.booted.seconds),
            "left_out": list(unit.booted.left_out),
        },
    }


def _source(one: Proven, report: DrillReport) -> dict[str, Any]:
    return {
        "source": one.source,
        "snapshot": one.snapshot,
        "time": one.time.isoformat(),
        "age_seconds": round((report.started - one.time).total_seconds(), 3),
        "entries": one.entries,
        "bytes": one.size,
        "levels": [_step(step) for step in one.steps],
        "seconds": _rounded(one.seconds),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "level": step.level.value,
        "outcome": step.outcome.value,
        "message": step.message,
        "seconds": step.seconds,
        "damaged": step.damaged,
        "output": step.output,
    }


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(each, 3) for stage, each in seconds.items()}


def as_prometheus(reports: Sequence[DrillReport]) -> str:
    """Return reports as a text file for Prometheus' node exporter."""
    every = [sample for report in reports for sample in _samples(report)]
    lines = []
    for name, about in _METRICS.items():
        lines += [f"# HELP voltar_drill_{name} {about}", f"# TYPE voltar_drill_{name} gauge"]
        lines += [
            f"voltar_drill_{name}{{{_labelled(labels)}}} {value:.3f}"
            for of, labels, value in every
            if of == name
        ]
    return "\n".join(lines) + "\n"


def _samples(report: DrillReport) -> Iterator[tuple[str, dict[str, str], float]]:
    job = {"job": report.job}
    yield "last_run_timestamp_seconds", job, (report.ended or report.started).timestamp()
    yield "success", job, float(report.result is Result.OK)
    if report.point_s is not None:
        yield "recovery_point_seconds", job, report.point_s
    for stage, seconds in report.seconds.items():
        yield "recovery_time_seconds", job | {"stage": stage}, seconds
    for unit in report.units:
        for subject, steps in unit.subjects():
            labels = job | {"unit": unit.subject, "subject": subject}
            for step in steps:
                value = float(step.outcome is Outcome.PASSED)
                yield "level_passed", labels | {"level": step.level.value}, value


def _labelled(labels: dict[str, str]) -> str:
    return ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())


def _escaped(text: str) -> str:
    safe = text.encode("utf-8", "backslashreplace").decode()
    return safe.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
