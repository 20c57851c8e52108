r"""What find and tar say of single files, by path.

    find: '/data/sub\tdir': Permission denied
    tar: sub\tdir/file: file changed as we read it

Both run in the C locale, where what is no printable ASCII comes as an escape.
"""

import re
from typing import Final

from backup.engine import Stream
from backup.paths import relative

_OF_TAR: Final = re.compile(r"(?:\S*/)?tar: (?P<path>(?:\\.|[^\\:])+): (?P<text>.+)")
_OF_FIND: Final = re.compile(r"(?:\S*/)?find: (?:'(?P<path>(?:\\.|[^\\'])*)': )?(?P<text>.+)")
_ESCAPED: Final = re.compile(r"\\([0-7]{3}|.)")
_SHORT: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_VANISHED: Final = "No such file or directory"


def of_tar(stream: Stream) -> dict[bytes, str]:
    """Return what tar complained of, when its archive is at the end: --quoting-style=escape.

    That it leaves sockets out is no complaint.
    """
    found = _dropped(stream, "tar")
    for line in stream.stderr.splitlines():
        said = _OF_TAR.match(line)
        if said and "socket ignored" not in line:
            text = said["text"].removeprefix("Warning: ")
            found[relative(_unquoted(said["path"]))] = f"tar: {text}"
    return found


def of_find(stream: Stream, start: str) -> dict[bytes, str]:
    """Return what find, which began at `start`, could not look at, when its list is at the end.

    What vanished while it looked is no complaint: a moment later nobody would have seen it at all.
    A complaint that names no path is one of the root.
    """
    found = _dropped(stream, "find")
    prefix = start.encode("utf-8", "surrogateescape")
    for line in stream.stderr.splitlines():
        said = _OF_FIND.match(line)
        if said and said["text"] != _VANISHED:
            path = _unquoted(said["path"] or "").removeprefix(prefix)
            found[relative(path)] = f"find: {said['text']}"
    return found


def _dropped(stream: Stream, name: str) -> dict[bytes, str]:
    if not stream.dropped:
        return {}
    return {b"": f"{name} complained of more than could be kept: {stream.dropped} lines are lost"}


def _unquoted(name: str) -> bytes:
    plain = _ESCAPED.sub(lambda escape: _character(escape[1]), name)
    return plain.encode("latin-1", "replace")


def _character(escape: str) -> str:
    return chr(int(escape, 8)) if escape.isdigit() else _SHORT.get(escape, escape)
