"""Put small blocks together, so that a system call or a frame carries about a mebibyte."""

from collections.abc import Iterator

from backup.blocks import Blocks

SIZE = 1 << 20


def gathered(blocks: Blocks, size: int = SIZE) -> Iterator[memoryview]:
    """The same bytes in pieces of at most `size`; a piece is valid until the next is asked for."""
    buffer = memoryview(bytearray(size))
    used = 0
    for block in blocks:
        view = memoryview(block)
        if len(view) < size >> 2 and used + len(view) <= size:
            buffer[used : used + len(view)] = view
            used += len(view)
            continue
        if used:
            yield buffer[:used]
            used = 0
        if len(view) < size >> 2:
            buffer[: len(view)] = view
            used = len(view)
            continue
        for start in range(0, len(view), size):
            yield view[start : start + size]
    if used:
        yield buffer[:used]
