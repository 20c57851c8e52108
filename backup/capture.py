"""Capture: what a helper sees at a path becomes a manifest in the repository.

`find` lists everything first. From the list, in our order, tar gets the names that it can carry,
and its stream is paired again with the list: so every entry has the facts that tar does not tell
(inode, ctime), and an entry that is in the list and not in the stream is known to be missing and is
noted. What tar cannot carry is noted as well: sockets, and paths too long to be opened in one call.
"""

import marshal
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from backup import listing
from backup.engine import Helper
from backup.errors import HelperFailed
from backup.listing import Listed
from backup.paths import printable, relative
from backup.recorder import Recorder
from backup.report import Advanced, Finished, Noted, OnEvent, Started
from backup.repository import Extent, Repository, Statistics, Writer
from backup.tarbuild import end_of_archive, impersonal, linked
from backup.tarsplit import Entry, split

PATH_MAX: Final = 4096
"""Linux opens no path of so many bytes, its closing zero included."""

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
_FILE_CHANGED: Final = 1
_BATCH: Final = 500
_TELL_SIZE: Final = 1 << 20
_TELL_ENTRIES: Final = 50
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAID: Final = re.compile(r"(?:\S*/)?tar: (?P<path>(?:\\.|[^\\:])+): (?P<text>.+)")
_ESCAPED: Final = re.compile(r"\\([0-7]{3}|.)")
_SHORT: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_GONE: Final = "it vanished, or could not be read, while it was captured"


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


def capture(
    helper: Helper, path: str, subject: str, *, into: tuple[Repository, Writer], on_event: OnEvent
) -> Captured:
    """Store everything below `path` of a helper, or the one file that it is.

    Nothing refers to it until a snapshot is committed, which is the caller's next statement.
    Raises EngineError, HelperFailed, TransportError.
    """
    time = _clock(helper)
    recorder = Recorder(*into)
    # files without names: a run that is killed leaves none behind
    with tempfile.TemporaryFile() as records, tempfile.TemporaryFile() as names:
        listed = _list(helper, path, (records, names), subject, on_event)
        records.seek(0)
        names.seek(0)
        _read(helper, listed, recorder, subject, on_event)
    manifest = recorder.finish()
    on_event(Finished("backup", subject))
    statistics = Statistics(
        entries=recorder.entries,
        files=recorder.files,
        size=recorder.size,
        read=recorder.read,
    )
    return Captured(time, manifest, recorder.notes, recorder.notes - listed.sockets, statistics)


@dataclass(frozen=True, slots=True)
class _Listing:
    """What there is to capture, in files: records in our order, and the names that tar is given."""

    directory: str
    records: IO[bytes]
    names: IO[bytes]
    size: int
    entries: int
    sockets: int


def _clock(helper: Helper) -> datetime:
    seconds, _, fraction = helper.run(["date", "+%s.%N"]).decode().strip().partition(".")
    return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(fraction[:6]))


def _list(
    helper: Helper, path: str, files: tuple[IO[bytes], IO[bytes]], subject: str, on_event: OnEvent
) -> _Listing:
    on_event(Started("list", subject))
    # A store through a mapping into a page that is already dirty changes no time stamp: only after
    # a sync do stamps tell all that was written, and a later capture relies on what this one saw.
    kind = helper.run(["find", path, "-maxdepth", "0", "-printf", "%y"]).decode()
    if kind in "df":  # opening a FIFO would wait, opening a socket fails
        helper.run(["sync", "-f", path])
    directory, prefix = _frame(path, kind)
    records, names = files
    size = entries = sockets = 0
    batch: list[tuple[object, ...]] = []
    argv = ["find", path, "-xdev", "-printf", listing.FORMAT]
    with helper.reading(argv, ok=(0, 1)) as stream:
        scratch = Path(tempfile.gettempdir())
        for found in listing.ordered(listing.parse(stream), directory=scratch):
            record = found._replace(path=prefix + found.path)
            batch.append(tuple(record))
            if len(batch) >= _BATCH:
                marshal.dump(batch, records)
                batch.clear()
            if _unfit(record) is None:
                names.write((record.path or b".") + b"\0")
            entries += 1
            size += record.size if record.kind == "f" else 0
            sockets += record.kind == "s"
        marshal.dump(batch, records)
    return _Listing(directory, records, names, size, entries, sockets)


def _frame(path: str, kind: str) -> tuple[str, bytes]:
    """Return the directory that tar works in, and what comes before the listing's paths.

    A bind-mounted file is captured as one entry of the directory that it is in.
    """
    if kind == "d":
        return path, b""
    parent, _, name = path.rpartition("/")
    return parent or "/", name.encode("utf-8", "surrogateescape")


def _unfit(record: Listed) -> str | None:
    """Return why tar cannot carry an entry, or None."""
    if record.kind == "s":
        return "a socket, which exists only while its program runs"
    if len(record.path) >= PATH_MAX:
        return f"its path has {len(record.path)} bytes, and no program can open more than 4095"
    return None


def _read(
    helper: Helper, listed: _Listing, recorder: Recorder, subject: str, on_event: OnEvent
) -> None:
    on_event(Started("backup", subject, listed.size, listed.entries))
    inside = helper.place("names", iter(lambda: listed.names.read(1 << 20), b""))
    # In the directory itself: tar looks up attributes below a --directory by a longer path, and
    # then some paths are too long that are not.
    argv = [*TAR_CREATE, "--files-from", inside, "--file=-"]
    left_out: list[Listed] = []
    specials = _Specials()
    told = (0, 0)
    with helper.reading(argv, within=listed.directory, ok=(0, _FILE_CHANGED)) as stream:
        records = _records(listed.records)
        for entry in split(stream):
            if entry.kind == "z":
                continue  # tar's own padding; the snapshot gets a short end of its own
            record = _match(entry, records, left_out)
            entry.head = impersonal(entry.head)
            recorder.add(specials.linked(entry, record), record)
            if recorder.read - told[0] >= _TELL_SIZE or recorder.entries - told[1] >= _TELL_ENTRIES:
                told = _advanced(recorder, told, on_event)
        _advanced(recorder, told, on_event)
        left_out.extend(records)
    for path, text in sorted(_reasons(left_out, stream.stderr).items()):
        recorder.note(path, text)
        on_event(Noted(subject, path, text))
    recorder.add(end_of_archive())


def _advanced(recorder: Recorder, told: tuple[int, int], on_event: OnEvent) -> tuple[int, int]:
    """Tell how far the work is; an event for each small file would cost more than it shows."""
    size, entries = told
    on_event(Advanced(recorder.read - size, recorder.entries - entries))
    return recorder.read, recorder.entries


def _records(file: IO[bytes]) -> Iterator[Listed]:
    while True:
        try:
            batch = marshal.load(file)  # noqa: S302  written by this process, just now
        except EOFError:
            return
        yield from map(Listed._make, batch)


def _match(entry: Entry, records: Iterator[Listed], left_out: list[Listed]) -> Listed:
    """Return the record of an entry; what comes before it in the list is not in the stream."""
    path = relative(entry.path)
    for record in records:
        if record.path == path:
            return record
        left_out.append(record)
    raise HelperFailed(f"tar sent {printable(path)}, which it was not asked for")


class _Specials:
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


def _reasons(left_out: Iterable[Listed], stderr: str) -> dict[bytes, str]:
    """Return why entries are missing, or are not as they should be, by path."""
    reasons = {record.path: _unfit(record) or _GONE for record in left_out}
    for line in stderr.splitlines():
        said = _SAID.match(line)
        if said and "socket ignored" not in line:
            reasons[_unquoted(said["path"])] = f"tar: {said['text'].removeprefix('Warning: ')}"
    return reasons


def _unquoted(name: str) -> bytes:
    """Return the path that tar shows in its quoting style "escape"."""
    plain = _ESCAPED.sub(lambda escape: _character(escape[1]), name)
    return relative(plain.encode("latin-1", "replace"))


def _character(escape: str) -> str:
    return chr(int(escape, 8)) if escape.isdigit() else _SHORT.get(escape, escape)
