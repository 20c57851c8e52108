"""SFTP (version 3, as OpenSSH speaks it) over a command's socket.

Written here since paramiko's own client waits for each answer where a link is long, and since this
one runs over OpenSSH's client as well. A session serves one thread at a time; bodies of files go
in many requests of which the answers are awaited together. Counts and lengths are the server's
word and bounded here; after an answer that makes no sense, the session is not used any more.
"""

import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from typing import Final, TypeVar, cast

from transports.errors import ConnectionLost, Refused
from transports.ssh.answer import END, Answer, Attributes, SftpFailure
from transports.ssh.protocol import Buffer, Remote

T = TypeVar("T")
_PRINTS: Final = (
    "a login shell that prints does that; `Subsystem sftp internal-sftp` in the server's"
    " sshd_config has none"
)

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE = 1, 2, 3, 4, 5, 6
_FSTAT, _OPENDIR, _READDIR, _REMOVE, _MKDIR, _STAT, _RENAME = 8, 11, 12, 13, 14, 17, 18
_HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED, _REPLY = 102, 103, 104, 105, 200, 201

FOR_READING: Final = 1
FOR_NEW: Final = 2 | 8 | 32  # write, create, and refuse what is there
FSYNC: Final = "fsync@openssh.com"
HARDLINK: Final = "hardlink@openssh.com"
STATVFS: Final = "statvfs@openssh.com"
_LIMITS: Final = "limits@openssh.com"

_BLOCK: Final = 32768  # what every server takes
_LARGE: Final = 255 << 10
_AHEAD: Final = 4 << 20  # bytes asked for, or sent, whose answers are awaited
_LONGEST: Final = 1 << 20
_SPOKEN: Final = 3
_HANDLE_SIZE: Final = 256  # as the protocol has it
_SAID_SIZE: Final = 300
_PATIENCE_S: Final = 300.0  # for each answer as a whole
MOST_NAMES: Final = 4_000_000  # in one directory: packs of 128 TB


class SftpSession:
    """One session; raises SftpFailure for what the server refuses, and ConnectionLost."""

    def __init__(self, remote: Remote, url: str) -> None:
        """Begin; `remote` is the subsystem, and is closed with the session. Raises Refused."""
        self._remote = remote
        self._url = url
        self._number = 0
        self._unanswered: set[int] = set()
        self._early: dict[int, Answer] = {}
        self.usable = True
        remote.sock.settimeout(_PATIENCE_S)
        self._input = cast(BufferedReader, remote.sock.makefile("rb", 1 << 16))
        try:
            self.extensions = self._begin()
            self._block = self._largest()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._input.close()
        self._remote.close()

    def open(self, path: str, flags: int) -> bytes:
        return self._handle(self._ask(_OPEN, _text(path), _int(flags), _int(4), _int(0o600)))

    def close_handle(self, handle: bytes) -> None:
        """Close a file; nothing where the session has ended, and that was told."""
        if self.usable:
            self._done(self._ask(_CLOSE, _bytes(handle)))

    def write_all(self, handle: bytes, data: Buffer, *, sync: bool) -> None:
        """Write a whole file, sync it on demand, and close it."""
        view = memoryview(data)
        window = max(2, _AHEAD // self._block)
        waiting: list[int] = []
        failure: SftpFailure | None = None
        for offset in range(0, len(view), self._block):
            part = view[offset : offset + self._block]
            waiting.append(self._ask(_WRITE, _bytes(handle), _long(offset), _int(len(part)), part))
            if len(waiting) >= window and (failure := self._outcome(waiting.pop(0))):
                break
        if sync and not failure:
            waiting.append(self._ask(_EXTENDED, _text(FSYNC), _bytes(handle)))
        waiting.append(self._ask(_CLOSE, _bytes(handle)))
        for number in waiting:
            failure = self._outcome(number) or failure
        if failure:
            raise failure

    def read_all(self, handle: bytes, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer where the file ends before."""
        target = bytearray(length)
        view = memoryview(target)
        wanted = _pieces(length, self._block)
        waiting: dict[int, tuple[int, int]] = {}
        end = length
        window = max(2, _AHEAD // self._block)
        while True:
            while len(waiting) < window and (piece := next(wanted, None)) is not None:
                waiting[self._ask_part(handle, offset, piece)] = piece
            if not waiting:
                return bytes(view[:end])
            start, size, got = self._part(waiting, view)
            if got == 0:
                end = min(end, start)
            elif got < size:  # the server gave less than was asked for
                piece = (start + got, size - got)
                waiting[self._ask_part(handle, offset, piece)] = piece

    def stat(self, path: str) -> Attributes:
        return self._attributes(self._ask(_STAT, _text(path)))

    def stat_handle(self, handle: bytes) -> Attributes:
        return self._attributes(self._ask(_FSTAT, _bytes(handle)))

    def names(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """Yield what is in a directory."""
        handle = self._handle(self._ask(_OPENDIR, _text(path)))
        seen = 0
        try:
            while (page := self._page(handle)) is not None:
                count = page.number()
                seen += count
                if not count or seen > MOST_NAMES:
                    raise self._garbled(f"a directory without an end, after {seen} names")
                for _ in range(count):
                    yield self._name(page)
        finally:
            self.close_handle(handle)

    def remove(self, path: str) -> None:
        self._done(self._ask(_REMOVE, _text(path)))

    def make_directory(self, path: str) -> None:
        self._done(self._ask(_MKDIR, _text(path), _int(4), _int(0o700)))

    def rename(self, source: str, target: str) -> None:
        """Rename; most servers refuse to replace, some do."""
        self._done(self._ask(_RENAME, _text(source), _text(target)))

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, which must be free (where the server knows HARDLINK)."""
        self._done(self._ask(_EXTENDED, _text(HARDLINK), _text(source), _text(target)))

    def room(self, path: str) -> int | None:
        """Return how many bytes may still be written there; None where the server cannot say."""
        if STATVFS not in self.extensions:
            return None
        answer = self._answer(self._ask(_EXTENDED, _text(STATVFS), _text(path)))
        if answer.kind != _REPLY:
            return None
        _, fragment, _, _, available = (answer.number(8) for _ in range(5))
        return fragment * available

    def _begin(self) -> frozenset[str]:
        self._send(struct.pack(">IBI", 5, _INIT, _SPOKEN))
        answer = self._packet()
        if answer.kind != _VERSION or (version := answer.number()) < _SPOKEN:
            raise self._garbled("something else than its version", hint=_PRINTS)
        if version > _SPOKEN:
            raise self._garbled(f"version {version}, and was asked for {_SPOKEN}")
        names = set()
        while answer:
            names.add(answer.string().decode(errors="replace"))
            answer.string()
        return frozenset(names)

    def _largest(self) -> int:
        if _LIMITS not in self.extensions:
            return _BLOCK
        answer = self._answer(self._ask(_EXTENDED, _text(_LIMITS)))
        if answer.kind != _REPLY:
            return _BLOCK
        _, read, write = answer.number(8), answer.number(8), answer.number(8)
        return max(_BLOCK, min(_LARGE, read or _LARGE, write or _LARGE))

    def _page(self, handle: bytes) -> Answer | None:
        answer = self._answer(self._ask(_READDIR, _bytes(handle)))
        if answer.kind == _NAME:
            return answer
        refusal = answer.refusal()
        if refusal.code == END:
            return None
        raise refusal

    def _name(self, page: Answer) -> tuple[str, Attributes]:
        name = page.string()
        page.string()  # the line that `ls -l` would print
        if b"/" in name:
            raise self._garbled("a name with a slash in it")
        return name.decode("utf-8", "surrogateescape"), page.attributes()

    def _ask_part(self, handle: bytes, offset: int, piece: tuple[int, int]) -> int:
        start, size = piece
        return self._ask(_READ, _bytes(handle), _long(offset + start), _int(size))

    def _part(self, waiting: dict[int, tuple[int, int]], view: memoryview) -> tuple[int, int, int]:
        """Read one answer into its place; return which part it was, and how much came."""
        size, kind, number = struct.unpack(">IBI", self._exactly(9))
        if not 9 <= size <= _LONGEST or number not in waiting:
            raise self._garbled("an answer to what was not asked")
        self._unanswered.discard(number)
        start, wanted = waiting.pop(number)
        if kind != _DATA:
            refusal = Answer(kind, self._exactly(size - 5), self._garbled).refusal()
            if refusal.code == END:
                return start, wanted, 0
            for other in waiting:
                self._answer(other)  # or the next call would find them
            raise refusal
        (length,) = struct.unpack(">I", self._exactly(4))
        if length > wanted or length + 9 != size:
            raise self._garbled("more data than was asked for")
        self._fill(view[start : start + length])
        return start, wanted, length

    def _handle(self, number: int) -> bytes:
        answer = self._answer(number)
        if answer.kind != _HANDLE:
            raise answer.refusal()
        handle = answer.string()
        if len(handle) > _HANDLE_SIZE:
            raise self._garbled(f"a handle of {len(handle)} bytes")
        return handle

    def _attributes(self, number: int) -> Attributes:
        answer = self._answer(number)
        if answer.kind != _ATTRS:
            raise answer.refusal()
        return answer.attributes()

    def _done(self, number: int) -> None:
        if failure := self._outcome(number):
            raise failure

    def _outcome(self, number: int) -> SftpFailure | None:
        return self._answer(number).failure()

    def _ask(self, kind: int, *parts: Buffer) -> int:
        if not self.usable:
            raise ConnectionLost(f"the SFTP session with {self._url} has ended")
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._unanswered.add(self._number)
        size = 5 + sum(len(part) for part in parts)
        head = struct.pack(">IBI", size, kind, self._number)
        if len(parts[-1]) < _BLOCK:
            self._send(head + b"".join(parts))
        else:
            self._send(head + b"".join(parts[:-1]))
            self._send(parts[-1])
        return self._number

    def _answer(self, number: int) -> Answer:
        """Return the answer to a request; others may come before it."""
        while number not in self._early:
            answer = self._packet()
            answered = answer.number()
            if answered not in self._unanswered:
                raise self._garbled("an answer to what was not asked")
            self._unanswered.discard(answered)
            self._early[answered] = answer
        return self._early.pop(number)

    def _packet(self) -> Answer:
        size, kind = struct.unpack(">IB", self._exactly(5))
        if not 0 < size <= _LONGEST:
            raise self._garbled(
                f"an answer of {size} bytes", hint=None if self._number else _PRINTS
            )
        return Answer(kind, self._exactly(size - 1), self._garbled)

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        self._fill(memoryview(data))
        return bytes(data)

    def _fill(self, target: memoryview) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while target:
            got = self._do(partial(self._input.readinto1, target))
            if not got:
                raise self._lost(None)
            target = target[got:]
            if target and time.monotonic() > deadline:
                raise self._silent()

    def _send(self, data: Buffer) -> None:
        self._do(lambda: self._remote.sock.sendall(data))

    def _do(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except TimeoutError as error:
            raise self._silent() from error
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def _silent(self) -> ConnectionLost:
        self.usable = False
        return ConnectionLost(f"{self._url} has not answered for {_PATIENCE_S:.0f} s")

    def _lost(self, error: Exception | None) -> Exception:
        """Return the error for a session that has ended. Raises ConnectionLost as well."""
        self.usable = False
        finished = self._remote.finished(5)
        said = finished.stderr.rpartition("\n")[2][:_SAID_SIZE] if finished else ""
        why = said or getattr(error, "strerror", None) or ""
        at_once = "" if self._number else " at once"
        sentence = f"{self._url} ended the SFTP session{at_once}" + (f": {why}" if why else "")
        return ConnectionLost(sentence) if self._number else Refused(sentence)

    def _garbled(self, why: str, *, hint: str | None = None) -> Refused:
        self.usable = False
        return Refused(f"what {self._url} says is no SFTP: {why}", hint=hint)


def _pieces(length: int, block: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, block):
        yield start, min(block, length - start)


def _int(number: int) -> bytes:
    return struct.pack(">I", number)


def _long(number: int) -> bytes:
    return struct.pack(">Q", number)


def _bytes(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _text(text: str) -> bytes:
    return _bytes(text.encode("utf-8", "surrogateescape"))
