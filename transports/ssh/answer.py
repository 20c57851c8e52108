"""One answer of an SFTP server, taken apart; nothing in it is believed before it is looked at.

A server may be broken, or not be one: whatever is cut off, too long or contradicts itself raises
what `garbled` makes of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

OK, END, NO_FILE, DENIED, FAILURE, UNSUPPORTED = 0, 1, 2, 3, 4, 8
STATUS: Final = 101
_TEXT_SIZE: Final = 300


class SftpFailure(Exception):
    """The server said no; `code` is one of the protocol's, the text is the server's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or f"code {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the server says of a file; None where it does not."""

    size: int | None
    mode: int | None
    mtime: int | None


class Answer:
    """What follows an answer's kind; read once, from its beginning to its end."""

    def __init__(self, kind: int, data: bytes, garbled: Callable[[str], Exception]) -> None:
        self.kind = kind
        self._data = data
        self._at = 0
        self._garbled = garbled

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> bytes:
        return self._take(self.number())

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.number(8) if flags & 1 else None
        if size is not None and size >= 1 << 63:
            raise self._garbled(f"a file of {size} bytes")
        if flags & 2:
            self.number(8)  # owner and group
        mode = self.number() if flags & 4 else None
        mtime = self.number(8) & 0xFFFFFFFF if flags & 8 else None
        if flags & 0x80000000:
            for _ in range(self.number()):
                self.string()
                self.string()
        return Attributes(size, mode, mtime)

    def failure(self) -> SftpFailure | None:
        """Return what a status says; None for success."""
        if self.kind != STATUS:
            raise self._garbled(f"an answer of kind {self.kind} to another question")
        code = self.number()
        if code == OK:
            return None
        text = self.string().decode(errors="replace") if self else ""  # old servers send none
        return SftpFailure(code, " ".join(text.split())[:_TEXT_SIZE])

    def refusal(self) -> SftpFailure:
        """Return the failure in the place of what was asked for."""
        failure = self.failure()
        if failure is None:
            raise self._garbled("success, and not what was asked for")
        return failure

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise self._garbled("an answer that is cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken
