"""Which way bulk bytes take between voltar and a helper.

There are two, with the same result: a FIFO in a shared directory (fast, same machine only) and the
engine's own streams (everywhere). No setting can know which one works (a remote engine behind a
forwarded socket, Docker Desktop's virtual machine, remapped users), so it is tried out: a helper
reads a random word from the directory and writes it to a FIFO there; if it arrives, FIFOs work.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backup.blocks import Blocks
from backup.engine.attach import AttachPlane
from backup.engine.connect import Engine
from backup.engine.fifo import FifoPlane
from backup.engine.lifetime import Access, Wanted, running
from backup.engine.private import places, private_directory
from backup.engine.session import Cell, Finished
from backup.engine.tools import SCRATCH
from backup.errors import EngineError, EngineUnavailable

PATIENCE_S = 3.0


class Source(Protocol):
    """What one command writes: blocks, then `outcome`. Close it on every path."""

    outcome: Finished | None

    def __iter__(self) -> Iterator[memoryview]: ...

    def close(self) -> None:
        """Let go of the stream, finished or not."""


class Plane(Protocol):
    """A way for bulk bytes into and out of one helper."""

    name: str

    def read(self, argv: Sequence[str]) -> Source:
        """Start a command and read what it writes."""

    def write(self, argv: Sequence[str], blocks: Blocks) -> Finished:
        """Run a command that reads `blocks`."""

    def place(self, name: str, blocks: Blocks) -> str:
        """Put a file into the helper; returns its path there."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The plane of an engine: `parent` is where shared directories go (None: attach), `why` is
    a sentence for the operator."""

    parent: Path | None
    why: str

    @property
    def name(self) -> str:
        """`fifo` or `attach`."""
        return "attach" if self.parent is None else "fifo"


def choose(engine: Engine) -> Chosen:
    """The data plane for this engine, tried out once. Raises EngineError."""
    known: Chosen | None = engine.memory.get("plane")
    if known is None:
        known = engine.memory["plane"] = _choose(engine)
    return known


def plane(cell: Cell, directory: Path | None) -> Plane:
    """The plane of one helper."""
    return AttachPlane(cell) if directory is None else FifoPlane(cell, directory)


def _choose(engine: Engine) -> Chosen:
    forced = engine.settings.data_plane
    if forced == "attach":
        return Chosen(None, "VOLTAR_DATA_PLANE asks for it")
    failures = []
    for parent in places():
        why = _trouble(engine, parent)
        if why is None:
            return Chosen(parent, f"the engine shares {parent} with voltar")
        failures.append(f"{parent}: {why}")
    if forced == "fifo":
        raise EngineError(
            f"VOLTAR_DATA_PLANE asks for a FIFO, which does not work here ({'; '.join(failures)})"
        )
    return Chosen(None, f"no directory is shared with the engine ({'; '.join(failures)})")


def _trouble(engine: Engine, parent: Path) -> str | None:
    """Why a FIFO under `parent` does not work; None when it does."""
    word = secrets.token_hex(16).encode()
    wanted = Wanted(mounts=(), access=Access.READ, run="probe")
    try:
        with private_directory(parent) as directory:
            (directory / "word").write_bytes(word)
            with running(engine, wanted, directory) as cell:
                return _heard(cell, directory, word)
    except EngineUnavailable:
        raise
    except (EngineError, OSError) as err:
        return str(err)


def _heard(cell: Cell, directory: Path, word: bytes) -> str | None:
    cat = cell.image.program("cat")
    source = FifoPlane(cell, directory).read([cat, f"{SCRATCH}/word"], PATIENCE_S)
    try:
        heard = b"".join(bytes(block) for block in source)
    finally:
        source.close()
    return None if heard == word else "it is another directory there"
