"""What a file contains, whichever way its tar entry says it.

One file can be stored whole or with its holes left out, and a copy may have its holes elsewhere:
file systems differ in how finely they keep them. Two entries have the same content exactly if they
have the same digest here: of the size, and of every 64 KiB window that is not all zeros, with its
number.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from backup.blocks import Block
from backup.tar.regions import regions
from backup.tar.split import Entry

_WINDOW: Final = 64 << 10
_ZEROS: Final = bytes(_WINDOW)


def content_digest(entry: Entry) -> bytes:
    """Return a digest of a file's content; the entry's body is consumed. Holes cost nothing."""
    digest = begun(entry)
    for _ in digested(entry, digest):
        pass
    return digest.digest()


def begun(entry: Entry) -> blake2b:
    """Return a digest that knows of no content yet."""
    return blake2b(entry.size.to_bytes(8, "big"), digest_size=32)


def digested(entry: Entry, digest: blake2b) -> Iterator[None]:
    """Feed a file's content to a digest, a piece between two yields; the body is consumed."""
    for number, window in _windows(regions(entry)):
        if window != _ZEROS[: len(window)]:
            digest.update(number.to_bytes(8, "big"))
            digest.update(window)
        yield


def _windows(pieces: Iterable[tuple[int, Block]]) -> Iterator[tuple[int, bytes | bytearray]]:
    """Yield (number, 64 KiB) for the windows that pieces at ascending offsets touch."""
    number = 0
    window = bytearray(_WINDOW)
    used = False
    for offset, block in pieces:
        at, view = offset, memoryview(block)
        while view:
            if at // _WINDOW != number:
                if used:
                    yield number, window
                    window = bytearray(_WINDOW)
                number, used = at // _WINDOW, False
            start = at % _WINDOW
            part = view[: _WINDOW - start]
            window[start : start + len(part)] = part
            used = True
            view = view[len(part) :]
            at += len(part)
    if used:
        yield number, window
