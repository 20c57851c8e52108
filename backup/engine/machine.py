"""A machine whose tools a helper image is made of: this one, or the engine's host behind SSH."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from backup.engine.farhost import Host
from backup.errors import EngineError

_WHICH = 'for n; do command -v "$n" || echo; done'
_STATES = 'readlink -f -- "$@" && stat -L -c "%s %Y %i" -- "$@"'
_OUTPUT = 'LC_ALL=C "$@" 2>&1 </dev/null; exit 0'
_CONTENTS = 'stat -L -c %s -- "$@" && cat -- "$@"'


class Machine(Protocol):
    """Files and programs of a Linux machine; `name` is for sentences. Raises EngineError."""

    name: str

    def programs(self, names: Sequence[str]) -> dict[str, str]:
        """Return where those programs are that it has."""

    def output(self, argv: Sequence[str]) -> str:
        """Return what a program prints, whatever its status: ldd fails for static programs."""

    def states(self, paths: Sequence[str]) -> list[str]:
        """Return for each file what it really is, and what tells it from another one there."""

    def contents(self, paths: Sequence[str]) -> list[bytes]:
        """Return what is in these files."""


class ThisMachine:
    """The machine that voltar runs on."""

    name = "this machine"

    def programs(self, names: Sequence[str]) -> dict[str, str]:
        """Return where those programs are that are in PATH."""
        return {name: found for name in names if (found := shutil.which(name))}

    def output(self, argv: Sequence[str]) -> str:
        """Return what a program prints."""
        done = subprocess.run(
            argv,
            capture_output=True,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.decode(errors="replace")

    def states(self, paths: Sequence[str]) -> list[str]:
        """Return the real path, size, time and inode of each. Raises EngineError."""
        return [_state(path) for path in paths]

    def contents(self, paths: Sequence[str]) -> list[bytes]:
        """Return what is in these files."""
        return [Path(path).read_bytes() for path in paths]


HERE = ThisMachine()


class FarMachine:
    """The engine's host; everything is asked for in one command each."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.name = host.link.url

    def programs(self, names: Sequence[str]) -> dict[str, str]:
        """Return where those programs are that a shell there finds."""
        lines = _lines(self._host.run(_WHICH, *names, what="cannot look for programs"))
        return {name: path for name, path in zip(names, lines, strict=True) if path[:1] == "/"}

    def output(self, argv: Sequence[str]) -> str:
        """Return what a program prints, on stderr as well."""
        said = self._host.run(_OUTPUT, *argv, what=f"cannot run {argv[0]}")
        return said.decode(errors="replace")

    def states(self, paths: Sequence[str]) -> list[str]:
        """Return the real path, size, time and inode of each. Raises EngineError."""
        lines = _lines(self._host.run(_STATES, *paths, what="cannot look at programs"))
        real, facts = lines[: len(paths)], lines[len(paths) :]
        return [f"{path}\0{fact}" for path, fact in zip(real, facts, strict=True)]

    def contents(self, paths: Sequence[str]) -> list[bytes]:
        """Fetch these files."""
        data = self._host.run(_CONTENTS, *paths, what="cannot fetch programs")
        *sizes, data = data.split(b"\n", len(paths))
        ends = [0]
        for size in sizes:
            ends.append(ends[-1] + int(size))
        if ends[-1] != len(data):
            raise EngineError(f"programs change on {self.name} while they are fetched")
        return [data[start:end] for start, end in pairwise(ends)]


def _state(path: str) -> str:
    try:
        real = Path(path).resolve(strict=True)
        state = real.stat()
    except OSError as err:
        raise EngineError(f"cannot look at {path}: {err.strerror}") from err
    return f"{real}\0{state.st_size} {state.st_mtime_ns} {state.st_ino}"


def _lines(data: bytes) -> list[str]:
    return os.fsdecode(data).split("\n")[:-1]
