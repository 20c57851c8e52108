"""On which lines the keys of a TOML document stand, which Python's parser does not tell.

    key_lines('[jobs.a]\\nkeep = { daily = 7 }\\n')[("jobs", "a", "keep", "daily")] == 2

Only documents that the parser has accepted come here, so that what is valid is all that must be
understood: tables, arrays of tables, inline tables, dotted and quoted keys, four kinds of strings.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Final

from backup.config.mistake import Key

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING: Final = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL
)
_SCALAR: Final = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[Key, int]:
    """Return the line of each key, table and item of a list; that of its first mention."""
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.document()
    return reader.lines


@dataclass(slots=True)
class _Reader:
    """Where the reading is in a document, and what was found so far."""

    text: str
    at: int = 0
    lines: dict[Key, int] = field(default_factory=dict)
    _tables: dict[Key, int] = field(default_factory=dict)
    """How many tables an array of tables has so far."""

    _counted: int = 0
    _line: int = 1
    """The line to which lines were counted, which is at `_counted`."""

    def document(self) -> None:
        here: Key = ()
        self._pass(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                here = self._header()
            else:
                self._pair(here)
            self._pass(_BLANK)

    def _header(self) -> Key:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        parts = self._key()
        self.at += 2 if many else 1
        here: Key = ()
        for part in parts[:-1]:
            here = self._inside((*here, part))
        here = (*here, parts[-1])
        if not many:
            return self._noted(here)
        self._noted(here)
        self._tables[here] = self._tables.get(here, 0) + 1
        return self._inside(here)

    def _inside(self, key: Key) -> Key:
        """Return a table; of an array of tables the last one."""
        self._noted(key)
        return self._noted((*key, self._tables[key] - 1)) if key in self._tables else key

    def _pair(self, here: Key) -> None:
        for part in self._key():
            here = self._noted((*here, part))
        self._pass(_SPACE)
        self.at += 1  # the equals sign
        self._pass(_SPACE)
        self._value(here)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._pass(_SPACE)
            raw = self._pass(_PART)
            parts.append(raw if raw[0] not in "\"'" else next(iter(tomllib.loads(f"{raw}=0"))))
            self._pass(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return parts
            self.at += 1

    def _value(self, here: Key) -> None:
        match self.text[self.at]:
            case "[":
                self._several(here, "]")
            case "{":
                self._several(here, "}")
            case '"' | "'":
                self._pass(_STRING)
            case _:
                self._pass(_SCALAR)

    def _several(self, here: Key, end: str) -> None:
        """Pass a list or an inline table."""
        self.at += 1
        number = 0
        while True:
            self._pass(_BLANK)
            if self.text[self.at] == end:
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            elif end == "}":
                self._pair(here)
            else:
                self._value(self._noted((*here, number)))
                number += 1

    def _noted(self, key: Key) -> Key:
        if key not in self.lines:
            self._line += self.text.count("\n", self._counted, self.at)
            self._counted = self.at
            self.lines[key] = self._line
        return key

    def _pass(self, what: "re.Pattern[str]") -> str:
        found = what.match(self.text, self.at)
        if found is None:  # the parser would have refused it
            raise AssertionError(f"no TOML at {self.at}")
        self.at = found.end()
        return found[0]
