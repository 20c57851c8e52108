"""A look at all of a snapshot before anything is written.

The manifest is read through once: is every entry one that stays within the target, is every chunk
there, what does the selection come to, and which hard links lose the entry that they point to?

Of a capture of which some paths are chosen, only the records of these are looked at: nothing else
will be written. Where one is a hard link to something else, that is needed too, and so is a look at
everything.

The records of a capture are believed here; that a header says the same is seen when it is about to
be written (`demand_agreement`). Those of an imported archive are not: how it spells a name is in
its headers alone, and that is looked at before anything is written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from backup.errors import IntegrityError, UnsafeArchive, UsageError
from backup.paths import ancestors, printable, relative, selected, unsafe
from backup.repository import Extent, Line, Member, More, Note, Repository, Snapshot
from backup.repository.manifest import chunk_of, head_to_bytes, to_bytes, to_text
from backup.repository.reading import REPAIR, Reading
from backup.tar.split import Entry, padding_of, split

_SHOWN: Final = 5
_FEW: Final = 10_000
"""Records and extents that are kept in memory: some megabytes."""
_OVERRIDING: Final = {"path", "linkpath", "size"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a snapshot is wanted: everything, or some paths and all that is below them.

    The directories that lead to a selected path come along, so that owners and modes are right.
    """

    patterns: tuple[bytes, ...] = ()
    _leading: frozenset[bytes] = field(default_factory=frozenset)

    @classmethod
    def of(cls, paths: Sequence[bytes]) -> "Selection":
        """Return the selection of these paths, as an operator writes them ("/etc/", "./etc")."""
        patterns = tuple(relative(path) for path in paths)
        if b"" in patterns:
            return cls()
        return cls(patterns, frozenset(a for path in patterns for a in ancestors(path)))

    def wants(self, path: bytes) -> bool:
        """Return whether `path` is selected, or below something that is."""
        return selected(path, self.patterns)

    def leads(self, path: bytes) -> bool:
        """Return whether `path` is a directory on the way to something selected."""
        return path in self._leading


@dataclass(frozen=True, slots=True)
class Survey:
    """A snapshot, or a selection of it, that was looked at.

    `size` is what its files will have, in bytes, and `held` that without holes. `links` are all
    hard links and what they lead to. `moved` gives, for each target of a link that is not selected
    itself, the first selected link: it becomes the file. `shadowed` holds the ordinals of members
    that a later member of the same name replaces. `few` are all records that are needed, where they
    are few.
    """

    repository: Repository
    snapshot: Snapshot
    selection: Selection
    entries: int
    size: int
    links: Mapping[bytes, bytes]
    moved: Mapping[bytes, bytes]
    shadowed: frozenset[int]
    few: Sequence[Member | More] | None
    held: int

    @property
    def ordered(self) -> bool:
        """Whether each directory comes right before all that is in it, and links after files.

        A capture is so; a file that takes the place of a link of its comes where it was itself.
        """
        return not self.snapshot.imported and not self.moved

    def records(self) -> Iterator[Line]:
        """Return the records of the manifest, but for most of those that were not chosen."""
        if self.few is not None:
            return iter(self.few)
        paths = () if self.moved else _narrowed(self.snapshot, self.selection)
        return self.repository.manifest(self.snapshot, paths)


class _View:
    """What one pass over a manifest collects."""

    def __init__(self, selection: Selection, snapshot: Snapshot) -> None:
        self._selection = selection
        self._imported = snapshot.imported
        self._matched: set[bytes] = set()
        self._entries = 0
        self._size = self._held = 0
        self._lacking: dict[bytes, str] = {}
        self._links: dict[bytes, bytes] = {}
        self.moved: dict[bytes, bytes] = {}
        self._last: dict[bytes, int] = {}
        self._shadowed: set[int] = set()
        self._ordinal = -1
        self._few: list[Member | More] | None = []
        self._pieces = 0

    def remember(self, record: Member | More) -> None:
        """Keep a record, so that the manifest need not be read again where there are few."""
        if self._few is None:
            return
        self._few.append(record)
        self._pieces += 1 + len(record.extents)
        if self._pieces > _FEW:
            self._few = None

    def take(self, member: Member) -> None:
        if member.kind in "gz":
            return
        self._ordinal += 1
        path = to_bytes(member.path)
        if self._imported:
            # only archives made elsewhere hold a name twice
            earlier = self._last.get(path)
            if earlier is not None:
                self._shadowed.add(earlier)
            self._last[path] = self._ordinal
        wanted = self._selection.wants(path)
        if member.kind == "h":
            self._take_link(member, path, wanted=wanted)
        if not wanted:
            return
        self._entries += 1
        self._size += member.size if member.kind == "f" else 0
        self._held += member.body_size
        if self._selection.patterns:
            self._matched.update(p for p in self._selection.patterns if selected(path, (p,)))

    def _take_link(self, member: Member, path: bytes, *, wanted: bool) -> None:
        target = relative(to_bytes(member.link))
        target = self._links.get(target, target)  # what a link to a link links to
        self._links[path] = target
        if wanted and not self._selection.wants(target):
            self.moved.setdefault(target, path)

    def lack(self, member: Member, chunk: str, reading: Reading) -> None:
        """Take note that a member's body cannot be read. Raises IntegrityError if it is wanted."""
        path = to_bytes(member.path)
        if member.kind != "z" and self._selection.wants(path):
            raise incomplete(path, reading.lacks(chunk))
        self._lacking.setdefault(path, chunk)

    def survey(self, repository: Repository, snapshot: Snapshot) -> Survey:
        unmatched = [p for p in self._selection.patterns if p not in self._matched]
        if unmatched:
            raise UsageError(
                f"the snapshot holds no {printable(unmatched[0])}",
                hint="`voltar ls SNAPSHOT` shows what it holds",
            )
        for target in self.moved:
            if target in self._lacking:
                raise incomplete(target, repository.readings.current().lacks(self._lacking[target]))
        if self._shadowed and self._selection.patterns:
            raise UsageError(
                "the archive that was imported holds a name twice, so no part of it can be chosen",
                hint="restore all of it, and take from there what you need",
            )
        return Survey(
            repository,
            snapshot,
            self._selection,
            self._entries,
            self._size,
            self._links,
            self.moved,
            frozenset(self._shadowed),
            self._few,
            self._held,
        )


def survey(repository: Repository, snapshot: Snapshot, selection: Selection) -> Survey:
    """Read a manifest through. Nothing is written before this has returned.

    Raises UnsafeArchive, IntegrityError (chunks or packs are missing), UsageError (nothing chosen).
    """
    paths = _narrowed(snapshot, selection)
    view, refused = _looked(repository, snapshot, selection, paths)
    if paths and view.moved:
        view, refused = _looked(repository, snapshot, selection, ())
    if refused:
        shown = "; ".join(f"{printable(name)}: {why}" for name, why in refused[:_SHOWN])
        more = "; and more" if len(refused) > _SHOWN else ""
        raise UnsafeArchive(
            f"entries would leave the target, so nothing was written: {shown}{more}"
        )
    return view.survey(repository, snapshot)


def _narrowed(snapshot: Snapshot, selection: Selection) -> tuple[bytes, ...]:
    """Return the paths whose records are enough, or nothing where all records are needed.

    An archive that was imported may tell of a path in any order, twice, and by other names.
    """
    return () if snapshot.imported else selection.patterns


def _looked(
    repository: Repository, snapshot: Snapshot, selection: Selection, paths: Sequence[bytes]
) -> tuple[_View, list[tuple[bytes, str]]]:
    """Read a manifest, or what it tells of some paths; return also what is to be refused."""
    view = _View(selection, snapshot)
    watched = _watched(
        repository, repository.manifest(snapshot, paths), view, imported=snapshot.imported
    )
    return view, list(islice(unsafe(watched), _SHOWN + 1))


def _watched(
    repository: Repository, records: Iterable[Line], view: _View, *, imported: bool
) -> Iterator[tuple[bytes, str, bytes]]:
    """Yield every member for the safety check, and see on the way that it is all there."""
    member: Member | None = None
    missing = 0
    for line in records:
        if isinstance(line, Note):
            continue
        view.remember(line)
        if isinstance(line, Member):
            _demand_whole(member, missing)
            member, missing = line, line.body_size
            view.take(line)
            if line.kind != "z":
                yield _acting(line, imported=imported)
        if member is None:
            raise IntegrityError("a manifest begins in the middle of a member")
        missing -= _see_extents(repository, line.extents, member, view)
    _demand_whole(member, missing)


def _acting(member: Member, *, imported: bool) -> tuple[bytes, str, bytes]:
    """Return what tar will do about a member: the name, the kind, the link."""
    if not imported and member.kind != "g":
        return to_bytes(member.path) or b".", member.kind, to_bytes(member.link)
    entry = _decoded(member, head_to_bytes(member.head))
    if entry.kind == "g":
        refuse_overriding(entry)
    return entry.path, entry.kind, entry.link


def _see_extents(
    repository: Repository, extents: Sequence[Extent], member: Member, view: _View
) -> int:
    """Tell the view which chunks are lacking; return how many bytes the extents have."""
    for extent in extents:
        if extent.length < 0:
            raise IntegrityError(f"a piece of {_shown(member)} has less than no bytes")
        if repository.readings.find(chunk_of(extent)) is None:
            view.lack(member, extent.chunk, repository.readings.current())
    return sum(extent.length for extent in extents)


def _demand_whole(member: Member | None, missing: int) -> None:
    """Raise IntegrityError unless a member's body is as long as its header says.

    What is longer would be members that nobody has checked, by the time tar sees it.
    """
    if member is None:
        return
    padding = len(member.padding)
    fits = member.kind == "z" or padding in (0, padding_of(member.body_size))
    if missing or not fits:
        raise IntegrityError(f"the body of {_shown(member)} is not as long as its header says")


def _shown(member: Member) -> str:
    return printable(to_bytes(member.path)) or "the root directory"


def demand_agreement(member: Member, head: bytes) -> None:
    """Raise IntegrityError unless a captured member's header says what its record says.

    The record is what was checked and is shown; the header is what tar acts on.
    """
    entry = _decoded(member, head)
    if not entry.path or entry.path.startswith(b"/"):
        raise _contradiction(member)


def _decoded(member: Member, head: bytes) -> Entry:
    """Return what tar will make of a member's header, which must be what the record says."""
    entry = next(split((head,)))
    said = (member.kind, member.path, member.link, member.body_size)
    if said != (entry.kind, to_text(relative(entry.path)), to_text(entry.link), entry.body_size):
        raise _contradiction(member)
    if len(entry.head) != len(head):  # another header, which nobody has looked at
        raise _contradiction(member)
    return entry


def _contradiction(member: Member) -> IntegrityError:
    return IntegrityError(f"the record of {_shown(member)} contradicts its tar header")


def refuse_overriding(entry: Entry) -> None:
    """Raise UnsafeArchive for a global header that changes which files later entries are.

    No tar program writes one; whoever does wants readers to disagree.
    """
    for key in entry.pax:
        if key in _OVERRIDING or key.startswith("GNU.sparse"):
            raise UnsafeArchive(f"a global header of the archive sets {key!r} for all files")


def incomplete(path: bytes, error: IntegrityError) -> IntegrityError:
    """Return the error for a file that cannot be had, from the one for a chunk of it."""
    hint = "`voltar check` says what else is damaged; what is not can be restored by naming it"
    return IntegrityError(
        f"{printable(path) or 'the end of the archive'} cannot be read: {error}",
        hint=error.hint if error.hint == REPAIR else hint,
    )
