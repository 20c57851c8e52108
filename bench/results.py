"""What `peers` measured: a table for each work, and the figures to reach."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench import table
from bench.measure import Cost, Series
from bench.tools import BACKUPS, OURS, Tool, Work

TITLES: Mapping[Work, str] = {
    Work.FIRST: "first backup",
    Work.UNCHANGED: "second backup, nothing changed",
    Work.CHANGED: "backup, 1 % of the files changed",
    Work.RESTORE: "restore of everything",
    Work.SINGLE: "restore of a single file",
    Work.CHECK: "check",
    Work.READ: "check all data",
    Work.PRUNE: "forget all but one, and prune",
}
GOALS: Mapping[tuple[str, Work], Mapping[str, float]] = {
    ("mixed", Work.FIRST): {
        "restic": 2.2,
        "borg": 2.5,
        "tar | zstd -3 -T2": 0.85,
        "tar | gzip": 10,
    },
    ("small", Work.UNCHANGED): {"restic": 2},
    ("mixed", Work.RESTORE): {"restic": 1.5, "tar | zstd -3 -T2": 0.9},
}
"""How many times as fast as a peer voltar is to be."""
MEMORY = 300
"""The most that voltar is to take, in MB."""
_STORES = (*BACKUPS, Work.PRUNE)
_HEAD = ("", "seconds", "(spread)", "CPU s", "engine CPU s", "peak MB", "voltar is")


@dataclass(slots=True)
class Results:
    """What the tools took for the works of one set of data; voltar is the first of them."""

    data: str
    tools: list[Tool]
    failures: list[str] = field(default_factory=list)
    _series: dict[tuple[Work, str], Series] = field(default_factory=dict)

    def add(self, work: Work, tool: Tool, cost: Cost) -> None:
        """Take what one execution took."""
        self._series.setdefault((work, tool.name), Series(tool.name)).costs.append(cost)

    def tables(self) -> list[table.Table]:
        """One for each work that was done."""
        done = [work for work in Work if any(work is each for each, _ in self._series)]
        return [self._table(work) for work in done]

    def verdicts(self) -> Iterator[str]:
        """The figures to reach, where the run has both sides of them."""
        for (data, work), goals in GOALS.items():
            for peer, wanted in goals.items():
                ours, other = (self._series.get((work, name)) for name in (OURS, peer))
                if data == self.data and ours and other:
                    what = f"{data}, {TITLES[work]}: voltar against {peer}"
                    yield table.verdict(what, other.median() / ours.median(), wanted)
        ours_all = [each for (_, name), each in self._series.items() if name == OURS]
        if ours_all:
            peak = max(cost.peak for each in ours_all for cost in each.costs) / 1e6
            reached = "reached" if peak <= MEMORY else "missed"
            yield f"{self.data}: voltar takes {peak:.0f} MB at most (to reach: {MEMORY}): {reached}"
        yield from self.failures

    def _table(self, work: Work) -> table.Table:
        head = [*_HEAD, "stored MB"] if work in _STORES else _HEAD
        rows = []
        for tool in self.tools:
            series = self._series.get((work, tool.name))
            cells = self._cells(work, series) if series else [tool.notes.get(work, "failed")]
            rows.append([tool.name, *cells, *[""] * (len(head) - 1 - len(cells))])
        return table.Table(f"{self.data}: {TITLES[work]}", head, rows)

    def _cells(self, work: Work, series: Series) -> list[str]:
        ours = self._series.get((work, OURS))
        engine_s, peer = f"{series.median(lambda cost: cost.helpers_s):.2f}", ""
        if series is not ours:
            engine_s = "-"
            peer = f"{series.median() / ours.median():.2f} x as fast" if ours else ""
        cells = [
            f"{series.median():.2f}",
            f"({table.spread(series.seconds)})",
            f"{series.median(lambda cost: cost.cpu_s):.2f}",
            engine_s,
            f"{series.median(lambda cost: cost.peak) / 1e6:.0f}",
            peer,
        ]
        stored = _megabytes(series.median(lambda cost: cost.stored))
        return [*cells, stored] if work in _STORES else cells


def _megabytes(size: float) -> str:
    """Three digits, more for large sizes."""
    return f"{size / 1e6:.{0 if abs(size) >= 1e8 else 1 if abs(size) >= 1e7 else 3}f}"
