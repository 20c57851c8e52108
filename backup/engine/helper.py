"""A helper: a short-lived container that mounts what is backed up or restored, and runs tools.

    with helper(engine, (Attached("data", "/v"),), access=Access.READ, run=run) as h:
        with h.reading(["tar", "-C", "/v", "-b", "2048", "-cf", "-", "."]) as stream:
            for block in stream:
                ...
        # here tar has ended well, and every byte was read

Leaving the inner `with` raises HelperFailed unless the command's status is one that was asked for.
"""

import errno
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from backup.blocks import Blocks
from backup.engine.attach import AttachPlane
from backup.engine.connect import Engine
from backup.engine.dataplane import Chosen, Plane, reached
from backup.engine.door import Declined
from backup.engine.lifetime import Access, Wanted
from backup.engine.mounts import Mounts
from backup.engine.session import Cell, Finished, Source, examine, explain
from backup.engine.tools import GNU
from backup.errors import EngineError, HelperFailed

OK = (0,)
SMALL = 64 << 20
_NOT_FOUND = 127
_WITHIN = 'cd "$1" && shift && exec "$@"'


class Stream:
    """What a command writes, as blocks; status and stderr are there after the last block."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks = iter(source)

    def __iter__(self) -> Iterator[memoryview]:
        return self._blocks

    @property
    def outcome(self) -> Finished | None:
        """How the command ended; None while it runs."""
        return self._source.outcome

    @property
    def status(self) -> int | None:
        """The command's exit status; None while it runs."""
        return None if self.outcome is None else self.outcome.status

    @property
    def stderr(self) -> str:
        """What the command said, the last of it; empty while it runs."""
        return "" if self.outcome is None else self.outcome.stderr

    @property
    def dropped(self) -> int:
        """How many lines came before those in `stderr`."""
        return 0 if self.outcome is None else self.outcome.dropped

    def drain(self) -> Finished:
        """Read what is left, and how the command ended."""
        for _ in self._blocks:
            pass
        if self.outcome is None:
            raise HelperFailed("the stream of the helper's command was given up before its end")
        return self.outcome


class Helper:
    """A running helper container. Commands are looked up in the helper's own tools."""

    def __init__(self, cell: Cell, way: Plane, chosen: Chosen) -> None:
        self._cell = cell
        self._plane = way
        self.id = cell.id
        self.data_plane = way.name
        self.data_plane_why = chosen.why

    def run(self, argv: Sequence[str], *, ok: Collection[int] = OK) -> bytes:
        """Run a command whose output is small; returns its stdout. Raises HelperFailed."""
        pieces: list[bytes] = []
        size = 0
        with self._reading(AttachPlane(self._cell), argv, ok) as stream:
            for block in stream:
                pieces.append(bytes(block))
                size += len(block)
                if size > SMALL:
                    raise HelperFailed(f"{argv[0]} in the helper wrote more than {SMALL >> 20} MiB")
        return b"".join(pieces)

    @contextmanager
    def reading(
        self, argv: Sequence[str], *, within: str = "/", ok: Collection[int] = OK
    ) -> Iterator[Stream]:
        """Run a command in a directory and read what it writes; the rest is drained at the end.

        Raises HelperFailed, at the latest on leaving the `with`, unless the status is in `ok`.
        """
        with self._reading(self._plane, argv, ok, within) as stream:
            yield stream

    def writing(
        self,
        argv: Sequence[str],
        blocks: Blocks,
        *,
        within: str = "/",
        ok: Collection[int] = OK,
    ) -> Finished:
        """Run a command in a directory that reads `blocks` from its stdin. Raises HelperFailed.

        When `blocks` raises, its error is passed on; the command saw a truncated stream then.
        """
        return self._judged(argv, self._plane.write(self._argv(argv, within), blocks), ok)

    def place(self, name: str, blocks: Blocks) -> str:
        """Put a file where the helper can read it; returns its path in the helper."""
        return self._plane.place(name, blocks)

    def rename(self, name: str) -> None:
        """Give the container another name, at once and for good: a note that outlives this run."""
        self._cell.engine.post(f"/containers/{self.id}/rename", name=name)

    def kill(self) -> None:
        """End all that runs in the helper; its container stays until the `with` is left."""
        with suppress(Declined):  # it has ended already
            self._cell.engine.post(f"/containers/{self.id}/kill")

    def examine(self) -> None:
        """Raise HelperFailed when the helper is paused, stopped or gone."""
        examine(self._cell)

    @contextmanager
    def _reading(
        self, way: Plane, argv: Sequence[str], ok: Collection[int], within: str = "/"
    ) -> Iterator[Stream]:
        source = way.read(self._argv(argv, within))
        try:
            stream = Stream(source)
            yield stream
            self._judged(argv, stream.drain(), ok)
        finally:
            source.close()

    def _argv(self, argv: Sequence[str], within: str) -> list[str]:
        name = argv[0]
        full = [name if "/" in name else self._cell.image.program(name), *argv[1:]]
        if within == "/":
            return full
        return [self._cell.image.program("sh"), "-c", _WITHIN, "voltar", within, *full]

    def _judged(self, argv: Sequence[str], done: Finished, ok: Collection[int]) -> Finished:
        if done.status in ok:
            return done
        explain(self._cell, done.status)
        raise HelperFailed(
            f"{argv[0]} in the helper {_how(done)}", status=done.status, stderr=done.stderr
        )


@contextmanager
def helper(
    engine: Engine,
    mounts: Mounts,
    *,
    access: Access,
    run: str,
    labels: Mapping[str, str] | None = None,
) -> Iterator[Helper]:
    """A helper with these mounts, removed on every path. `run` is the run's id, for its label.

    Raises NotOnEngine for a volume or container that is not there, HelperFailed and EngineError
    when the container cannot be had.
    """
    wanted = Wanted(mounts=mounts, access=access, run=run, labels=labels or {})
    with reached(engine, wanted) as (cell, way, chosen):
        ready = Helper(cell, way, chosen)
        _require_gnu(engine, ready)
        yield ready


def _require_gnu(engine: Engine, ready: Helper) -> None:
    """Ask the tools of an image that the user named who they are, once for an engine."""
    named = engine.settings.helper_image
    if named is None or engine.memory.get("gnu") == named:
        return
    for name in GNU:
        try:
            said = ready.run([name, "--version"])
        except HelperFailed as err:
            said = err.stderr.encode()
        if b"GNU" not in said:
            raise EngineError(
                f"the helper image {named} has no GNU {name}: busybox and others lose attributes, "
                "ACLs and holes",
                hint="use debian:stable-slim, or unset VOLTAR_HELPER_IMAGE",
            )
    engine.memory["gnu"] = named


def _how(done: Finished) -> str:
    """The end of the sentence: why a command did not end well."""
    said = list(dict.fromkeys(done.stderr.strip().splitlines()))
    more = f" (and {len(said) - 1} lines more)" if len(said) > 1 else ""
    # A full disk comes last, after what it led to.
    full = [line for line in said if os.strerror(errno.ENOSPC) in line]
    first = f": {(full or said)[0]}{more}" if said else ""
    if done.status == _NOT_FOUND:
        return f"was not found{first}"
    if done.status > 128:
        number = done.status - 128
        name = signal.strsignal(number) or f"signal {number}"
        return f"was killed ({name.lower()}, signal {number})"
    return f"failed with status {done.status}{first}"
