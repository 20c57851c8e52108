"""What is wrong with a configuration: where, and what was expected."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

Key = tuple[str | int, ...]
"""The way to a value: names of keys, and numbers in lists, from 0."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `key` is () where the file as a whole is meant, or cannot be told;
    `line` counts from 1, and is None where it cannot be told."""

    key: Key
    text: str
    hint: str | None = None
    line: int | None = None

    @property
    def spelled(self) -> str:
        """The key as people write it."""
        return spelled(self.key)

    @property
    def told(self) -> str:
        """What is wrong with which key."""
        return f"{self.spelled}: {self.text}" if self.key else self.text


def spelled(key: Key) -> str:
    """Return a key as people write it: jobs.nightly.hooks[0].command."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if _BARE.fullmatch(part) else quoted(part)}"
    return text.removeprefix(".")


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return which of the known words may have been meant, as a hint."""
    if not known:
        return None
    alike = {each.lower(): each for each in known}
    found = get_close_matches(word.lower().replace("_", "-"), alike, n=1)
    return f"did you mean {alike[found[0]]}?" if found else None


def listed(words: Collection[str]) -> str:
    """Return words as a sentence has them: a, b or c."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def in_order(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Return mistakes as they come in the file; those without a line come first."""
    return sorted(mistakes, key=lambda each: each.line or 0)


def quoted(text: str) -> str:
    """Return a text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
