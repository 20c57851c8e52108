"""One snapshot's content, written anew into another repository.

Keys differ, and with them the ids of chunks and where they are cut. So the bodies are joined and
cut again as the other repository's own backups cut them, which therefore find what a copy has
brought, and the other way round. The manifest's lines stay what they are, but for the extents: what
a capture saw of every entry (inode, ctime) is kept, and the next backup there is incremental.

A body is read once. `Bodies` says where one that was copied before, in this run or for the snapshot
before, lies in the other repository. What has to be read is asked for as one stream: lines, which
stand for themselves, each followed by the extents that its body needs.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from backup.bodies import Bodies
from backup.delta import Kept
from backup.errors import IntegrityError
from backup.listing import Listed
from backup.recorder import Recorder
from backup.report import Advanced, OnEvent
from backup.repository import Extent, Member, More, Note, Repository, Snapshot, Stored, Writer
from backup.repository.manifest import (
    EXTENTS_PER_RECORD,
    chunk_of,
    decode_stored,
    encode_line,
    head_to_bytes,
    to_bytes,
)
from backup.tar.entry import Entry

_AS_IT_IS: Final = b"="
_TO_READ: Final = b"<"
_LINES_AT_ONCE: Final = 32 << 10


class Rewriter:
    """Writes snapshots of one repository into another, one after the other."""

    def __init__(self, source: Repository, target: Repository, writer: Writer) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._bodies = Bodies()
        self._originals: deque[list[Extent]] = deque()

    def close(self) -> None:
        self._bodies.close()

    def learn(self, original: Snapshot, copy: Snapshot) -> None:
        """Take in where the bodies of a snapshot are that was copied by an earlier run.

        Raises IntegrityError, where one of the two cannot be read; what was learnt till then is so.
        """
        pairs = zip(self._source.stored(original), self._target.stored(copy), strict=False)
        for one, other in pairs:
            if one.member.path != other.member.path:
                return
            if one.extents:
                self._bodies.add(one.extents, other.extents)

    def rewrite(self, snapshot: Snapshot, on_event: OnEvent) -> list[Extent]:
        """Store what a snapshot holds; return its manifest there. The writer is to be finished.

        Raises IntegrityError where the source is damaged: what was stored till then is of use.
        """
        self._originals.clear()
        recorder = Recorder(self._target, self._writer, self._remember)
        pieces = self._source.read(self._parts(snapshot))
        for piece in pieces:
            mark, lines = bytes(piece[:1]), bytes(piece[1:])
            if mark == _AS_IT_IS:
                recorder.keep(Kept(0, 0, 0, lines))
                continue
            (stored,) = decode_stored([lines])
            self._originals.append(stored.extents)
            body = _body(pieces, stored)
            recorder.add(_entry(stored.member, body), _listed(stored.member))
            on_event(Advanced(sum(extent.length for extent in stored.extents)))
        for note in self._notes(snapshot):
            recorder.note(to_bytes(note.path), note.text)
        manifest = recorder.finish()
        self._writer.settle()  # only then may the next snapshot refer to it
        return manifest

    def _remember(self, copy: list[Extent]) -> None:
        """Entries with a body to be read are stored in the order in which they were added."""
        self._bodies.add(self._originals.popleft(), copy)

    def _parts(self, snapshot: Snapshot) -> Iterator[bytes | Extent]:
        """Yield lines that stay, and lines whose bodies are to be read, each with its extents."""
        staying: list[bytes] = []
        size = 0
        for stored in self._source.stored(snapshot):
            lines = self._lines(stored)
            if lines is not None:
                staying.append(lines)
                size += len(lines)
            if staying and (lines is None or size >= _LINES_AT_ONCE):
                yield b"".join([_AS_IT_IS, *staying])
                staying, size = [], 0
            if lines is None:
                yield _TO_READ + stored.lines
                yield from stored.extents
        if staying:
            yield b"".join([_AS_IT_IS, *staying])

    def _lines(self, stored: Stored) -> bytes | None:
        """Return the lines of a member in the target, or None where its body is to be read."""
        if not stored.extents:
            return stored.lines
        copy = self._bodies.find(stored.extents)
        if copy is None or not all(self._writer.may_refer_to(chunk_of(each)) for each in copy):
            return None
        member = msgspec.structs.replace(stored.member, extents=copy[:EXTENTS_PER_RECORD])
        rest = range(EXTENTS_PER_RECORD, len(copy), EXTENTS_PER_RECORD)
        more = (encode_line(More(copy[at : at + EXTENTS_PER_RECORD])) for at in rest)
        return b"".join([encode_line(member), *more])

    def _notes(self, snapshot: Snapshot) -> Iterator[Note]:
        if snapshot.notes:
            lines = self._source.manifest(snapshot)
            yield from (line for line in lines if isinstance(line, Note))


def _body(pieces: Iterator[memoryview], stored: Stored) -> Iterator[memoryview]:
    """Yield the next pieces, which are a member's body. Raises IntegrityError."""
    lengths = [extent.length for extent in stored.extents]
    if min(lengths) <= 0 or sum(lengths) != stored.member.body_size:
        raise IntegrityError("a manifest is damaged: extents are not as long as their body")
    yield from islice(pieces, len(lengths))


def _entry(member: Member, body: Iterable[memoryview]) -> Entry:
    """Return the entry of which a recorder makes the same member, but for its extents."""
    return Entry(
        head=head_to_bytes(member.head),
        kind=member.kind,
        path=to_bytes(member.path),
        link=to_bytes(member.link),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        mtime_ns=member.mtime_ns,
        major=0,
        minor=0,
        pax={},
        body_size=None if member.kind == "z" else member.body_size,
        body=iter(body),
        padding=to_bytes(member.padding),
    )


def _listed(member: Member) -> Listed | None:
    if not (member.inode or member.ctime_ns or member.links or member.device):
        return None
    return Listed(
        path=to_bytes(member.path),
        kind=member.kind,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        mtime_ns=member.mtime_ns,
        ctime_ns=member.ctime_ns,
        inode=member.inode,
        nlink=member.links,
        dev=member.device,
        link=to_bytes(member.link),
    )
