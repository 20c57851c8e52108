"""What a person at a terminal is left with when all control sequences have had their effect."""

import io
import re

import pytest
from rich.console import Console

from backup.cli.console import Voice, listening
from backup.report import Advanced, Finished, Noted, Started

_PART = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
LONG = "path:/srv/with/a/name/that/is/longer/than/its/share"


class Screen(io.StringIO):
    """A terminal that knows what a progress bar needs; text is not wrapped, so its width shows."""

    def isatty(self) -> bool:
        return True

    def lines(self, *, ever: bool = False) -> list[str]:
        """Return what stands there at the end, or whatever stood there at any time."""
        lines, row, column, seen = [""], 0, 0, []
        for number, letter, control, text in _PART.findall(self.getvalue()):
            if control == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif control == "\r":
                column = 0
            elif letter == "A":
                row -= int(number or 1)
            elif letter == "K":
                lines[row] = ""
            elif text:
                lines[row] = (
                    lines[row][:column].ljust(column) + text + lines[row][column:][len(text) :]
                )
                column += len(text)
                seen.append(lines[row].rstrip())
        return seen if ever else [line.rstrip() for line in lines]


@pytest.fixture(params=[60, 80, 100])
def screen(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("backup.cli.console._BAR_EVERY_S", 0.0)
    return Screen()


@pytest.fixture
def voice(screen):
    consoles = [Console(file=screen, highlight=False, soft_wrap=True) for _ in range(2)]
    return Voice(out=consoles[0], err=consoles[1])


def test_no_bar_stays_beside_what_is_printed(screen, voice):
    with listening(voice) as listener:
        for number in range(3):
            listener(Started("list", LONG))
            listener(Started("backup", LONG, size=8 << 20, entries=20))
            listener(Advanced(1 << 20, 5))
            listener(Noted(LONG, b"a", "gone"))
            voice.answer(f"answer before the end {number}")
            listener(Advanced(7 << 20, 15))
            listener(Finished("backup", LONG))
            voice.answer(f"answer {number}")
            voice.warn(f"warning {number}")
    voice.answer("last")

    note = f"warning: {LONG}: a: gone"
    expected = []
    for number in range(3):
        told = [note, f"answer before the end {number}", f"answer {number}"]
        expected += [*told, f"warning: warning {number}"]
    assert [line for line in screen.lines() if line] == [*expected, "last"]


def test_the_bar_is_one_line_that_says_how_far_the_work_is(screen, voice):
    with listening(voice) as listener:
        for work, size in (("list", 0), ("backup", 8 << 20), ("look", 0)):
            listener(Started(work, LONG, size=size, entries=20))
            listener(Advanced(size // 2, 10))
            assert voice.bar is not None
            voice.bar.refresh()
            listener(Finished(work, LONG))

    bars = [line for line in screen.lines(ever=True) if "━" in line]
    assert max(map(len, bars)) <= voice.err.width
    assert any("4.0 MiB of 8.0 MiB  10/20" in line for line in bars)
    assert not any("?" in line for line in bars)
    assert {line for line in screen.lines() if line} == set()


def test_a_bar_that_fails_midway_is_taken_down(screen, voice):
    with pytest.raises(ValueError, match="x"), listening(voice) as listener:
        listener(Started("backup", "volume:a", size=5))
        raise ValueError("x")
    voice.answer("after")

    assert [line for line in screen.lines() if line] == ["after"]


COLUMNS = ("id", "time", "source", "entries", "size", "tags", "pinned")
SOURCES = ["volume:imported-one", "path:/srv/with/a/name/that/is/long"]


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_a_table_leaves_out_columns_before_names_are_cut_short(monkeypatch, width):
    terminal = Screen()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [
        ("9f80380524", "2026-11-25 15:14:53", source, "123456", "35.0 MiB", "nightly", "pinned")
        for source in SOURCES
    ]

    Voice().table(COLUMNS, rows, elastic="source tags", spare="entries size tags")

    header, *lines = (line for line in terminal.lines() if line)
    assert max(map(len, [header, *lines])) <= width
    for line, source in zip(lines, SOURCES, strict=True):
        assert line.startswith("9f80380524  2026-11-25 15:14:53  ")
        assert source[:18] in line
        assert line.endswith("pinned")
    left_out = {60: 3, 70: 2, 80: 1}.get(width, 0)
    assert header.split() == [name for name in COLUMNS if name not in COLUMNS[3 : 3 + left_out]]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Started("copy", "volume:db", 9, 1), "copy volume:db: 1 entry, 9 B"),
        (Started("copy", "volume:db", 9, 2), "copy volume:db: 2 entries, 9 B"),
        (Started("push", "app:1", 0, 1, "layers"), "push app:1: 1 layer"),
        (Started("check", "packs", 9, 1, "packs"), "check packs: 1, 9 B"),
    ],
)
def test_a_line_says_how_many_there_are(event, said, capsys):
    with listening(Voice()) as listener:
        listener(event)

    assert capsys.readouterr().err.strip() == said
