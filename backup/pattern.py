"""Patterns for paths, as a shell has them.

    *.conf            any entry of such a name, wherever it is
    etc/*.conf        with a slash, the whole path from the root of the volume: only in etc
    /notes            the same: only in the root
    etc/**/*.conf     in etc and in any directory below it
    var/cache/**      everything below var/cache
    cache/            a slash at the end: only directories

`*` and `?` match no slash; `[a-z]` and `[!a-z]` match one character; a backslash takes the meaning
from what follows it. Names that begin with a dot are names like all others. The root directory has
no name, and so no pattern matches it.
"""

import re
from collections.abc import Sequence
from typing import Final

from backup.errors import UsageError

_ANY_DEPTH: Final = "(?:.*/)?"
_BRACKETS: Final = re.compile(r"\[(!|\^)?((?:\\.|.)(?:\\.|[^\\\]])*)\]", re.DOTALL)
_RANGE: Final = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)


class Patterns:
    """Tells whether a path matches any of several patterns."""

    def __init__(self, patterns: Sequence[str], *, ignore_case: bool = False) -> None:
        """Raises UsageError where a pattern cannot match anything."""
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._matches = re.compile("|".join(map(_expression, patterns)), flags).fullmatch

    def match(self, path: bytes, kind: str) -> bool:
        """Tell whether an entry matches; `kind` is d for directories."""
        text = path.decode("utf-8", "surrogateescape")
        return bool(path) and self._matches(f"{text}/" if kind == "d" else text) is not None


def _expression(pattern: str) -> str:
    """Return the regular expression for paths, to which directories have a slash added."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts:
        raise UsageError(f"the pattern {pattern!r} names nothing", hint="write '*' for everything")
    end = "/" if pattern.endswith("/") else "/?"
    *above, last = parts
    try:
        if "/" not in pattern.removesuffix("/"):
            return f"{_ANY_DEPTH}{_component(last)}{end}"
        leading = "".join(_ANY_DEPTH if part == "**" else f"{_component(part)}/" for part in above)
        return f"{leading}{'.+?' if last == '**' else _component(last)}{end}"
    except re.error as error:
        raise UsageError(f"the pattern {pattern!r} cannot be understood: {error}") from error


def _component(glob: str) -> str:
    """Return the regular expression for one name."""
    if not glob.strip("*"):
        return "[^/]+"
    result = ""
    at = 0
    while at < len(glob):
        brackets = _BRACKETS.match(glob, at)
        if brackets:
            result += _one_of(brackets[2], negated=bool(brackets[1]))
            at = brackets.end()
            continue
        if glob[at] == "\\" and at + 1 < len(glob):
            at += 1
            result += re.escape(glob[at])
        else:
            result += {"*": "[^/]*", "?": "[^/]"}.get(glob[at]) or re.escape(glob[at])
        at += 1
    return result


def _one_of(inside: str, *, negated: bool) -> str:
    """Return the regular expression for one character of those in brackets, or none of them."""
    members = "".join(
        re.escape(first) + (f"-{re.escape(last)}" if last else "")
        for first, last in _RANGE.findall(inside)
    )
    expression = f"(?!/)[{'^' if negated else ''}{members}]"
    re.compile(expression)
    return expression
