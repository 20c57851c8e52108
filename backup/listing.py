r"""Everything in a volume as GNU find lists it, in order, and compared with what should be there.

    find . -printf '%y %m %U %G %s %T@ %C@ %i %n %D %P\0%l\0'
    f 644 0 0 5 1700000000.1234567890 1700000000.1234567890 131 1 65024 etc/passwd\0LINK\0

A listing is as large as the volume has files, so nothing here holds one: `parse` streams, `ordered`
sorts on disk, and `compare` walks two ordered sequences side by side.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import starmap
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from backup.blocks import Blocks
from backup.errors import BackupError
from backup.external_sort import externally_sorted
from backup.paths import printable, selected, sort_key

FORMAT = r"%y %m %U %G %s %T@ %C@ %i %n %D %P\0%l\0"
"""What to give to `find -printf`."""

_NANO = 1_000_000_000
_KINDS = {letter.encode(): letter for letter in "fdlcbps"}
KIND_NAMES = {
    "f": "file",
    "d": "directory",
    "l": "symbolic link",
    "c": "character device",
    "b": "block device",
    "p": "fifo",
    "s": "socket",
}
_PATH = 10
"""Which of the fields that blanks divide is the path, and may hold blanks itself."""
_MAX_RECORD = 1 << 16

_Printed: TypeAlias = tuple[bytes, bytes]
"""What find printed of a record before its first zero, and between that and the second."""


class MalformedListing(BackupError):
    """The output of find is cut short, or is not in the format that was asked for."""


class Listed(NamedTuple):
    """One record of a listing. Kinds are find's: f d l c b p, and s for a socket."""

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    nlink: int
    dev: int
    link: bytes


def parse(blocks: Blocks) -> Iterator[Listed]:
    """Decode find's output; raises MalformedListing, also where it ends inside of a record."""
    return starmap(_record, _printed(blocks))


def _printed(blocks: Blocks) -> Iterator[_Printed]:
    """Divide find's output into records, each still as it was printed."""
    rest = b""
    for block in blocks:
        strings = (rest + block).split(b"\0")
        rest = strings.pop()
        if len(strings) % 2:
            rest = strings.pop() + b"\0" + rest
        yield from zip(strings[::2], strings[1::2], strict=True)
        if len(rest) > _MAX_RECORD:
            raise MalformedListing("the listing has a record without end")
    if rest:
        raise MalformedListing(f"the listing ends inside of a record: {printable(rest[-100:])}")


def _record(head: bytes, link: bytes) -> Listed:
    try:
        kind, mode, uid, gid, size, mtime, ctime, inode, nlink, dev, path = head.split(b" ", _PATH)
        return Listed(
            path,
            _KINDS[kind],
            int(mode, 8),
            int(uid),
            int(gid),
            int(size),
            _time(mtime),
            _time(ctime),
            int(inode),
            int(nlink),
            int(dev),
            link,
        )
    except (ValueError, KeyError):
        raise _malformed(head) from None


def _malformed(head: bytes) -> MalformedListing:
    return MalformedListing(f"not a record of a listing: {printable(head[:200])}")


def _time(text: bytes) -> int:
    # find prints the two parts of a timespec, so -1.5 is half a second *after* -1
    if text[-11:-10] != b".":
        raise ValueError(text)
    return int(text[:-11]) * _NANO + int(text[-10:-1])


def ordered(blocks: Blocks, *, directory: Path, run: int = 150_000) -> Iterator[Listed]:
    """Decode find's output and sort it by `paths.sort_key`.

    About `run` records are in memory, more go to `directory`. They are sorted as they were printed:
    decoded, a record takes three times the memory. Raises MalformedListing as `parse` does.
    """
    printed = externally_sorted(
        _printed(blocks), key=_key, make=_unchanged, directory=directory, run=run
    )
    return starmap(_record, printed)


def _key(printed: _Printed) -> bytes:
    head, _ = printed
    try:
        return sort_key(head.split(b" ", _PATH)[_PATH])
    except IndexError:
        raise _malformed(head) from None


def _unchanged(printed: _Printed) -> _Printed:
    return printed


class Expected(NamedTuple):
    """What should be at a path.

    `group` is the first path of its hard-link group, b"" where it has no other name.
    """

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    group: bytes


class Parents(Enum):
    """Whether a directory may be there that is not expected, but that something expected is in.

    Archives of other programs often have no entries for directories.
    """

    LISTED = "only what is expected"
    IMPLIED = "ancestors of what is expected, too"


class Difference(NamedTuple):
    """One property in which what is there is not what should be there.

    what: missing, extra, kind, mode, uid, gid, size, mtime, link, or hard links.
    """

    path: bytes
    what: str
    expected: str
    actual: str

    def __str__(self) -> str:
        name = printable(self.path) or "/"
        if self.what in ("missing", "extra"):
            return f"{name}: {self.what} {self.expected or self.actual}"
        return f"{name}: {self.what} should be {self.expected}, is {self.actual}"


def compare(
    expected: Iterable[Expected],
    actual: Iterable[Listed],
    *,
    skip: Sequence[bytes] = (),
    parents: Parents = Parents.LISTED,
) -> Iterator[Difference]:
    """Yield every difference; both sides are ordered by `paths.sort_key`.

    Paths in `skip`, and what is below them, do not count. Not compared: sizes of anything but
    files, modes of symbolic links, device numbers, ctime. tar stores no sockets, so one that is on
    one side only is no difference.
    """
    groups = _Groups()
    pairs = (
        paired(expected, actual)
        if parents is Parents.LISTED
        else paired(expected, actual, passed_over=_implied)
    )
    for want, have in pairs:
        if want and not _skipped(want.path, want.kind if not have else "", skip):
            yield from _differences(want, have, groups)
        elif have and not want and not _skipped(have.path, have.kind, skip):
            yield Difference(have.path, "extra", "", KIND_NAMES[have.kind])


def _skipped(path: bytes, alone: str, skip: Sequence[bytes]) -> bool:
    return alone == "s" or (bool(skip) and selected(path, skip))


class _Named(Protocol):
    @property
    def path(self) -> bytes: ...


_L = TypeVar("_L", bound=_Named)
_R = TypeVar("_R", bound=_Named)


def paired(
    lefts: Iterable[_L],
    rights: Iterable[_R],
    *,
    passed_over: Callable[[_R, _L | None], bool] = lambda _right, _following: False,
) -> Iterator[tuple[_L | None, _R | None]]:
    """Walk two sequences that are ordered by `paths.sort_key`; yield what has the same path as one.

    What is on one side only comes with None. Of what is on the right only, `passed_over` may say,
    from it and what follows on the left, that it is not to be yielded.
    """
    ones, others = iter(lefts), iter(rights)
    left, right = next(ones, None), next(others, None)
    while left is not None or right is not None:
        if left is not None and right is not None and left.path == right.path:
            yield left, right
            left, right = next(ones, None), next(others, None)
        elif right is None or (left is not None and sort_key(left.path) < sort_key(right.path)):
            yield left, None
            left = next(ones, None)
        else:
            if not passed_over(right, left):
                yield None, right
            right = next(others, None)


def _implied(have: Listed, following: Expected | None) -> bool:
    """Tell whether a directory must be there for what is expected next, or is the root."""
    if have.kind != "d":
        return False
    return not have.path or bool(following and following.path.startswith(have.path + b"/"))


def _differences(want: Expected, have: Listed | None, groups: "_Groups") -> Iterator[Difference]:
    if not have:
        yield Difference(want.path, "missing", KIND_NAMES[want.kind], "")
        return
    if want.kind != have.kind:
        yield Difference(want.path, "kind", KIND_NAMES[want.kind], KIND_NAMES[have.kind])
        return
    wanted, found = _numbers(want), _numbers(have)
    if wanted != found:
        for (what, shown), one, other in zip(_NUMBERS, wanted, found, strict=True):
            if one != other:
                yield Difference(want.path, what, shown(one), shown(other))
    if want.link != have.link:
        yield Difference(want.path, "link", printable(want.link), printable(have.link))
    if want.kind != "d" and (want.group or have.nlink > 1):
        yield from groups.differences(want, have)


def _numbers(record: Expected | Listed) -> tuple[int, int, int, int, int]:
    """Give what is compared, in the order of _NUMBERS; 0 for what does not count."""
    return (
        0 if record.kind == "l" else record.mode,
        record.uid,
        record.gid,
        record.size if record.kind == "f" else 0,
        record.mtime_ns,
    )


class _Groups:
    """Which inode stands for which hard-link group: one for one, or the links are wrong."""

    def __init__(self) -> None:
        self._inode: dict[bytes, tuple[int, int]] = {}
        self._group: dict[tuple[int, int], bytes] = {}

    def differences(self, want: Expected, have: Listed) -> Iterator[Difference]:
        group, inode = want.group or want.path, (have.dev, have.inode)
        there = self._group.setdefault(inode, group)
        if self._inode.setdefault(group, inode) != inode:
            yield Difference(
                want.path, "hard links", f"linked to {printable(group)}", "not linked to it"
            )
        if there != group:
            yield Difference(
                want.path, "hard links", "not linked to it", f"linked to {printable(there)}"
            )


def _octal(mode: int) -> str:
    return f"{mode:04o}"


def _seconds(ns: int) -> str:
    sign = "-" if ns < 0 else ""
    return f"{sign}{abs(ns) // _NANO}.{abs(ns) % _NANO:09d}"


_NUMBERS: tuple[tuple[str, Callable[[int], str]], ...] = (
    ("mode", _octal),
    ("uid", str),
    ("gid", str),
    ("size", str),
    ("mtime", _seconds),
)
