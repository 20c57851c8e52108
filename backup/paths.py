r"""Paths inside a volume: how they are written, ordered, shown, selected, and refused.

A path is bytes, relative to the root of the volume, without "./" in front and without "/" at the
end; the root itself is b"". Names are bytes because a file system keeps any byte but NUL and "/".

    relative(b"./a//b/")    b"a/b"
    sort_key(b"a/b")        b"a\0b"     so a directory comes directly before what is in it
    printable(b"a\x1b[2J")  "a\\x1b[2J"

`unsafe` reads the members of an archive as `tar -x` would act on them and names every one that
could write outside of the directory that the archive is extracted into. It refuses on suspicion: a
name that was a symbolic link once is treated as one for the rest of the archive. Device nodes are
not its business.
"""

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Member: TypeAlias = tuple[bytes, str, bytes]
"""(raw name, kind as in tar.entry.Entry.kind, raw link target)"""

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
_NORMAL = re.compile(rb"[^/.\0][^/\0]*(?:/[^/.\0][^/\0]*)*").fullmatch


def relative(raw: bytes) -> bytes:
    """Normalise a member name; ".." stays visible, and so nothing is resolved."""
    trimmed = raw.removeprefix(b"./").removesuffix(b"/")
    if _NORMAL(trimmed):
        return trimmed
    return b"/".join([part for part in raw.split(b"/") if part not in (b"", b".")])


def sort_key(path: bytes) -> bytes:
    """Give the key that listings and manifests are ordered by: "/" comes before other bytes."""
    return path.replace(b"/", b"\0")


def ancestors(path: bytes) -> tuple[bytes, ...]:
    """Give the directories that `path` is in, the root b"" first; none for the root."""
    if not path:
        return ()
    parts = path.split(b"/")
    return tuple(b"/".join(parts[:depth]) for depth in range(len(parts)))


def selected(path: bytes, patterns: Sequence[bytes]) -> bool:
    """Tell whether `path` is one of `patterns`, or below one.

    Patterns are paths as `relative` gives them. b"" selects everything, and so do no patterns.
    """
    if not patterns:
        return True
    return any(not p or path == p or path.startswith(p + b"/") for p in patterns)


def printable(path: bytes) -> str:
    r"""Show a path on a terminal or in a log: one line, nothing invisible, nothing that acts.

    Control and format characters (escape sequences, bidirectional overrides, zero-width ones),
    invalid UTF-8 and unassigned characters become \n, \r, \t or one \xNN for each byte; a backslash
    becomes two. Undoing the escapes gives the bytes back.
    """
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    raw = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def unsafe(members: Iterable[Member]) -> Iterator[tuple[bytes, str]]:
    """Yield (raw name, reason) for every member of an archive that could leave the target.

    Members come in the order of the archive. Memory: 8 bytes for each that is not a directory.
    """
    archive = _Archive()
    for name, kind, link in members:
        if kind in ("g", "z"):
            continue
        reason = archive.add(name, kind, link)
        if reason:
            yield name, reason


class _Archive:
    """What the members seen so far would have made of an empty directory."""

    def __init__(self) -> None:
        self._names = _Names()
        self._symlinks = _Names()
        self._clean_parent = b""

    def add(self, name: bytes, kind: str, link: bytes) -> str | None:
        """Take in one member; give the reason to refuse it, if there is one."""
        path = relative(name)
        reason = _name_fault(name, path, kind) or self._place_fault(path, kind)
        if kind == "h":
            reason = reason or self._target_fault(link)
        if kind == "l" or (kind == "h" and relative(link) in self._symlinks):
            self._symlinks.add(path)
            self._clean_parent = b""
        if kind != "d":
            self._names.add(path)
        return reason

    def _place_fault(self, path: bytes, kind: str) -> str | None:
        if self._below_symlink(path):
            return "lies below a symbolic link of the same archive"
        if kind == "d" and path in self._symlinks:
            return "is a directory in the place of a symbolic link of the same archive"
        return None

    def _target_fault(self, link: bytes) -> str | None:
        target = relative(link)
        fault = _spelling_fault(link, target)
        if fault:
            return f"is a hard link whose target {fault}"
        if self._below_symlink(target):
            return "is a hard link whose target lies below a symbolic link of the same archive"
        if target not in self._names:
            return "is a hard link to something that is not in the archive before it"
        return None

    def _below_symlink(self, path: bytes) -> bool:
        parent = path.rpartition(b"/")[0]
        if parent == self._clean_parent:
            return False
        while parent:
            if parent in self._symlinks:
                return True
            parent = parent.rpartition(b"/")[0]
        self._clean_parent = path.rpartition(b"/")[0]
        return False


def _name_fault(name: bytes, path: bytes, kind: str) -> str | None:
    if not name:
        return "has an empty name"
    return _spelling_fault(name, path) or (
        None if path or kind == "d" else "would replace the root directory"
    )


def _spelling_fault(raw: bytes, path: bytes) -> str | None:
    if raw.startswith(b"/"):
        return "is absolute"
    if b".." in path and b".." in path.split(b"/"):
        return 'has a ".." component'
    return None


class _Names:
    """A set of names that only grows, kept as 64-bit hashes: 8 bytes a name, however many it has.

    Two names with one hash (one pair in 2**64, and the hash is keyed anew in every process) can
    only add a refusal, or hide that a hard link's target is missing, which tar then reports by
    itself.
    """

    _RUN = 1 << 16

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._runs: list[array[int]] = []

    def add(self, name: bytes) -> None:
        self._recent.add(hash(name))
        if len(self._recent) >= self._RUN:
            self._runs.append(array("q", sorted(self._recent)))
            self._recent.clear()

    def __contains__(self, name: bytes) -> bool:
        wanted = hash(name)
        if wanted in self._recent or not self._runs:
            return wanted in self._recent
        return any(_holds(run, wanted) for run in self._runs)


def _holds(run: "array[int]", wanted: int) -> bool:
    place = bisect_left(run, wanted)
    return place < len(run) and run[place] == wanted
