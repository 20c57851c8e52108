"""Entries in, a stored manifest out.

Large bodies are cut each for itself, so that a file that was moved or copied gives the same chunks.
Small bodies run together into *bundles*: one long stream over all of them, cut by content like any
other, so that a million small files are not a million chunks and a new file among them changes one
bundle. An entry's extents are known once the bundle it lies in was cut; entries wait for that in a
queue, in their order, and the queue is bounded by cutting early.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from backup.blocks import Block
from backup.delta import Kept
from backup.listing import Listed
from backup.paths import relative
from backup.repository import (
    Extent,
    Group,
    Member,
    More,
    Note,
    Pending,
    Repository,
    Statistics,
    Writer,
)
from backup.repository.manifest import (
    EXTENTS_PER_RECORD,
    encode_line,
    head_to_text,
    to_text,
)
from backup.tar.split import Entry

BUNDLED_BELOW: Final = 256 << 10
"""Bodies of fewer bytes go into bundles."""

_LONGEST_WAIT: Final = 4096
_LONGEST_QUEUE: Final = 16384
_LARGEST_KEPT: Final = 16 << 20
_LINES_AT_ONCE: Final = 32 << 10


Pieces = list[tuple[Pending, int, int]]
"""Of what a body is made: chunks, and which of their bytes."""


@dataclass(slots=True)
class _Draft:
    """An entry whose extents are not all known yet."""

    entry: Entry
    listed: Listed | None
    missing: int = 0
    padding: bytes = b""
    pieces: Pieces = field(default_factory=list)

    @property
    def settled(self) -> bool:
        # chunks settle in the order in which they were handed in
        return not self.missing and (not self.pieces or self.pieces[-1][0].settled)

    def member(self) -> tuple[Member, list[Extent]]:
        """Return the record, and the extents that did not fit into it."""
        entry, listed = self.entry, self.listed
        extents = [Extent(chunk.hex, at, length) for chunk, at, length in self.pieces]
        return Member(
            path=to_text(relative(entry.path)),
            kind=entry.kind,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            link=to_text(entry.link),
            head=head_to_text(entry.head),
            body_size=sum(length for _, _, length in self.pieces),
            extents=extents[:EXTENTS_PER_RECORD],
            padding=to_text(self.padding),
            inode=listed.inode if listed else 0,
            ctime_ns=listed.ctime_ns if listed else 0,
            links=listed.nlink if listed else 0,
            device=listed.dev if listed else 0,
        ), extents[EXTENTS_PER_RECORD:]


@dataclass(slots=True)
class _Kept:
    """Lines of the parent's manifest, taken over, that wait behind a draft."""

    lines: list[bytes]
    settled: ClassVar = True


class Recorder:
    """Stores the entries of one source and, at the end, its manifest."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        on_stored: Callable[[list[Extent]], None] = lambda _: None,
    ) -> None:
        """`on_stored` is told of each added entry, in order, in which chunks its body is stored."""
        self.repository = repository
        self._on_stored = on_stored
        self._writer = writer
        self._bundle = repository.cutter(Group.DATA)
        self._large = repository.cutter(Group.DATA)
        self._lines = repository.cutter(Group.MANIFEST)
        self._queue: deque[_Draft | _Kept] = deque()
        self._kept_size = 0
        self._unfilled: deque[_Draft] = deque()
        self._waiting = 0
        self._notes: list[Note] = []
        self._unfed: list[bytes] = []
        self._unfed_size = 0
        self._manifest: list[Pending] = []
        self.entries = 0
        self.unchanged = self.unchanged_size = 0
        self.files = 0
        self.size = 0
        self.read = 0

    @property
    def statistics(self) -> Statistics:
        """What was counted so far."""
        return Statistics(
            entries=self.entries,
            unchanged=self.unchanged,
            unchanged_size=self.unchanged_size,
            files=self.files,
            size=self.size,
            read=self.read,
        )

    def store(self, body: Iterable[Block]) -> Pieces:
        """Store a body whose entry is added later, or never."""
        pieces: Pieces = []
        for block in body:
            self.read += len(block)
            self._append(pieces, self._large.feed(block))
        self._append(pieces, self._large.end())
        return pieces

    def add(self, entry: Entry, listed: Listed | None = None, stored: Pieces | None = None) -> None:
        """Store an entry; its body is consumed, unless it is stored already."""
        draft = _Draft(entry, listed)
        self._queue.append(draft)
        if stored is not None:
            draft.pieces = stored
        elif entry.body_size is None or entry.body_size >= BUNDLED_BELOW:
            self._store_large(draft)
        elif entry.body_size:
            self._store_small(draft, entry.body_size)
        draft.padding = entry.padding
        entry.body = iter(())
        self._count(draft)
        self._waiting += 1
        if self._unfilled and self._waiting > _LONGEST_WAIT:
            self._end_bundle()
        self._write_settled()

    def keep(self, kept: Kept) -> None:
        """Take over entries as the parent's manifest has them.

        Their chunks must be there to be referred to.
        """
        self.entries += kept.entries
        self.unchanged += kept.entries
        self.unchanged_size += kept.size
        self.files += kept.files
        self.size += kept.size
        if not self._queue:
            self._write_lines(kept.lines)
            return
        last = self._queue[-1]
        if isinstance(last, _Kept):
            last.lines.append(kept.lines)
        else:
            self._queue.append(_Kept([kept.lines]))
        self._kept_size += len(kept.lines)
        if self._kept_size > _LARGEST_KEPT:
            self._end_bundle()
            self._write_settled()

    def note(self, path: bytes, text: str) -> None:
        """Record that something was not captured as it should be, and why."""
        readable = text.encode("utf-8", "backslashreplace").decode()
        self._notes.append(Note(to_text(path), readable))

    @property
    def notes(self) -> int:
        return len(self._notes)

    def finish(self) -> list[Extent]:
        """Store the manifest; return its extents. The writer is still to be finished."""
        self._end_bundle()
        while self._queue:
            self._write(self._queue.popleft())
        for note in self._notes:
            self._write_line(note)
        self._feed_lines()
        self._store_lines(self._lines.end())
        return [Extent(chunk.id.hex(), 0, chunk.size) for chunk in self._manifest]

    def _count(self, draft: _Draft) -> None:
        kind = draft.entry.kind
        if kind in "gz":
            return
        self.entries += 1
        if kind == "f":
            self.files += 1
            self.size += draft.entry.size

    def _store_large(self, draft: _Draft) -> None:
        for block in draft.entry.body:
            if draft.entry.kind != "z":  # what ends an archive is no part of the source
                self.read += len(block)
            self._append(draft.pieces, self._large.feed(block))
        self._append(draft.pieces, self._large.end())

    def _append(self, pieces: Pieces, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            pieces.append((self._writer.add(chunk, Group.DATA), 0, len(chunk)))

    def _store_small(self, draft: _Draft, size: int) -> None:
        draft.missing = size
        self._unfilled.append(draft)
        for block in draft.entry.body:
            self.read += len(block)
            if chunks := self._bundle.feed(block):
                self._spread(chunks)

    def _end_bundle(self) -> None:
        self._spread(self._bundle.end())
        self._waiting = 0

    def _spread(self, chunks: Iterable[bytes]) -> None:
        """Give each waiting entry its part of the bundle's next chunks."""
        for chunk in chunks:
            pending = self._writer.add(chunk, Group.DATA)
            at = 0
            while at < len(chunk):
                draft = self._unfilled[0]
                length = min(draft.missing, len(chunk) - at)
                draft.pieces.append((pending, at, length))
                draft.missing -= length
                at += length
                if not draft.missing:
                    self._unfilled.popleft()
            self._waiting = 0

    def _write_settled(self) -> None:
        while self._queue and (self._queue[0].settled or self._too_long()):
            self._write(self._queue.popleft())

    def _too_long(self) -> bool:
        first = self._queue[0]
        long = len(self._queue) > _LONGEST_QUEUE or self._kept_size > _LARGEST_KEPT
        return long and isinstance(first, _Draft) and not first.missing

    def _write(self, draft: _Draft | _Kept) -> None:
        if isinstance(draft, _Kept):
            for lines in draft.lines:
                self._kept_size -= len(lines)
                self._write_lines(lines)
            return
        member, rest = draft.member()
        self._on_stored([*member.extents, *rest])
        self._write_line(member)
        for start in range(0, len(rest), EXTENTS_PER_RECORD):
            self._write_line(More(rest[start : start + EXTENTS_PER_RECORD]))

    def _write_line(self, line: Member | More | Note) -> None:
        self._write_lines(encode_line(line))

    def _write_lines(self, lines: bytes) -> None:
        self._unfed.append(lines)
        self._unfed_size += len(lines)
        if self._unfed_size >= _LINES_AT_ONCE:
            self._feed_lines()

    def _feed_lines(self) -> None:
        self._store_lines(self._lines.feed(b"".join(self._unfed)))
        self._unfed.clear()
        self._unfed_size = 0

    def _store_lines(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._manifest.append(self._writer.add(chunk, Group.MANIFEST))
