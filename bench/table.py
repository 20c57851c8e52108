"""Results as text and as Markdown, with the machine and how to repeat them."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head; the first column is words, the others are numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Columns side by side."""
        cells = [self.head, *self.rows]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.head))]
        lines = [
            "  ".join(
                cell.rjust(width) if n else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, "", *lines])

    def markdown(self) -> str:
        """A table of GitHub's kind."""
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        cells = [[cell.replace("|", r"\|") for cell in row] for row in (self.head, *self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
        return "\n".join([f"**{self.title}**", "", *lines])


@dataclass(frozen=True, slots=True)
class Report:
    """One comparison: its tables, what was measured, what has to be known to read them."""

    title: str
    command: str
    facts: Sequence[str]
    tables: Sequence[Table]
    verdicts: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """For a terminal."""
        parts = [f"== {self.title}", *[f"- {fact}" for fact in (*self.facts, *_place())]]
        parts += ["", *[table.text() + "\n" for table in self.tables], *self.verdicts]
        return "\n".join([*parts, f"repeat with: {self.command}", ""])

    def markdown(self) -> str:
        """For docs/benchmarks.md."""
        parts = [f"## {self.title}", "", *[f"- {fact}" for fact in (*self.facts, *_place())], ""]
        for table in self.tables:
            parts += [table.markdown(), ""]
        parts += [*[f"- {verdict}" for verdict in self.verdicts], ""]
        return "\n".join([*parts, f"Repeat with `{self.command}`.", "", ""])


def verdict(what: str, ratio: float, wanted: float) -> str:
    """One sentence: the figure, and whether it is reached."""
    reached = "reached" if ratio >= wanted else f"missed by {(1 - ratio / wanted) * 100:.0f} %"
    return f"{what}: {ratio:.2f} x (to reach: {wanted:g} x): {reached}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The least and the greatest."""
    return f"{min(values):.{digits}f}..{max(values):.{digits}f}"


def _place() -> list[str]:
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = Path("/proc/cpuinfo").read_text().count("processor\t:")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1e6
    return [
        f"machine: {cores} x {cpu}, {memory:.0f} GB memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {datetime.now(UTC):%Y-%m-%d}"
    ]
