"""Content-defined chunks: where a stream is cut depends on its bytes alone.

FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 2020), normalisation level 1, as pyfastcdc has it. The gear table is
altered by a seed that comes from the repository's key, so cut points tell an observer nothing about
known files. A `Cutter` takes a stream in pieces of any size; the chunks depend only on their sum.
"""

from collections.abc import Iterator

from pyfastcdc import FastCDC

from backup.repository.descriptor import ChunkerParameters

Buffer = bytes | memoryview


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
        self._window = 2 * parameters.maximum
        self._rest = bytearray()

    def feed(self, data: Buffer) -> Iterator[bytes]:
        """Take the next bytes; yield the chunks that no later byte can change."""
        self._rest += data
        if len(self._rest) >= self._window:
            yield from self._cut(final=False)

    def end(self) -> Iterator[bytes]:
        """Yield what is left, and be ready for another stream."""
        if self._rest:
            yield from self._cut(final=True)

    def _cut(self, *, final: bool) -> list[bytes]:
        chunks = self._settled(final=final)
        del self._rest[: sum(map(len, chunks))]
        return chunks

    def _settled(self, *, final: bool) -> list[bytes]:
        """Return the chunks that had room to be as large as any: FastCDC never looks further."""
        chunks: list[bytes] = []
        left = len(self._rest)
        for chunk in self._cdc.cut_buf(self._rest):
            if not final and left < self._largest:
                break
            chunks.append(bytes(chunk.data))
            left -= chunk.length
        return chunks
