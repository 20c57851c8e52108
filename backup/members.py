"""The members of a stored snapshot, chosen and put together again as a tar stream.

A manifest is read in passes and never held: `chosen` picks what a survey found to be wanted, and
`items` turns records into the literals and extents of a tar stream, which the repository reads.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from backup.errors import IntegrityError
from backup.repository import Extent, Member, More, Note, Repository, Snapshot
from backup.repository.manifest import head_to_bytes, head_to_text, to_bytes, to_text
from backup.survey import Survey, demand_agreement, incomplete
from backup.tar.build import END_SIZE, renamed
from backup.tar.split import padding_of

_END: Final = bytes(END_SIZE)
_LITERAL: Final = 64 << 10
"""How many bytes of headers are put together, at least, where no body comes between."""


def chosen(found: Survey) -> Iterator[Member | More]:
    """Yield the records of a selection, links to unselected files made into the files."""
    taken = False
    for line in found.records():
        if isinstance(line, More):
            if taken:
                yield line
        elif isinstance(line, Member):
            member = _chosen(line, found)
            taken = member is not None
            if member is not None:
                yield member


def items(
    records: Iterable[Member | More], look: Callable[[Member, bytes], None] | None = None
) -> Iterator[bytes | Extent]:
    """Yield the tar stream of records, as literals and extents.

    `look` is shown each member with its header, before that is in anything that was yielded.
    """
    literal = bytearray()
    rest = b""
    for record in records:
        if isinstance(record, Member):
            head = head_to_bytes(record.head)
            if look is not None and record.kind not in "gz":
                look(record, head)
            literal += rest + head
            rest = to_bytes(record.padding)
            if not rest and record.kind != "z":
                rest = bytes(padding_of(record.body_size))
        if record.extents or len(literal) >= _LITERAL:
            yield bytes(literal)
            literal.clear()
            yield from record.extents
    yield bytes(literal + rest)


def archive(repository: Repository, snapshot: Snapshot) -> Iterator[memoryview]:
    """Yield a snapshot as a tar stream, byte for byte as it was captured or imported."""
    lines = (line for line in repository.manifest(snapshot) if not isinstance(line, Note))
    return _naming(repository, snapshot, repository.read(items(lines)))


def selection(found: Survey) -> Iterator[memoryview]:
    """Yield what a survey chose as a tar stream.

    Raises IntegrityError where a header would have tar do what was not surveyed, before that.
    """
    look = None if found.snapshot.imported else demand_agreement
    blocks = found.repository.read(_closed(items(chosen(found), look)))
    return _naming(found.repository, found.snapshot, blocks)


def _naming(
    repository: Repository, snapshot: Snapshot, blocks: Iterator[memoryview]
) -> Iterator[memoryview]:
    """Pass blocks on; where a chunk is damaged, say which file needs it."""
    try:
        yield from blocks
    except IntegrityError as error:
        path = b""
        for line in repository.manifest(snapshot) if error.chunk else ():
            if isinstance(line, Note):
                continue
            path = to_bytes(line.path) if isinstance(line, Member) else path
            if any(extent.chunk == error.chunk for extent in line.extents):
                raise incomplete(path, error) from error
        raise


def _closed(parts: Iterable[bytes | Extent]) -> Iterator[bytes | Extent]:
    yield from parts
    yield _END


def _chosen(member: Member, found: Survey) -> Member | None:
    if member.kind == "g":
        return member
    if member.kind == "z":
        return None
    path = to_bytes(member.path)
    if path in found.moved:
        return _renamed(member, found.moved[path])
    if found.selection.wants(path):
        return _relinked(member, found) if member.kind == "h" else member
    return member if member.kind == "d" and found.selection.leads(path) else None


def _relinked(member: Member, found: Survey) -> Member | None:
    path = to_bytes(member.path)
    new_target = found.moved.get(found.links[path])
    if new_target is None:
        return member
    if new_target == path:
        return None  # it has become the file itself
    head = renamed(head_to_bytes(member.head), link=new_target)
    return _with_head(member, head, link=new_target)


def _renamed(member: Member, path: bytes) -> Member:
    return _with_head(member, renamed(head_to_bytes(member.head), path=path), path=path)


def _with_head(
    member: Member, head: bytes, *, path: bytes | None = None, link: bytes | None = None
) -> Member:
    changed = msgspec.structs.replace(member, head=head_to_text(head))
    if path is not None:
        changed = msgspec.structs.replace(changed, path=to_text(path))
    if link is not None:
        changed = msgspec.structs.replace(changed, link=to_text(link))
    return changed
