"""Patterns of ssh_config and known_hosts: `*`, `?`, and lists in which `!` excludes."""

import re
from functools import lru_cache


@lru_cache(512)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.DOTALL)


def matches(text: str, pattern: str) -> bool:
    """Return whether `text` is like `pattern`, in which only `*` and `?` are special."""
    if "*" not in pattern and "?" not in pattern:
        return text == pattern  # most are, and there may be 100,000 of them
    return _compiled(pattern).fullmatch(text) is not None


def matches_list(text: str, patterns: str, *, lower: bool = False) -> bool:
    """Return whether a list with commas names `text`; one pattern with "!" is enough to exclude."""
    if lower:
        text, patterns = text.lower(), patterns.lower()
    result = False
    for pattern in patterns.split(","):
        if matches(text, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            result = True
    return result
