"""A drill's report as JUnit XML, for what shows the results of tests."""

from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from backup.drill.level import Outcome, Step
from backup.drill.report import DrillReport

_NAME: Final = "voltar drill"


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
    if report.point_s is not None:
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
