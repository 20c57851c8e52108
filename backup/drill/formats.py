"""A drill's report for others: JSON (docs/drills.md), JUnit XML, Prometheus text.

The JSON is stable: what is in it stays, what is added changes no meaning; else `format` counts up.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree

from backup.drill.level import Outcome, Step, failed, passed
from backup.drill.proof import Proven
from backup.drill.report import DrillReport, UnitReport
from backup.history import Result

FORMAT: Final = 1
_NAME: Final = "voltar drill"
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
        "recovery_point_seconds": round(report.point_s, 3),
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


def as_junit(reports: Sequence[DrillReport]) -> str:
    """Return reports as JUnit XML: a test suite each, and a test case for each source and level."""
    root = ElementTree.Element("testsuites")
    root.extend(map(_suite, reports))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: DrillReport) -> ElementTree.Element:
    steps = report.steps
    counts = {outcome: sum(step.outcome is outcome for step in steps) for outcome in Outcome}
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"{_NAME} {report.job}".strip()),
        timestamp=report.started.isoformat(timespec="seconds"),
        tests=str(len(steps)),
        failures=str(counts[Outcome.FAILED]),
        skipped=str(counts[Outcome.SKIPPED]),
        errors=str(int(report.error is not None)),
        time=f"{sum(step.seconds for step in steps):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for unit in report.units:
        for subject, each in unit.subjects():
            for step in each:
                _case(suite, unit.subject, subject, step)
    if report.error is not None:
        case = ElementTree.SubElement(suite, "testcase", classname=_NAME, name="drill", time="0")
        ElementTree.SubElement(case, "error", message=_clean(str(report.error)))
    return suite


def _properties(report: DrillReport) -> Iterator[tuple[str, str]]:
    yield "run", report.run
    yield "result", report.result.value
    yield "level", report.level.value if report.level else ""
    yield "recovery_point_seconds", f"{report.point_s:.3f}"
    for stage, seconds in report.seconds.items():
        yield f"recovery_time_seconds.{stage}", f"{seconds:.3f}"


def _case(suite: ElementTree.Element, unit: str, subject: str, step: Step) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(unit),
        name=_clean(f"{subject} {step.level.value}"),
        time=f"{step.seconds:.3f}",
    )
    if step.outcome is Outcome.FAILED:
        kind = "damaged" if step.damaged else "failed"
        ElementTree.SubElement(case, "failure", type=kind, message=_clean(step.message))
    elif step.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_clean(step.message))
    if step.output:
        ElementTree.SubElement(case, "system-out").text = _clean(step.output)


def _clean(text: str) -> str:
    """Write what XML 1.0 cannot hold as an escape: names of files have all kinds of characters."""
    return "".join(c if _is_allowed(ord(c)) else ascii(c)[1:-1] for c in text)


def _is_allowed(code: int) -> bool:
    if code < 0x20:
        return code in (0x9, 0xA)
    control, surrogate = 0x7F <= code <= 0x9F, 0xD800 <= code <= 0xDFFF
    return not (control or surrogate or code in (0xFFFE, 0xFFFF))


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
