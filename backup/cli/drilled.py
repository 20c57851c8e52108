"""What a drill came to, told and written down."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backup.cli.console import Voice, seconds_text
from backup.drill.formats import as_document, as_json, as_prometheus
from backup.drill.level import Outcome, failed, passed
from backup.drill.report import DrillReport, UnitReport
from backup.errors import BackupError, UsageError
from backup.history import Result
from transports.store import replace_file


@dataclass(frozen=True, slots=True)
class Files:
    """Where reports are to be written, if anywhere."""

    report: Path | None
    junit: Path | None
    prometheus: Path | None

    def demand_writable(self) -> None:
        """Raise UsageError for a place that cannot be written to, before anything is drilled."""
        for path in filter(None, (self.report, self.junit, self.prometheus)):
            if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
                raise UsageError(f"a report cannot be written to {path}")

    def write(self, reports: Sequence[DrillReport]) -> None:
        """Write the reports, each file whole or as it was. Raises BackupError."""
        if self.report is not None:
            _write(self.report, as_json(reports))
        if self.prometheus is not None:
            _write(self.prometheus, as_prometheus(reports))
        if self.junit is not None:
            from backup.drill.junit import as_junit  # noqa: PLC0415  loads an XML library

            _write(self.junit, as_junit(reports))


def _write(path: Path, text: str) -> None:
    """Write a report for others to collect."""
    try:
        replace_file(path, text.encode(errors="backslashreplace"), is_public=True)
    except OSError as error:
        raise BackupError(f"the report {path} cannot be written: {error.strerror}") from error


def tell_unit(voice: Voice, unit: UnitReport) -> None:
    """Tell how far what was drilled together came, and what was left out or is wrong."""
    if voice.as_json:
        return
    reached, wrong = passed(unit.steps), failed(unit.steps)
    level = reached.value if reached else "nothing"
    voice.answer(f"{unit.subject}  {'FAILED at ' + wrong.level.value if wrong else level}")
    for subject, steps in unit.subjects():
        for step in steps:
            if step.outcome is Outcome.FAILED:
                voice.warn(f"{subject}: {step.level.value} failed: {step.message}")
            elif step.outcome is Outcome.SKIPPED:
                voice.say(f"    {subject}: {step.level.value} skipped: {step.message}")
    if unit.booted is not None and unit.booted.left_out:
        voice.say(f"    left out: {'; '.join(unit.booted.left_out)}")


def tell_drill(voice: Voice, report: DrillReport) -> None:
    """Tell what the drill came to."""
    if voice.as_json:
        voice.event(as_document(report) | {"type": "summary"})
        return
    total = sum(report.seconds.values())
    stages = ", ".join(
        f"{name} {seconds_text(each)}" for name, each in report.seconds.items() if each
    )
    level = report.level.value if report.level else "nothing"
    tell = voice.report if report.result is Result.OK else voice.answer
    age = "" if report.point_s is None else f"data {seconds_text(report.point_s)} old, "
    tell(
        f"drill {report.job or 'of all'}: {report.result.value}, proven up to: {level}; "
        f"{age}back in {seconds_text(total)} ({stages})"
    )
