"""Content-defined chunks: where a stream is cut depends on its bytes alone.

FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 2020), normalisation level 1, as pyfastcdc has it. The gear table is
altered by a seed that comes from the repository's key, so cut points tell an observer nothing about
known files. A `Cutter` takes a stream in pieces of any size; the chunks depend only on their sum.
"""

from collections.abc import Sequence
from typing import Final

from pyfastcdc import FastCDC

from backup.repository.descriptor import ChunkerParameters

Buffer = bytes | memoryview

_WINDOW: Final = 2
"""How many of the largest chunks are waited for before any are cut."""


class Cutter:
    """Cuts one stream after another: `feed` its bytes, then `end` it."""

    def __init__(self, parameters: ChunkerParameters, seed: int) -> None:
        self._largest = parameters.maximum
        self._cdc = FastCDC(
            avg_size=parameters.average,
            min_size=parameters.minimum,
            max_size=parameters.maximum,
            normalized_chunking=1,
            seed=seed,
        )
        self._buffer = bytearray()
        self._start = 0
        self._end = 0

    def feed(self, data: Buffer) -> Sequence[bytes]:
        """Take the next bytes; return the chunks that no later byte can change."""
        end = self._end + len(data)
        if end <= len(self._buffer):
            memoryview(self._buffer)[self._end : end] = data
        else:
            del self._buffer[self._end :]
            self._buffer += data
        self._end = end
        if end - self._start < _WINDOW * self._largest:
            return ()
        chunks = self._cut(final=False)
        # What is left goes to the front, and the buffer is used again: fresh memory is dear.
        left = self._end - self._start
        whole = memoryview(self._buffer)
        whole[:left] = whole[self._start : self._end]
        self._start, self._end = 0, left
        return chunks

    def end(self) -> Sequence[bytes]:
        """Return what is left, and be ready for another stream."""
        chunks = self._cut(final=True) if self._end else []
        self._start = self._end = 0
        return chunks

    def _cut(self, *, final: bool) -> list[bytes]:
        """Return the chunks that had room to be as large as any: FastCDC never looks further."""
        chunks: list[bytes] = []
        rest = memoryview(self._buffer)[self._start : self._end]
        left = len(rest)
        for chunk in self._cdc.cut_buf(rest):
            if not final and left < self._largest:
                break
            chunks.append(bytes(chunk.data))
            left -= chunk.length
        self._start = self._end - left
        return chunks
