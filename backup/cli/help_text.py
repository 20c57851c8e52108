"""How the help of commands is laid out.

A docstring has its examples in one paragraph, "Examples: voltar a · voltar b"; help shows each on a
line of its own, which can be copied. Arguments are shown by the names that we give them, without
what the parser adds.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import typer.core
from typer.models import CommandInfo

_UNTOUCHED = "\b"
"""What the parser takes before a paragraph whose lines are to stay as they are."""


class Command(typer.core.TyperCommand):
    """A command whose arguments are shown by their names."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what the line "Usage:" is made of."""
        return [
            piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)
        ]


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
