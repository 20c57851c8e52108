"""Is what lies in a volume what a snapshot says?

A fresh listing of the volume is compared with the manifest: kinds, owners, modes, sizes, times,
link targets, hard-link groups. Contents too, where asked for: the volume is read by tar again and
compared with the snapshot, entry by entry, extended attributes, access lists and the bytes of every
file.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from backup import listing
from backup.capture import archived
from backup.content import content_digest
from backup.engine import Helper
from backup.errors import VerificationFailed
from backup.listing import Difference, Expected, Parents
from backup.members import chosen, selection
from backup.paths import printable, relative, sort_key
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Member, More
from backup.repository.manifest import to_bytes
from backup.survey import Survey
from backup.tar.split import Entry, split

_SHOWN: Final = 20
ATTRIBUTES: Final = ("SCHILY.xattr.", "SCHILY.acl.")


def expected(found: Survey) -> Iterable[Expected]:
    """Return what a listing should show of what a survey chose, in the order of listings."""
    return _captured(found) if found.ordered else _extracted(found)


def _captured(found: Survey) -> Iterator[Expected]:
    """Yield what a capture recorded: it is in order, and a link comes after what it links to."""
    targets = set(found.links.values())
    first: dict[bytes, Expected] = {}
    for record in chosen(found):
        if isinstance(record, More) or record.kind in "gz":
            continue
        path = to_bytes(record.path)
        if record.kind == "h":
            yield first[found.links[path]]._replace(path=path)
            continue
        facts = _facts(record, path)
        if path in targets:
            first[path] = facts = facts._replace(group=path)
        yield facts


def _extracted(found: Survey) -> list[Expected]:
    """Do in memory what tar does on disk: other archives have any order, and names twice."""
    names: dict[bytes, int] = {}
    inodes: list[Expected] = []
    for record in chosen(found):
        if isinstance(record, More) or record.kind in "gz":
            continue
        path = to_bytes(record.path)
        if record.kind == "h":
            names[path] = names[relative(to_bytes(record.link))]
        else:
            names[path] = len(inodes)
            inodes.append(_facts(record, path))
    shared = Counter(names.values())
    group: dict[int, bytes] = {}
    result = []
    for path in sorted(names, key=sort_key):
        inode = names[path]
        first = group.setdefault(inode, path) if shared[inode] > 1 else b""
        result.append(inodes[inode]._replace(path=path, group=first))
    return result


def _facts(member: Member, path: bytes) -> Expected:
    link = to_bytes(member.link) if member.kind == "l" else b""
    return Expected(
        path,
        member.kind,
        member.mode,
        member.uid,
        member.gid,
        member.size,
        member.mtime_ns,
        link,
        b"",
    )


def verify_listing(helper: Helper, path: str, found: Survey) -> None:
    """Compare a volume's listing with the manifest. Raises VerificationFailed naming the paths."""
    wanted = expected(found)
    argv = ["find", path, "-xdev", "-printf", listing.FORMAT]
    with helper.reading(argv) as stream:
        seen = listing.ordered(stream, directory=Path(tempfile.gettempdir()))
        differences = listing.compare(wanted, seen, parents=Parents.IMPLIED)
        shown = [sentence(difference) for difference in islice(differences, _SHOWN)]
    _refuse(shown)


def sentence(difference: Difference) -> str:
    """Return a difference as the operator reads it."""
    path = _name(difference.path)
    if difference.what in ("missing", "extra"):
        return f"{path} is {difference.what}"
    return f"{path}: {difference.what} is {difference.actual}, should be {difference.expected}"


def _name(path: bytes) -> str:
    return printable(path) or "the root directory"


def _refuse(differences: list[str]) -> None:
    if not differences:
        return
    count = f"{len(differences)}{' or more' if len(differences) == _SHOWN else ''}"
    others = f" ({count} differences)" if len(differences) > 1 else ""
    raise VerificationFailed(
        f"read back, the target is not what the snapshot says: {differences[0]}{others}",
        differences=differences,
    )


def verify_contents(helper: Helper, path: str, found: Survey, on_event: OnEvent) -> None:
    """Compare every byte and attribute in a volume with the snapshot. Raises VerificationFailed."""
    source = found.snapshot.source
    on_event(Started("verify", source, found.size, found.entries))
    with archived(helper, _names(found), within=path) as stream:
        wanted = (
            entry
            for ordinal, entry in enumerate(_files(split(selection(found))))
            if ordinal not in found.shadowed
        )
        actual = _files(split(stream))
        differences = islice(_contents(wanted, actual, on_event), _SHOWN)
        shown = list(differences)
    _refuse(shown)
    on_event(Finished("verify", source))


def _names(found: Survey) -> Iterator[bytes]:
    members = (record for record in chosen(found) if isinstance(record, Member))
    files = (member for member in members if member.kind not in "gz")
    for ordinal, member in enumerate(files):
        if ordinal not in found.shadowed:
            yield (to_bytes(member.path) or b".") + b"\0"


def _files(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.kind not in "gz")


def _contents(wanted: Iterator[Entry], actual: Iterator[Entry], on_event: OnEvent) -> Iterator[str]:
    """Yield what differs between two archives of the same members, in the same order."""
    for want in wanted:
        have = next(actual, None)
        path = relative(want.path)
        if have is None or relative(have.path) != path:
            yield f"{_name(path)} cannot be read back"
            return
        yield from attribute_differences(path, want, have)
        is_file = want.kind == have.kind == "f"
        if is_file and content_digest(want) != content_digest(have):
            yield f"{_name(path)}: its content is not what was stored"
        on_event(Advanced(want.size if want.kind == "f" else 0, 1))


class Described(Protocol):
    """What of an entry a listing does not show."""

    @property
    def kind(self) -> str: ...
    @property
    def major(self) -> int: ...
    @property
    def minor(self) -> int: ...
    @property
    def pax(self) -> Mapping[str, bytes]: ...


def attribute_differences(path: bytes, want: Described, have: Described) -> Iterator[str]:
    """Yield differences in what a listing does not show: extended attributes, access lists."""
    if want.kind == have.kind and (want.major, want.minor) != (have.major, have.minor):
        yield f"{_name(path)}: the device number is not what was stored"
    for key in sorted({*want.pax, *have.pax}):
        if key.startswith(ATTRIBUTES) and want.pax.get(key) != have.pax.get(key):
            yield f"{_name(path)}: {printable(key.encode())} is not what was stored"
