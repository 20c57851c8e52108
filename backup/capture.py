"""Capture: what a helper sees at a path becomes a manifest in the repository.

`find` lists everything first. From the list, in our order, tar gets the names that it can carry,
and its stream is paired again with the list: so every entry has the facts that tar does not tell
(inode, ctime), and an entry that is in the list and not in the stream is known to be missing and is
noted. What tar cannot carry is noted as well: sockets, and paths too long to be opened in one call;
and what find could not look at, which is in neither.

With a parent, only what changed since is named to tar (`delta` decides); the parent's lines for the
rest go into the new manifest as they are. Where nothing changed, tar does not run at all.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from msgspec import structs

from backup import complaints
from backup.blocks import Blocks
from backup.delta import Kept, compared
from backup.engine import Helper, Stream
from backup.errors import HelperFailed, IntegrityError
from backup.exclusion import CACHE_SIGNATURE, CACHE_TAG, NOTHING, Exclusion, Sieve
from backup.listing import Listed
from backup.paths import printable, relative
from backup.recorder import Recorder
from backup.report import Advanced, Finished, Noted, OnEvent, Started
from backup.repository import Extent, Repository, Snapshot, Statistics, Writer
from backup.scan import SOCKET, Place, Scan, Spool, place, unfit
from backup.tar.build import end_of_archive, impersonal, linked
from backup.tar.split import Entry, split

TAR_CREATE: Final = (
    "tar",
    "--create",
    "--format=posix",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--sparse",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--numeric-owner",
    "--ignore-failed-read",
    "--no-recursion",
    "--null",
    "--no-unquote",
    "--verbatim-files-from",
    "--quoting-style=escape",
    "--blocking-factor=512",
)
TAR_ENDED_WELL: Final = (0, 1)
"""1: some files changed while they were read, or vanished; each is named."""
_TELL_SIZE: Final = 1 << 20
_TELL_ENTRIES: Final = 50
_GONE: Final = "it vanished, or could not be read, while it was captured"
_ANOTHER: Final = "it became something else while it was captured, and what is in it may be missing"


@dataclass(frozen=True, slots=True)
class Captured:
    """One source, stored. `time` is the helper's clock before anything was read.

    `warnings` counts the `notes` that tell of a loss: all but sockets, which no copy could keep.
    """

    time: datetime
    manifest: list[Extent]
    notes: int
    warnings: int
    statistics: Statistics


@contextmanager
def archived(
    helper: Helper, names: Blocks, *, within: str, ok: Collection[int] = (0,)
) -> Iterator[Stream]:
    """Read the archive that tar makes of the names in a directory, each ended by a zero.

    In the directory itself: tar looks up attributes below a --directory by a longer path, and then
    some paths are too long that are not. Raises HelperFailed, on leaving at the latest.
    """
    inside = helper.place("names", names)
    argv = [*TAR_CREATE, "--files-from", inside, "--file=-"]
    with helper.reading(argv, within=within, ok=ok) as stream:
        yield stream


@dataclass(frozen=True, slots=True)
class Wish:
    """How a source is to be captured: against which parent, and without what.

    `known` is by path what is not as it should be, whatever comes of reading.
    """

    parent: Snapshot | None = None
    exclusion: Exclusion = NOTHING
    known: Mapping[bytes, str] = field(default_factory=dict)


def capture(
    helper: Helper,
    path: str,
    subject: str,
    wish: Wish,
    *,
    into: tuple[Repository, Writer],
    on_event: OnEvent,
) -> Captured:
    """Store everything below `path` of a helper, or the one file that it is.

    Nothing refers to it until a snapshot is committed, which is the caller's next statement.
    Raises EngineError, HelperFailed, TransportError.
    """
    recorder = Recorder(*into)
    with Spool() as spool:
        on_event(Started("list", subject))
        where = place(helper, path)
        sieve = partial(Sieve, wish.exclusion, _caches(helper, where, wish.exclusion))
        scan = _scan(helper, spool, (where, sieve), wish.parent, recorder, on_event)
        on_event(Started("backup", subject, scan.size, scan.entries))
        _read(helper, (spool, scan, where), recorder, subject, on_event)
    for file, text in wish.known.items():
        recorder.note(file, text)
        on_event(Noted(subject, file, text))
    manifest = recorder.finish()
    on_event(Finished("backup", subject))
    statistics = structs.replace(
        recorder.statistics,
        deleted=scan.deleted,
        excluded=scan.excluded,
        excluded_size=scan.excluded_size,
    )
    return Captured(where.time, manifest, recorder.notes, recorder.notes - scan.sockets, statistics)


def _scan(
    helper: Helper,
    spool: Spool,
    what: tuple[Place, Callable[[], Sieve]],
    parent: Snapshot | None,
    recorder: Recorder,
    on_event: OnEvent,
) -> Scan:
    """List everything; where the parent turns out to be damaged, everything is to be read."""
    where, sieve = what
    if parent is None:
        return spool.fill(helper, where, sieve(), None)
    try:
        known = compared(recorder.repository, parent, where.margin)
        return spool.fill(helper, where, sieve(), known)
    except IntegrityError as error:
        text = f"the parent cannot be read, so everything was read again: {error}"
        recorder.note(b"", text)
        on_event(Noted(parent.source, b"", text))
    return spool.fill(helper, where, sieve(), None)


def _caches(helper: Helper, where: Place, exclusion: Exclusion) -> set[bytes]:
    """Return the directories that say of themselves that they are caches, if it matters."""
    if not exclusion.caches:
        return set()
    argv = ["find", where.path, "-xdev", "-type", "f", "-name", CACHE_TAG.decode()]
    with helper.reading([*argv, "-printf", r"%P\0"], ok=(0, 1)) as stream:
        names = b"".join(stream)
    if not names:
        return set()
    found: set[bytes] = set()
    with archived(helper, (names,), within=where.directory, ok=TAR_ENDED_WELL) as stream:
        for entry in split(stream):
            start = b""
            for block in entry.body:
                start += bytes(block[: len(CACHE_SIGNATURE) - len(start)])
            if entry.kind == "f" and start == CACHE_SIGNATURE:
                found.add(relative(entry.path).rpartition(b"/")[0])
    return found


def _read(
    helper: Helper,
    scanned: tuple[Spool, Scan, Place],
    recorder: Recorder,
    subject: str,
    on_event: OnEvent,
) -> None:
    spool, scan, where = scanned
    reasons = dict(scan.notes)
    records = _keeping(spool.entries(), recorder)
    if scan.to_read:
        reasons |= _read_changed(helper, (spool, where), records, recorder, on_event)
    reasons |= {record.path: missing(record) for record in records}
    for path, text in sorted(reasons.items()):
        recorder.note(path, text)
        on_event(Noted(subject, path, text, harmless=text == SOCKET))
    recorder.add(end_of_archive())


def _keeping(entries: Iterable[Listed | Kept], recorder: Recorder) -> Iterator[Listed]:
    """Take over what the parent has; yield what is to be read."""
    for entry in entries:
        if isinstance(entry, Kept):
            recorder.keep(entry)
        else:
            yield entry


def _read_changed(
    helper: Helper,
    scanned: tuple[Spool, Place],
    records: Iterator[Listed],
    recorder: Recorder,
    on_event: OnEvent,
) -> dict[bytes, str]:
    """Read what changed; return, by path, what is not as it should be."""
    spool, where = scanned
    specials = Specials()
    told = (0, 0)
    reasons: dict[bytes, str] = {}
    with archived(helper, spool.names(), within=where.directory, ok=TAR_ENDED_WELL) as stream:
        for entry in split(stream):
            if entry.kind == "z":
                continue  # tar's own padding; the snapshot gets a short end of its own
            record = matched(entry, records, reasons)
            entry.head = impersonal(entry.head)
            recorder.add(specials.linked(entry, record), record)
            if recorder.read - told[0] >= _TELL_SIZE or recorder.entries - told[1] >= _TELL_ENTRIES:
                told = _advanced(recorder, told, on_event)
        _advanced(recorder, told, on_event)
    return reasons | complaints.of_tar(stream)


def _advanced(recorder: Recorder, told: tuple[int, int], on_event: OnEvent) -> tuple[int, int]:
    """Tell how far the work is; an event for each small file would cost more than it shows."""
    size, entries = told
    on_event(Advanced(recorder.read - size, recorder.entries - entries))
    return recorder.read, recorder.entries


def matched(entry: Entry, records: Iterator[Listed], reasons: dict[bytes, str]) -> Listed:
    """Return the record of an entry; what comes before it in the list is not in the stream."""
    path = relative(entry.path)
    for record in records:
        if record.path == path:
            if entry.kind not in (record.kind, "h"):
                reasons[path] = _ANOTHER
            return record
        reasons[record.path] = missing(record)
    raise HelperFailed(f"tar sent {printable(path)}, which it was not asked for")


class Specials:
    """Finds the other names of FIFOs and devices: tar sees those of files and symlinks only."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], bytes] = {}

    def linked(self, entry: Entry, record: Listed) -> Entry:
        """Return the entry, made into a hard link if its inode was there before."""
        if entry.kind not in "pcb" or record.nlink == 1:
            return entry
        first = self._first.setdefault((record.dev, record.inode), entry.path)
        if first is entry.path:
            return entry
        return next(split((linked(entry.head, first),)))


def missing(record: Listed) -> str:
    return unfit(record) or _GONE
