"""Which way bulk bytes take between voltar and a helper.

There are two, with the same result: a FIFO in a shared directory (fast; on this machine, or on one
that we have a shell on) and the engine's own streams (everywhere). No setting can know which one
works (a remote engine behind a forwarded socket, Docker Desktop's virtual machine, remapped users),
so it is tried out with the first helper: it reads a random word from the directory and writes it to
a FIFO there; if it arrives, FIFOs work, and the helper is used for what it was made for.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from backup.blocks import Blocks
from backup.engine.attach import AttachPlane
from backup.engine.connect import Engine
from backup.engine.fifo import FifoPlane
from backup.engine.lifetime import Wanted, running
from backup.engine.pace import measured_packing
from backup.engine.packing import PLAIN, Packing
from backup.engine.session import Cell, Finished, Source
from backup.engine.shelf import Shelf
from backup.engine.tools import SCRATCH
from backup.errors import EngineError, EngineUnavailable, NotOnEngine

PATIENCE_S = 3.0


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
    """The plane of an engine: `shelf` is where shared directories go (None: attach), `packing` how
    bytes look on the way, `why` a sentence for the operator."""

    shelf: Shelf | None
    packing: Packing
    why: str


@contextmanager
def reached(engine: Engine, wanted: Wanted) -> Iterator[tuple[Cell, Plane, Chosen]]:
    """A helper container and the plane to it, which is tried out with the engine's first helper.

    Raises what `running` does, and EngineError where the plane that was asked for does not work.
    """
    with ExitStack() as stack:
        chosen: Chosen | None = engine.memory.get("plane")
        if chosen is None:
            cell, way, chosen = _first(engine, wanted, stack)
            engine.memory["plane"] = chosen
        else:
            cell, way = _entered(engine, wanted, chosen, stack)
        yield cell, way, chosen


def _entered(
    engine: Engine, wanted: Wanted, chosen: Chosen, stack: ExitStack
) -> tuple[Cell, Plane]:
    if chosen.shelf is None:
        cell = stack.enter_context(running(engine, wanted, None))
        return cell, AttachPlane(cell)
    directory = stack.enter_context(chosen.shelf.fresh())
    cell = stack.enter_context(running(engine, wanted, directory.path))
    return cell, FifoPlane(cell, directory, chosen.packing)


def _first(engine: Engine, wanted: Wanted, stack: ExitStack) -> tuple[Cell, Plane, Chosen]:
    """The first helper: one that a FIFO works with, or after all failed one without."""
    forced = engine.settings.data_plane
    why = "VOLTAR_DATA_PLANE asks for it"
    if forced != "attach":
        failures = []
        for shelf in engine.route.shelves():
            tried = _tried(engine, wanted, shelf, stack)
            if not isinstance(tried, str):
                return tried
            failures.append(f"{shelf.name}: {tried}")
        said = "; ".join(failures) or "there is none to share"
        if forced == "fifo":
            raise EngineError(
                f"VOLTAR_DATA_PLANE asks for a FIFO, which does not work here ({said})"
            )
        why = f"no directory is shared with the engine ({said})"
    chosen = Chosen(None, PLAIN, why)
    return *_entered(engine, wanted, chosen, stack), chosen


def _tried(
    engine: Engine, wanted: Wanted, shelf: Shelf, stack: ExitStack
) -> tuple[Cell, Plane, Chosen] | str:
    """A helper that shares a directory of this shelf, or why a FIFO there does not work."""
    word = secrets.token_hex(16).encode()
    try:
        with ExitStack() as attempt:
            directory = attempt.enter_context(shelf.fresh())
            directory.place("word", [word])
            cell = attempt.enter_context(running(engine, wanted, directory.path))
            way = FifoPlane(cell, directory)
            if (why := _heard(cell, way, word)) is not None:
                return why
            chosen = _settled(engine, shelf, cell, way)
            stack.push(attempt.pop_all())
            return cell, FifoPlane(cell, directory, chosen.packing), chosen
    except (EngineUnavailable, NotOnEngine):
        raise
    except (EngineError, OSError) as err:
        return str(err)


def _settled(engine: Engine, shelf: Shelf, cell: Cell, way: FifoPlane) -> Chosen:
    """The plane that works, and the form of the bytes on it."""
    why = f"the engine shares {shelf.name} with voltar"
    if not shelf.linked:
        return Chosen(shelf, PLAIN, why)
    packing, pace = measured_packing(cell, way, engine.settings.ssh_compression)
    return Chosen(shelf, packing, f"{why}; {pace}")


def _heard(cell: Cell, way: FifoPlane, word: bytes) -> str | None:
    cat = cell.image.program("cat")
    source = way.read([cat, f"{SCRATCH}/word"], PATIENCE_S)
    try:
        heard = b"".join(bytes(block) for block in source)
    finally:
        source.close()
    return None if heard == word else "it is another directory there"
