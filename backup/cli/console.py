"""What a person or a script sees.

A person at a terminal gets a progress bar and colours; a log gets a line for each step; a script
that says --json gets one event a line, and a last line of the type "summary". Names from volumes
are shown by `paths.printable` only: a file name must not be able to drive a terminal.
"""

import json
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from backup.cli import INTEGRITY
from backup.discretion import hidden
from backup.errors import BackupError, MigrationRefused, VerificationFailed
from backup.paths import printable
from backup.report import Advanced, Event, Finished, Noted, Started
from transports.errors import TransportError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_TEXTS: Final = {"message", "text", "hint"}
"""What of an event is for people, and comes from anywhere."""
_DOCUMENTS: Final = {
    *("status", "coverage", "plan", "metrics", "log", "snapshots", "doctor"),
    *("cron", "notify", "systemd", "retention"),
}
"""Commands whose answer in JSON is one document."""
_JSON_EVERY_S: Final = 1.0
_BAR_EVERY_S: Final = 0.1
_UNDERSTOOD: Final = 19
"""As many characters of a name are enough; the name of an anonymous volume is shown by as many."""
_ROOMY: Final = 80
"""Columns of a terminal from which on a bar has room for more than what must be seen."""


class _Terminal(Console):
    """A console whose reader may go away. Nobody wants the rest of an answer then, which is for the
    caller to decide on; what is told on the way is not told any more, and the work goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError


@dataclass(slots=True)
class Voice:
    """How this run talks: JSON or not, and how much. 0 is quiet, 1 normal, 2 verbose.

    A `bar` at the terminal is taken down before anything else is printed there. With JSON, what is
    told on the way stands before the answer, unless a `command` answers with one document: then it
    is on stderr.
    """

    as_json: bool = False
    command: str | None = None
    level: int = 1
    out: Console = field(default_factory=lambda: _Terminal(highlight=False, soft_wrap=True))
    err: Console = field(
        default_factory=lambda: _Terminal(stderr=True, highlight=False, soft_wrap=True)
    )
    bar: "Progress | None" = None

    def say(self, line: str, *, style: str = "") -> None:
        """Tell a person something on the way; not said with --json or --quiet."""
        if not self.as_json and self.level > 0:
            self._print(self.err, Text(_told(line), style=style))

    def warn(self, line: str) -> None:
        """Tell what is not as it should be; said even with --quiet."""
        if self.as_json:
            self.event({"type": "warning", "message": line})
        else:
            self._print(self.err, Text(_told(f"warning: {line}"), style="yellow"))

    def answer(self, text: str) -> None:
        """Print a line of the answer."""
        self._print(self.out, Text(_harmless(text)))

    def report(self, text: str) -> None:
        """Print a line about work that went well, which is no answer with --quiet."""
        if self.level > 0:
            self.answer(text)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: str = "",
        elastic: str = "",
        folded: str = "",
        spare: str = "",
    ) -> None:
        """Print a table, cut to the width of a terminal and whole in a pipe.

        The columns named in `right` (a space between two names) are aligned to the right. Where the
        terminal is narrow, those in `spare` are left out, one after the other, as long as those in
        `elastic`, which are cut, would not have enough room; those in `folded` take several lines.
        """
        if not sys.stdout.isatty():
            for row in (columns, *rows):
                print("\t".join(map(_harmless, row)))
            return
        console = _Terminal(highlight=False)
        shown = [[_harmless(cell) for cell in row] for row in (columns, *rows)]
        widest = [max(map(cell_len, cells)) for cells in zip(*shown, strict=True)]
        narrowed = {*elastic.split(), *folded.split()}
        widths = dict(zip(columns, widest, strict=True))
        for column in spare.split():
            if column in widths and _least(widths, narrowed) > console.width:
                del widths[column]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in _fitted(widths, narrowed, console.width).items():
            justify: JustifyMethod = "right" if column in right.split() else "left"
            no_wrap = column not in folded.split()
            table.add_column(
                column, justify=justify, overflow="ellipsis", no_wrap=no_wrap, width=width
            )
        for row in shown[1:]:
            table.add_row(*(Text(row[at]) for at, name in enumerate(columns) if name in widths))
        self._print(console, table)

    def document(self, value: Any) -> None:
        """Print the one JSON document of a query."""
        print(json.dumps(value, indent=2, ensure_ascii=True), flush=True)

    def event(self, value: Mapping[str, Any]) -> None:
        """Print one JSON line of long work."""
        place = sys.stderr if self.command in _DOCUMENTS else sys.stdout
        print(json.dumps(_discreet(value), ensure_ascii=True), file=place, flush=True)

    def error(self, error: BackupError | TransportError, code: int) -> None:
        """Tell why the command failed."""
        message, hint = hidden(str(error)), hidden(error.hint or "")
        notes = list(getattr(error, "__notes__", []))
        if isinstance(error, VerificationFailed):
            notes += error.differences[1:]
        if isinstance(error, MigrationRefused):
            notes += error.findings
        if self.as_json:
            notes = [hidden(note) for note in notes]
            told = {"type": "error", "message": message, "hint": hint or None, "code": code}
            print(json.dumps(told | ({"notes": notes} if notes else {})), file=sys.stderr)
            return
        self._print(self.err, Text.assemble(("error: ", "bold red"), _harmless(message)))
        for note in notes:
            self._print(self.err, Text(_told(f"       {note}")))
        if hint:
            self._print(self.err, Text.assemble(("hint: ", "bold"), _harmless(hint)))

    def interrupted(self) -> None:
        """Tell that the command was ended from outside."""
        if self.as_json:
            print(
                json.dumps({"type": "error", "message": "interrupted", "code": 130}),
                file=sys.stderr,
            )
        else:
            self._print(self.err, Text("interrupted"))

    def _print(self, console: Console, what: Text | Table) -> None:
        if self.bar is not None:
            self.bar.stop()
        console.print(what)


class Listener:
    """Shows events as they come: the bar of the voice, lines, or JSON."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._task: TaskID | None = None
        self._started = Started("", "")
        self._size = 0
        self._entries = 0
        self._began = self._told_at = 0.0

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
        self._began = self._told_at = time.monotonic()
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
        elif self._voice.bar is not None:
            self._clear()
            what = _harmless(f"{event.work} {event.subject}")
            total = event.size or event.entries or None
            self._task = self._voice.bar.add_task(what, total=total, amount=self._amount())
            self._voice.bar.start()
        elif self._voice.level > 1 or event.work != "list":
            self._voice.say(_start_line(event))

    def _advance(self, event: Advanced) -> None:
        self._size += event.size
        self._entries += event.entries
        bar = self._voice.bar
        now = time.monotonic()
        if now - self._told_at < (_JSON_EVERY_S if bar is None else _BAR_EVERY_S):
            return
        self._told_at = now
        if self._voice.as_json:
            self._voice.event({"type": "progress", "bytes": self._size, "entries": self._entries})
        elif bar is not None and self._task is not None:
            done = self._size if self._started.size else self._entries
            bar.update(self._task, completed=done, amount=self._amount())
            bar.start()

    def _amount(self) -> str:
        """Return how far the work is, in words."""
        whole, parts = self._started, []
        if whole.size:
            parts.append(f"{size_text(self._size)} of {size_text(whole.size)}")
        if whole.entries:
            parts.append(f"{self._entries}/{whole.entries}")
        if self._size and self._voice.err.width >= _ROOMY:
            parts.append(f"{size_text(self._size / (self._told_at - self._began))}/s")
        return "  ".join(parts)

    def _note(self, event: Noted) -> None:
        if self._voice.as_json:
            self._voice.event(
                {
                    "type": "note",
                    "subject": event.subject,
                    "path": printable(event.path),
                    "text": event.text,
                    "harmless": event.harmless,
                }
            )
        else:
            about = filter(None, (event.subject, printable(event.path), event.text))
            word, style = ("note", "") if event.harmless else ("warning", "yellow")
            self._voice.say(f"{word}: {': '.join(about)}", style=style)

    def _finish(self, event: Finished) -> None:
        if self._voice.as_json:
            self._voice.event({"type": "finished", "work": event.work, "subject": event.subject})
        self._clear()

    def _clear(self) -> None:
        if self._voice.bar is not None and self._task is not None:
            self._voice.bar.stop()
            self._voice.bar.remove_task(self._task)
            self._task = None


@contextmanager
def listening(voice: Voice) -> Iterator[Listener]:
    """A listener for one command; its bar is gone from the terminal at the end."""
    if not voice.as_json and voice.level > 0 and voice.err.is_interactive:
        voice.bar = _bar(voice.err)
    try:
        yield Listener(voice)
    finally:
        if voice.bar is not None:
            voice.bar.stop()
            voice.bar = None


def _bar(console: Console) -> "Progress":
    """Return a bar of one line, whatever the width of the terminal."""
    from rich import progress as bar  # noqa: PLC0415  10 ms to load, and for terminals only
    from rich.table import Column  # noqa: PLC0415

    what = Column(no_wrap=True, overflow="ellipsis", max_width=console.width * 2 // 5)
    columns = [
        bar.TextColumn("{task.description}", table_column=what),
        bar.BarColumn(bar_width=None),
        bar.TextColumn("{task.fields[amount]}"),
    ]
    if console.width >= _ROOMY:
        columns.append(bar.TimeRemainingColumn(table_column=Column(no_wrap=True)))
    return bar.Progress(*columns, console=console, transient=True)


def end_by(voice: Voice, damaged: Sequence[BackupError]) -> None:
    """Tell what could not be read, if anything, and end the command with the code for it."""
    for error in damaged:
        voice.error(error, INTEGRITY)
    if damaged:
        raise typer.Exit(INTEGRITY)


def _start_line(event: Started) -> str:
    # where the work is on what is counted, its number says which: "check packs: 3"
    noun = "entry" if event.unit == "entries" else event.unit.removesuffix("s")
    number = str(event.entries) if event.subject == event.unit else counted(event.entries, noun)
    amount = f": {number}" if event.entries else ""
    amount += f", {size_text(event.size)}" if event.entries and event.size else ""
    return f"{event.work} {event.subject}{amount}"


def _least(widths: Mapping[str, int], narrowed: Collection[str]) -> int:
    """Return how wide a table must be for what is narrowed in it to be understood."""
    gaps = 2 * (len(widths) - 1)
    return gaps + sum(
        min(width, _UNDERSTOOD) if name in narrowed else width for name, width in widths.items()
    )


def _fitted(widths: Mapping[str, int], narrowed: Collection[str], width: int) -> dict[str, int]:
    """Return the widths of a table's columns; those narrowed share what the others leave."""
    fitted = dict(widths)
    yielding = sorted((name for name in widths if name in narrowed), key=widths.__getitem__)
    left = width - 2 * (len(widths) - 1)
    left -= sum(each for name, each in widths.items() if name not in yielding)
    for number, name in enumerate(yielding):
        fitted[name] = max(1, min(widths[name], left // (len(yielding) - number)))
        left -= fitted[name]
    return fitted


def _discreet(value: Any) -> Any:
    """Return a part of an event in which what is for people is without secrets."""
    if isinstance(value, Mapping):
        return {
            name: hidden(one) if name in _TEXTS and isinstance(one, str) else _discreet(one)
            for name, one in value.items()
        }
    return [_discreet(one) for one in value] if isinstance(value, list | tuple) else value


def _told(text: str) -> str:
    """Return what is told on the way, which comes from anywhere: harmless, and without secrets."""
    return _harmless(hidden(text))


def _harmless(text: str) -> str:
    """Return text in which nothing drives a terminal: names and messages come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, noun: str) -> str:
    """Return "1 pack" or "2 packs": a number of things, of which the name of one is given."""
    if number == 1:
        return f"1 {noun}"
    ending = {"y": "ies", "x": "xes"}.get(noun[-1], f"{noun[-1]}s")
    return f"{number} {noun[:-1]}{ending}"


def size_text(size: float) -> str:
    """Return a size in bytes as a person reads it, three digits and a unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def local_text(time: datetime) -> str:
    """Return a time as the clock on the wall shows it, with seconds."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_text(seconds: float) -> str:
    """Return a time span as a person reads it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
