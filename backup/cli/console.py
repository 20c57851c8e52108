"""What a person or a script sees.

A person at a terminal gets a progress bar and colours; a log gets a line for each step; a script
that says --json gets one event a line, and a last line of the type "summary". Names from volumes
are shown by `paths.printable` only: a file name must not be able to drive a terminal.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from backup.errors import BackupError, VerificationFailed
from backup.paths import printable
from backup.report import Advanced, Event, Finished, Noted, Started
from transports.errors import TransportError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_JSON_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Voice:
    """How this run talks: JSON or not, and how much. 0 is quiet, 1 normal, 2 verbose."""

    as_json: bool = False
    level: int = 1
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    err: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True)
    )

    def say(self, line: str, *, style: str = "") -> None:
        """Tell a person something on the way; not said with --json or --quiet."""
        if not self.as_json and self.level > 0:
            self.err.print(Text(_harmless(line), style=style))

    def warn(self, line: str) -> None:
        """Tell what is not as it should be; said even with --quiet."""
        if self.as_json:
            self.event({"type": "warning", "message": line})
        else:
            self.err.print(Text(_harmless(f"warning: {line}"), style="yellow"))

    def answer(self, text: str) -> None:
        """Print a line of the answer."""
        self.out.print(Text(_harmless(text)))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: str = "",
        elastic: str = "",
        folded: str = "",
    ) -> None:
        """Print a table, cut to the width of a terminal and whole in a pipe.

        The columns named in `right` (a space between two names) are aligned to the right; where the
        terminal is narrow, those in `elastic` are cut and those in `folded` take several lines.
        """
        if not sys.stdout.isatty():
            for row in (columns, *rows):
                print("\t".join(map(_harmless, row)))
            return
        console = Console(highlight=False)
        shown = [[_harmless(cell) for cell in row] for row in (columns, *rows)]
        widest = [max(map(cell_len, cells)) for cells in zip(*shown, strict=True)]
        narrowed = [*elastic.split(), *folded.split()]
        yielding = [at for at, column in enumerate(columns) if column in narrowed]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in zip(columns, _fitted(widest, yielding, console.width), strict=True):
            justify: JustifyMethod = "right" if column in right.split() else "left"
            no_wrap = column not in folded.split()
            table.add_column(
                column, justify=justify, overflow="ellipsis", no_wrap=no_wrap, width=width
            )
        for row in shown[1:]:
            table.add_row(*map(Text, row))
        console.print(table)

    def document(self, value: Any) -> None:
        """Print the one JSON document of a query."""
        print(json.dumps(value, indent=2, ensure_ascii=True), flush=True)

    def event(self, value: Mapping[str, Any]) -> None:
        """Print one JSON line of long work."""
        print(json.dumps(value, ensure_ascii=True), flush=True)

    def error(self, error: BackupError | TransportError, code: int) -> None:
        """Tell why the command failed."""
        notes = list(getattr(error, "__notes__", []))
        if isinstance(error, VerificationFailed):
            notes += error.differences[1:]
        if self.as_json:
            told = {"type": "error", "message": str(error), "hint": error.hint, "code": code}
            print(json.dumps(told | ({"notes": notes} if notes else {})), file=sys.stderr)
            return
        self.err.print(Text.assemble(("error: ", "bold red"), _harmless(str(error))))
        for note in notes:
            self.err.print(Text(_harmless(f"       {note}")))
        if error.hint:
            self.err.print(Text.assemble(("hint: ", "bold"), _harmless(error.hint)))

    def interrupted(self) -> None:
        """Tell that the command was ended from outside."""
        if self.as_json:
            print(
                json.dumps({"type": "error", "message": "interrupted", "code": 130}),
                file=sys.stderr,
            )
        else:
            self.err.print("interrupted")


class Listener:
    """Shows events as they come: a bar, lines, or JSON."""

    def __init__(self, voice: Voice, progress: "Progress | None") -> None:
        self._voice = voice
        self._progress = progress
        self._task: TaskID | None = None
        self._started = Started("", "")
        self._size = 0
        self._entries = 0
        self._told_at = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._start(event)
            case Advanced():
                self._advance(event)
            case Noted():
                self._note(event)
            case Finished():
                self._finish(event)

    def _start(self, event: Started) -> None:
        self._started, self._size, self._entries = event, 0, 0
        self._told_at = time.monotonic()
        if self._voice.as_json:
            self._voice.event(
                {
                    "type": "started",
                    "work": event.work,
                    "subject": event.subject,
                    "bytes": event.size,
                    "entries": event.entries,
                }
            )
        elif self._progress is not None:
            self._clear()
            self._task = self._progress.add_task(
                _harmless(f"{event.work} {event.subject}"),
                total=event.size or None,
                files=f"0/{event.entries}" if event.entries else "",
            )
        elif self._voice.level > 1 or event.work != "list":
            self._voice.say(_start_line(event))

    def _advance(self, event: Advanced) -> None:
        self._size += event.size
        self._entries += event.entries
        now = time.monotonic()
        if now - self._told_at < (_JSON_EVERY_S if self._progress is None else 0.1):
            return
        self._told_at = now
        if self._voice.as_json:
            self._voice.event({"type": "progress", "bytes": self._size, "entries": self._entries})
        elif self._progress is not None and self._task is not None:
            files = f"{self._entries}/{self._started.entries}" if self._entries else ""
            self._progress.update(self._task, completed=self._size, files=files)

    def _note(self, event: Noted) -> None:
        if self._voice.as_json:
            self._voice.event(
                {
                    "type": "note",
                    "subject": event.subject,
                    "path": printable(event.path),
                    "text": event.text,
                }
            )
        else:
            about = filter(None, (event.subject, printable(event.path), event.text))
            self._voice.say(f"note: {': '.join(about)}")

    def _finish(self, event: Finished) -> None:
        if self._voice.as_json:
            self._voice.event({"type": "finished", "work": event.work, "subject": event.subject})
        self._clear()

    def _clear(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


@contextmanager
def listening(voice: Voice) -> Iterator[Listener]:
    """A listener for one command; its bar is gone from the terminal at the end."""
    if voice.as_json or voice.level == 0 or not voice.err.is_terminal:
        yield Listener(voice, None)
        return
    from rich import progress as bar  # noqa: PLC0415  10 ms to load, and for terminals only

    columns = (
        bar.TextColumn("{task.description}"),
        bar.BarColumn(bar_width=None),
        bar.DownloadColumn(binary_units=True),
        bar.TransferSpeedColumn(),
        bar.TextColumn("{task.fields[files]}"),
        bar.TimeRemainingColumn(),
    )
    with bar.Progress(*columns, console=voice.err, transient=True) as progress:
        yield Listener(voice, progress)


def _start_line(event: Started) -> str:
    amount = f": {event.entries} {event.unit}" if event.entries else ""
    amount += f", {size_text(event.size)}" if event.entries and event.size else ""
    return f"{event.work} {event.subject}{amount}"


def _fitted(widest: Sequence[int], yielding: Sequence[int], width: int) -> list[int]:
    """Return the widths of a table's columns; those that yield share what the others leave."""
    widths = list(widest)
    gaps = 2 * (len(widths) - 1)
    left = width - gaps - sum(each for at, each in enumerate(widths) if at not in yielding)
    for number, at in enumerate(sorted(yielding, key=lambda at: widths[at])):
        widths[at] = max(1, min(widths[at], left // (len(yielding) - number)))
        left -= widths[at]
    return widths


def _harmless(text: str) -> str:
    """Return text in which nothing drives a terminal: names and messages come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_text(size: float) -> str:
    """Return a size in bytes as a person reads it, three digits and a unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def seconds_text(seconds: float) -> str:
    """Return a time span as a person reads it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
