"""What a task of the daemon prints, with its name: several print to one log."""

import io
import json
import os
import sys
from typing import Final, TextIO

VARIABLE: Final = "VOLTAR_TASK"
"""By this the daemon tells a task what it is called."""


class Named(io.TextIOBase):
    """A stream with a name before each line; into lines of JSON it goes as a key. A line and its
    name are written at once, so that no other comes in between."""

    def __init__(self, out: TextIO, name: str) -> None:
        self._out = out
        self._name = name
        self._begins = True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As the stream has it."""
        return self._out.encoding

    def write(self, text: str) -> int:
        """Write text, which may end within a line."""
        for line in text.splitlines(keepends=True):
            self._out.write(self._named(line) if self._begins else line)
            self._begins = line.endswith("\n")
        return len(text)

    def _named(self, line: str) -> str:
        if line.startswith('{"'):
            return f'{{"task": {json.dumps(self._name)}, {line[1:]}'
        return f"{self._name}: {line}"

    def flush(self) -> None:
        """Have it written."""
        self._out.flush()

    def fileno(self) -> int:
        """Where it goes."""
        return self._out.fileno()


def name_lines() -> None:
    """Put names before what this process prints, where it is a task."""
    name = os.environ.get(VARIABLE)
    if name:
        sys.stdout, sys.stderr = Named(sys.stdout, name), Named(sys.stderr, name)
