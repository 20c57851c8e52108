"""What there is to capture: a listing in our order, each entry to be read or to be taken over.

The result is spooled to files without names, for it is as large as the volume has entries, and a
run that is killed must leave none behind.
"""

import marshal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final, TypeAlias

from backup import complaints, listing
from backup.delta import Decided, Delta, Kept, Parent, alone
from backup.engine import Helper
from backup.exclusion import Sieve
from backup.listing import Listed

SOCKET: Final = "a socket, which exists only while its program runs"
"""Why a socket is not captured: it is nothing that could be lost."""

PATH_MAX: Final = 4096
"""Linux opens no path of so many bytes, its closing zero included."""

_BATCH: Final = 500
_BATCH_SIZE: Final = 256 << 10
_RUN_SIZE: Final = 64 << 10
_LENGTH_SIZE: Final = 8
# One command, because each takes the engine 50 ms; the clock comes first. A store through a mapping
# into a page that is already dirty changes no time stamp: only after a sync do stamps tell all that
# was written, and a later capture relies on what this one saw. Opening a FIFO would wait, opening a
# socket fails.
_LOOK: Final = """\
set -e
date +%s.%N
found=$(find "$1" -maxdepth 0 -printf '%y %F')
echo "$found"
case $found in [df]*) sync -f "$1" ;; esac
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse", "fuseblk", "virtiofs")
_TICK: Final = timedelta(seconds=2)
"""The coarsest time stamps of a local file system, those of FAT."""
_SKEW: Final = timedelta(minutes=15)
"""By how much the clock of a file server may differ from the engine's."""


_Item: TypeAlias = tuple[Listed | None, Kept | None]
"""What is spooled: (None, kept) is taken over, (record, None) is to be read, and where both are
there, the other names of the inode decide."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a capture works: tar in `directory`; `prefix` comes before the paths of a listing.

    A bind-mounted file is captured as one entry of the directory that it is in. `time` is the
    helper's clock before anything was looked at, `margin` what a time stamp may be late by.
    """

    time: datetime
    path: str
    directory: str
    prefix: bytes
    margin: timedelta


def place(helper: Helper, path: str) -> Place:
    """Look at what is to be captured, and see that its time stamps tell all that was written."""
    clock, found = helper.run(["sh", "-c", _LOOK, "voltar", path]).decode().splitlines()
    kind, _, file_system = found.partition(" ")
    seconds, _, fraction = clock.partition(".")
    time = _EPOCH + timedelta(seconds=int(seconds), microseconds=int(fraction[:6]))
    margin = _SKEW if file_system.partition(".")[0] in _REMOTE else _TICK
    if kind == "d":
        return Place(time, path, path, b"", margin)
    parent, _, name = path.rpartition("/")
    return Place(time, path, parent or "/", name.encode("utf-8", "surrogateescape"), margin)


@dataclass(slots=True)
class Scan:
    """What was found. `size` is in bytes, and that of the files to read; `entries` are all.

    `notes` say of paths why they, or what is below them, are not among the entries.
    """

    size: int = 0
    entries: int = 0
    sockets: int = 0
    to_read: int = 0
    deleted: int = 0
    excluded: int = 0
    excluded_size: int = 0
    notes: dict[bytes, str] = field(default_factory=dict)


class Spool:
    """Entries and the names that tar is given, in files. A context manager."""

    def __init__(self) -> None:
        self._records: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed on exit
        self._names: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._stands: Callable[[Listed], bool] = lambda _: True

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()
        self._names.close()

    def fill(self, helper: Helper, where: Place, sieve: Sieve, parent: Parent | None) -> Scan:
        """List a volume and decide about each entry. Raises IntegrityError: the parent's."""
        delta = Delta(parent) if parent else None
        scan = Scan()
        argv = ["find", where.path, "-xdev", "-printf", listing.FORMAT]
        with helper.reading(argv, ok=(0, 1)) as stream:
            scratch = Path(tempfile.gettempdir())
            found = listing.ordered(stream, directory=scratch)
            if where.prefix:
                found = (each._replace(path=where.prefix + each.path) for each in found)
            if delta:
                decided = delta.decide(found, sieve.excludes if sieve.exclusion else None)
            else:
                decided = map(Decided, sieve.kept(found))
            self._write(_within(decided, scan))
        scan.notes |= complaints.of_find(stream, where.directory)
        scan.excluded, scan.excluded_size = sieve.entries, sieve.size
        if delta:
            self._stands = delta.stands
            scan.deleted = delta.deleted
        self._name(scan)
        return scan

    def names(self) -> Iterator[bytes]:
        """Yield the names for tar, each ended by a zero, in blocks."""
        self._names.seek(0)
        return iter(lambda: self._names.read(1 << 20), b"")

    def entries(self) -> Iterator[Listed | Kept]:
        """Yield all entries in order: those to be read one by one, the others in runs."""
        self._records.seek(0)
        while size := self._records.read(_LENGTH_SIZE):
            # not marshal.load: it asks the file for each value that a batch is made of
            batch = marshal.loads(self._records.read(int.from_bytes(size)))  # noqa: S302  our own
            for fields, kept in batch:
                record = fields and Listed._make(fields)
                if kept and (record is None or self._stands(record)):
                    yield Kept._make(kept)
                else:
                    yield record

    def _write(self, decided: Iterable[Decided]) -> None:
        self._records.seek(0)
        self._records.truncate()
        batch: list[tuple[object, object]] = []
        size = 0
        for record, kept in _items(decided):
            batch.append((record and tuple(record), kept and tuple(kept)))
            size += len(kept.lines) if kept else 0
            if len(batch) >= _BATCH or size >= _BATCH_SIZE:
                self._put(batch)
                batch.clear()
                size = 0
        self._put(batch)

    def _put(self, batch: list[tuple[object, object]]) -> None:
        # version 2 writes no references, which cost more to look for than they save
        data = marshal.dumps(batch, 2)
        self._records.write(len(data).to_bytes(_LENGTH_SIZE))
        self._records.write(data)

    def _name(self, scan: Scan) -> None:
        """Write the names for tar, now that all hard links are known, and sum up."""
        self._names.seek(0)
        self._names.truncate()
        for entry in self.entries():
            if isinstance(entry, Kept):
                scan.entries += entry.entries
                continue
            scan.entries += 1
            scan.sockets += entry.kind == "s"
            if unfit(entry) is not None:
                continue
            self._names.write((entry.path or b".") + b"\0")
            scan.to_read += 1
            scan.size += entry.size if entry.kind == "f" else 0


def _within(decided: Iterable[Decided], scan: Scan) -> Iterator[Decided]:
    """Note where another file system begins, for find lists nothing below."""
    device = None
    for each in decided:
        record = each.record
        if record.dev != device:
            if device is None:
                device = record.dev
            elif record.kind == "d":
                scan.notes[record.path] = "another file system is mounted there, and not captured"
        yield each


def _items(decided: Iterable[Decided]) -> Iterator[_Item]:
    """Join successive entries that are kept whatever is decided later: often, that is nearly all.

    Two passes are made over the items, and in these an entry for itself would cost the most.
    """
    run: list[Decided] = []
    size = 0
    for each in decided:
        record, lines, _ = each
        sure = bool(lines) and alone(record)
        if sure:
            run.append(each)
            size += len(lines)
        if run and (size >= _RUN_SIZE or not sure):
            yield None, _joined(run)
            run, size = [], 0
        if not sure:
            yield record, _joined([each]) if lines else None
    if run:
        yield None, _joined(run)


def _joined(run: Sequence[Decided]) -> Kept:
    sizes = [each.record.size for each in run if each.record.kind == "f" and not each.linked]
    return Kept(len(run), len(sizes), sum(sizes), b"".join([each.lines for each in run]))


def unfit(record: Listed) -> str | None:
    """Return why tar cannot carry an entry, or None."""
    if record.kind == "s":
        return SOCKET
    if len(record.path) >= PATH_MAX:
        return f"its path has {len(record.path)} bytes, and no program can open more than 4095"
    return None
