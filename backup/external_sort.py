"""Sort more records than fit in memory, through a file on disk.

Records are tuples of what `marshal` knows (bytes, str, int, float, None, tuples of these). Runs
that fit in memory are sorted and written one behind the other into one file that has no name, so
nothing can be left behind, whatever happens; then they are merged.
"""

import heapq
import marshal
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

Record = TypeVar("Record", bound=tuple[Any, ...])

_PART = 256
"""Records that each run has in memory while runs are merged."""


def externally_sorted(
    records: Iterable[Record],
    *,
    key: Callable[[Record], bytes],
    make: Callable[[tuple[Any, ...]], Record],
    directory: Path,
    run: int,
) -> Iterator[Record]:
    """Sort by `key`, with about `run` records in memory; `make` gives a tuple its type back."""
    source = iter(records)
    chunk = sorted(islice(source, run), key=key)
    if len(chunk) < run:
        yield from chunk
        return
    with tempfile.TemporaryFile(dir=directory) as spill:
        runs = []
        while chunk:
            runs.append(_write(spill, chunk))
            chunk = sorted(islice(source, run), key=key)
        spill.flush()
        merged = (map(make, _read(spill.fileno(), parts)) for parts in runs)
        yield from heapq.merge(*merged, key=key)


def _write(spill: IO[bytes], chunk: list[Record]) -> list[tuple[int, int]]:
    """Write a sorted run; give (offset, size) of its parts."""
    parts = []
    for at in range(0, len(chunk), _PART):
        data = marshal.dumps([tuple(record) for record in chunk[at : at + _PART]], 2)
        parts.append((spill.tell(), len(data)))
        spill.write(data)
    return parts


def _read(spill: int, parts: list[tuple[int, int]]) -> Iterator[tuple[Any, ...]]:
    for offset, size in parts:
        yield from marshal.loads(os.pread(spill, size, offset))  # noqa: S302 - written just above
