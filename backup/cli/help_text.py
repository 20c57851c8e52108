"""How the help of commands is laid out.

A docstring has its examples in one paragraph, "Examples: voltar a · voltar b"; help shows each on a
line of its own, which can be copied. Arguments are shown by the names that we give them, without
what the parser adds.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer.core
from typer.models import CommandInfo

SECTIONS: Final = {
    "Backups": (
        "init",
        "backup",
        "snapshots",
        "ls",
        "find",
        "diff",
        "restore",
        "export",
        "import",
        "drill",
    ),
    "Jobs": ("config", "plan", "run", "daemon", "systemd", "cron", "notify", "metrics"),
    "How it is": ("status", "coverage", "log", "check", "doctor", "recover"),
    "What stays": ("forget", "unforget", "tag", "pin", "unpin", "retention", "prune", "stats"),
    "Repositories": ("copy", "key", "repair"),
    "Other hosts": ("host", "image", "container", "migrate", "capture"),
}
"""The commands by what they are for, the most needed first."""

_UNTOUCHED = "\b"
"""What the parser takes before a paragraph whose lines are to stay as they are."""


class Command(typer.core.TyperCommand):
    """A command whose arguments are shown by their names."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what the line "Usage:" is made of."""
        options, *pieces = super().collect_usage_pieces(ctx)
        arguments = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        named = zip(pieces, arguments, strict=True)
        return [options, *(_piece(text, several=each.nargs == -1) for text, each in named)]


class Group(typer.core.TyperGroup):
    """Commands whose purpose is not cut off in their list, however narrow the terminal is."""

    def sections(self) -> Mapping[str, Iterable[str]]:
        """Return the names of the commands, by titles."""
        return {"Commands": self.commands}

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        for title, names in self.sections().items():
            rows = [(name, self.commands[name].get_short_help_str(limit=100)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows, col_spacing=2)


class Sections(Group):
    """All commands, by what they are for."""

    def sections(self) -> Mapping[str, Iterable[str]]:
        return SECTIONS


def _piece(text: str, *, several: bool) -> str:
    plain = text.replace("{", "").replace("}", "")
    return f"{plain}..." if several else plain


def lay_out(commands: Iterable[CommandInfo]) -> None:
    """Let commands show their docstrings so."""
    for each in commands:
        assert each.callback is not None  # noqa: S101  commands are functions here
        each.cls = Command
        each.help = laid_out(each.callback.__doc__ or "")


def laid_out(text: str) -> str:
    """Return a docstring with one example a line."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(map(_paragraph, paragraphs))


def _paragraph(text: str) -> str:
    head, _, examples = " ".join(text.split()).partition(": ")
    if head not in ("Example", "Examples"):
        return text
    return "\n".join([_UNTOUCHED, f"{head}:", *(f"  {each}" for each in examples.split(" · "))])
