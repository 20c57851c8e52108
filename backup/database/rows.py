"""Rows in whatever order: what a table holds, for a comparison within one process. Pure.

A server puts rows where there is room: PostgreSQL fills the pages of a table that is restored in
another way than it had filled them, so the next dump has the same rows in another order. What is
compared is the sum of a number for each line, of 64 bits, keyed anew for each process: Python's
own for bytes, for another one would take several times as long as a server takes for the row.
"""

from typing import Final

_PIECE: Final = 64 << 10


class Rows:
    """Lines as they pass. What is kept of one is shorter than a piece, however long it is."""

    def __init__(self) -> None:
        self._sum = 0
        self._pieces = 0
        self._rest = b""

    def update(self, data: bytes) -> None:
        for at in range(0, len(data), _PIECE):
            self._take(data[at : at + _PIECE])

    def hexdigest(self) -> str:
        return f"{self._sum + self._line():x}"

    def _take(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._rest += first
        if len(self._rest) >= _PIECE:
            self._pieces = hash((self._pieces, self._rest[:_PIECE]))
            self._rest = self._rest[_PIECE:]
        if others:
            self._sum += self._line() + sum(map(hash, others[:-1]))
            self._pieces, self._rest = 0, others[-1]

    def _line(self) -> int:
        return hash((self._pieces, self._rest)) if self._pieces else hash(self._rest)
