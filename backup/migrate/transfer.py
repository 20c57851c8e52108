"""Carry what one helper sees to another helper, and prove it, without a file in between.

    source  find ─► list ─► tar ─► entries, digested as they pass ─► tar  target
    then    find again on the source: nobody wrote        find on the target: all is there
            sha256sum on the target, and tar for attributes, devices and files with holes

The list, the archive and what is made of complaints are those of a backup; the target reads what a
restore would. What cannot be carried is an error here: nothing is left out of a move but sockets,
which exist only while their program runs.
"""

import hashlib
import marshal
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final, NamedTuple

from backup import complaints, listing
from backup.blocks import Block
from backup.capture import TAR_ENDED_WELL, Specials, archived, matched, missing
from backup.content import begun, content_digest, digested
from backup.engine import Helper
from backup.errors import MigrationFailed, VerificationFailed
from backup.exclusion import NOTHING, Sieve
from backup.listing import Expected, Listed, paired
from backup.paths import printable, relative
from backup.report import Advanced, OnEvent, Started
from backup.restore import TAR_EXTRACT
from backup.scan import SOCKET, Place, Scan, Spool, place, unfit
from backup.tar.build import end_of_archive
from backup.tar.split import Entry, join, split
from backup.verify import ATTRIBUTES, attribute_differences, sentence

_SHOWN: Final = 20
_TELL_SIZE: Final = 1 << 20
_SUMS: Final = ("sha256sum", "--zero", "--")
_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Side:
    """A helper, and where in it the data are. `within` is the directory that they are in."""

    helper: Helper
    path: str
    within: str


@dataclass(frozen=True, slots=True)
class Carried:
    """What was carried. `listing` is a digest of all that a listing of the source shows."""

    entries: int
    size: int
    listing: str


class Traits(NamedTuple):
    """What of an entry neither a listing nor a checksum shows. `content` is a digest where the file
    has holes, and b"" where a checksum tells."""

    path: bytes
    kind: str
    major: int
    minor: int
    pax: dict[str, bytes]
    content: bytes


def carry(source: Side, target: Side, subject: str, on_event: OnEvent) -> Carried:
    """Fill the target, which is empty, with what the source has; compare.

    Raises MigrationFailed for what cannot be carried, or that somebody writes; VerificationFailed,
    HelperFailed, EngineError.
    """
    on_event(Started("list", subject))
    with Spool() as spool, Passed() as passed:
        where = place(source.helper, source.path)
        scan = spool.fill(source.helper, where, Sieve(NOTHING, set()), None)
        _demand_carriable(scan, spool)
        on_event(Started("copy", subject, scan.size, scan.entries))
        target.helper.writing(
            TAR_EXTRACT, _stream(source, spool, where, passed, on_event), within=target.within
        )
        on_event(Started("compare", subject, scan.size, scan.entries))
        listed = _demand_unchanged(source, where, spool)
        _compare_listing(target, where, spool)
        _refuse(islice(_sums(target, passed, on_event), _SHOWN))
        _refuse(islice(_traits(target, passed), _SHOWN))
    return Carried(scan.entries, scan.size, listed)


def listing_digest(source: Side) -> str:
    """Return the digest of all that a listing of the source shows, times of change included."""
    return _digest(_listing(source, place(source.helper, source.path)))


class Passed:
    """What went by on the way to the target: checksums and traits, in files without names."""

    def __init__(self) -> None:
        self._sums: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed on exit
        self._traits: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def __enter__(self) -> "Passed":
        return self

    def __exit__(self, *_: object) -> None:
        self._sums.close()
        self._traits.close()

    def add_sum(self, path: bytes, hexadecimal: str) -> None:
        """Remember a file's checksum, as sha256sum will print it."""
        self._sums.write(hexadecimal.encode() + b"  " + path + b"\0")

    def add_traits(self, traits: Traits) -> None:
        """Remember what only tar shows."""
        data = marshal.dumps(tuple(traits), 2)
        self._traits.write(len(data).to_bytes(_LENGTH) + data)

    def sums(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (checksum, path)."""
        self._sums.seek(0)
        return _split_sums(iter(lambda: self._sums.read(1 << 20), b""))

    def traits(self) -> Iterator[Traits]:
        self._traits.seek(0)
        while size := self._traits.read(_LENGTH):
            # our own file
            yield Traits._make(marshal.loads(self._traits.read(int.from_bytes(size))))  # noqa: S302


def _demand_carriable(scan: Scan, spool: Spool) -> None:
    left = {path: text for path, text in scan.notes.items() if text != SOCKET}
    for record in spool.entries():
        if isinstance(record, Listed) and (why := unfit(record)) and why != SOCKET:
            left[record.path] = why
    _demand_nothing_left(left)


def _demand_nothing_left(left: dict[bytes, str]) -> None:
    """Raise MigrationFailed for what would be missing on the target."""
    lost = {path: text for path, text in left.items() if text != SOCKET}
    if lost:
        path, text = min(lost.items())
        others = f" (and {len(lost) - 1} others)" if len(lost) > 1 else ""
        raise MigrationFailed(f"{_shown(path)} cannot be moved: {text}{others}")


def _stream(
    source: Side, spool: Spool, where: Place, passed: Passed, on_event: OnEvent
) -> Iterator[Block]:
    """Yield the archive for the target's tar."""
    specials, reasons = Specials(), dict[bytes, str]()
    records = (each for each in spool.entries() if isinstance(each, Listed))
    names = spool.names()
    with archived(source.helper, names, within=where.directory, ok=TAR_ENDED_WELL) as stream:
        for entry in split(stream):
            if entry.kind == "z":
                continue
            record = matched(entry, records, reasons)
            yield from join((_watched(specials.linked(entry, record), passed, on_event),))
    reasons |= complaints.of_tar(stream)
    reasons |= {record.path: missing(record) for record in records}
    _demand_nothing_left(reasons)
    yield from join((end_of_archive(),))


def _watched(entry: Entry, passed: Passed, on_event: OnEvent) -> Entry:
    """Return the entry; what must be known of it later is remembered as its body is read."""
    attributes = {key: value for key, value in entry.pax.items() if key.startswith(ATTRIBUTES)}
    traits = Traits(
        relative(entry.path) or b".", entry.kind, entry.major, entry.minor, attributes, b""
    )
    if entry.kind in "gh":
        return entry
    if entry.kind != "f":
        passed.add_traits(traits)
    elif any(key.startswith("GNU.sparse.") for key in entry.pax):
        entry.body = _with_holes(entry, entry.body, traits, passed)
    else:
        if attributes:
            passed.add_traits(traits)
        entry.body = _summed(traits.path, entry.body, passed, on_event)
    return entry


def _summed(
    path: bytes, body: Iterable[Block], passed: Passed, on_event: OnEvent
) -> Iterator[Block]:
    digest, untold = hashlib.sha256(), 0
    for block in body:
        digest.update(block)
        untold += len(block)
        if untold >= _TELL_SIZE:
            on_event(Advanced(untold))
            untold = 0
        yield block
    passed.add_sum(path, digest.hexdigest())
    on_event(Advanced(untold, 1))


def _with_holes(
    entry: Entry, body: Iterator[Block], traits: Traits, passed: Passed
) -> Iterator[Block]:
    """Pass the body on while what it stands for is digested: holes may lie elsewhere on the target.
    A block is valid until the next is asked for, and the digest may ask for several."""
    waiting: deque[bytes] = deque()

    def tapped() -> Iterator[Block]:
        for block in body:
            waiting.append(bytes(block))
            yield block

    entry.body = tapped()
    digest = begun(entry)
    for _ in digested(entry, digest):
        while waiting:
            yield waiting.popleft()
    yield from waiting
    yield from (bytes(block) for block in body)
    passed.add_traits(traits._replace(content=digest.digest()))


def _listing(side: Side, where: Place) -> Iterator[Listed]:
    argv = ["find", where.path, "-xdev", "-printf", listing.FORMAT]
    with side.helper.reading(argv) as stream:
        for record in listing.ordered(stream, directory=Path(tempfile.gettempdir())):
            yield record._replace(path=where.prefix + record.path)


def _demand_unchanged(source: Side, where: Place, spool: Spool) -> str:
    """Raise MigrationFailed where the source is not what it was when it was listed at first."""
    digest = hashlib.sha256()
    before = (each for each in spool.entries() if isinstance(each, Listed))
    for old, new in paired(before, _listing(source, where)):
        if old != new:
            path = (old or new).path if old or new else b""  # type: ignore[union-attr]
            raise MigrationFailed(
                f"{_shown(path)} was changed while it was copied: somebody writes to it",
                hint="stop what else uses it, on the host too",
            )
        digest.update(repr(tuple(new or ())).encode())
    return digest.hexdigest()


def _digest(records: Iterable[Listed]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(repr(tuple(record)).encode())
    return digest.hexdigest()


def _compare_listing(target: Side, where: Place, spool: Spool) -> None:
    argv = ["find", target.path, "-xdev", "-printf", listing.FORMAT]
    with target.helper.reading(argv) as stream:
        seen = listing.ordered(stream, directory=Path(tempfile.gettempdir()))
        if where.prefix:
            seen = (each._replace(path=where.prefix + each.path) for each in seen)
        found = islice(listing.compare(_expected(spool), seen), _SHOWN)
        _refuse(map(sentence, list(found)))


def _expected(spool: Spool) -> Iterator[Expected]:
    """Yield what the target should have: the source's list, hard links by their first names."""
    first: dict[tuple[int, int], bytes] = {}
    for each in spool.entries():
        if not isinstance(each, Listed):
            continue
        group = b""
        if each.nlink > 1 and each.kind != "d":
            group = first.setdefault((each.dev, each.inode), each.path)
        yield Expected(
            *each[:7],
            each.link if each.kind == "l" else b"",
            group,
        )


def _sums(target: Side, passed: Passed, on_event: OnEvent) -> Iterator[str]:
    """Yield which files' checksums on the target are not what was sent."""
    names = target.helper.place("sums", (path + b"\0" for _, path in passed.sums()))
    argv = ["xargs", "--null", "--no-run-if-empty", "--arg-file", names, *_SUMS]
    with target.helper.reading(argv, within=target.within) as stream:
        seen = _split_sums(stream)
        for sent, path in passed.sums():
            if next(seen, None) != (sent, path):
                yield f"{_shown(path)}: its content is not what was sent"
            on_event(Advanced(0, 1))


def _split_sums(blocks: Iterable[Block]) -> Iterator[tuple[bytes, bytes]]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\0")
        for line in lines:
            digest, _, path = line.partition(b"  ")
            yield digest, path


def _traits(target: Side, passed: Passed) -> Iterator[str]:
    """Yield in which attributes, access lists, devices and holey files the target differs."""
    names = (traits.path + b"\0" for traits in passed.traits())
    with archived(target.helper, names, within=target.within) as stream:
        wanted = passed.traits()
        for entry in split(stream):
            if entry.kind == "z":
                continue
            want = next(wanted, None)
            path = relative(entry.path)
            if want is None or relative(want.path) != path:
                yield f"{_shown(path)} cannot be read back"
                return
            yield from attribute_differences(path, want, entry)
            if want.content and content_digest(entry) != want.content:
                yield f"{_shown(path)}: its content is not what was sent"
        if (left := next(wanted, None)) is not None:
            yield f"{_shown(relative(left.path))} cannot be read back"


def _refuse(differences: Iterable[str]) -> None:
    shown = list(differences)
    if shown:
        others = f" (and {len(shown) - 1} differences more)" if len(shown) > 1 else ""
        raise VerificationFailed(
            f"the target is not what the source is: {shown[0]}{others}", differences=shown
        )


def _shown(path: bytes) -> str:
    return printable(path) or "the root directory"
