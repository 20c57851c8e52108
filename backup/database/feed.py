"""A dump back into a server that runs in a container, proven by another dump of it.

The server must hold nothing of its own. The dump is read through before anything is written. Where
a statement fails, the databases and roles that had been made until then are dropped again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from backup.blocks import Block
from backup.database import mariadb, postgres
from backup.database.contents import Contents, contents
from backup.database.dump import Whole
from backup.database.kind import Kind
from backup.database.server import Before, Server, dialect, reached
from backup.engine import Engine, container
from backup.errors import EngineError, InUse, VerificationFailed
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Extent, Member, More, Repository, Snapshot

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Fed:
    """What was restored, and found again."""

    tables: int
    size: int


def body(repository: Repository, snapshot: Snapshot) -> Iterator[memoryview]:
    """Read a dump as its server wrote it. Raises IntegrityError."""
    return repository.read(list(_extents(repository, snapshot)))


def feed(
    engine: Engine, repository: Repository, snapshot: Snapshot, into: str, on_event: OnEvent
) -> Fed:
    """Restore a dump into the server of a container.

    Raises InUse where it holds something already, EngineError where a statement fails,
    VerificationFailed where another dump differs.
    """
    kind = snapshot.source.rpartition("/")[2]
    server = reached(engine, container(engine, into), dialect(kind))
    _demand_nothing(server, into)
    whole = Whole(server.dialect, snapshot.source)
    size = snapshot.statistics.size
    on_event(Started("check", snapshot.source, size))
    held = contents(whole.checked(_told(body(repository, snapshot), on_event)))
    whole.demand()
    on_event(Started("restore", snapshot.source, size))
    _restore(server, held, _told(body(repository, snapshot), on_event))
    on_event(Started("verify", snapshot.source, size))
    _prove(server, held, on_event)
    on_event(Finished("restore", snapshot.source))
    return Fed(len(held.tables), size)


def _demand_nothing(server: Server, name: str) -> None:
    found = postgres.objects(server) if _is_postgres(server) else mariadb.objects(server)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise InUse(
            f"the {server.dialect.kind.title} in container {name!r} holds {found[0]}{more} "
            "already, and a restore never mixes or overwrites",
            hint="start one with an empty volume and restore into that",
        )


def _restore(server: Server, held: Contents, blocks: Iterator[Block]) -> None:
    way = postgres if _is_postgres(server) else mariadb
    before = way.before(server)
    try:
        way.prepare(server, before, held.databases)
        server.feed(_ended(way.fitted(blocks, before), server.dialect.quit))
    except EngineError as error:
        raise EngineError(f"{error}; {_taken_back(server, before)}", hint=error.hint) from error
    except BaseException as error:
        error.add_note(_taken_back(server, before))
        raise


def _taken_back(server: Server, before: Before) -> str:
    """Drop what was made, however that ends; say what became of it."""
    way = postgres if _is_postgres(server) else mariadb
    try:
        way.take_back(server, before)
    except EngineError as error:
        return f"what had been restored until then is still there: {error}"
    return "the databases that had been made until then were dropped again"


def _ended(blocks: Iterator[Block], end: bytes) -> Iterator[Block]:
    yield from blocks
    yield end


def _is_postgres(server: Server) -> bool:
    return server.dialect.kind is Kind.POSTGRES


def _prove(server: Server, held: Contents, on_event: OnEvent) -> None:
    again = Whole(server.dialect, server.where.name)
    with server.dumping() as output:
        there = contents(_told(again.checked(output), on_event))
    again.demand()
    if found := held.differences(there):
        raise VerificationFailed(
            f"what container {server.where.name!r} holds now is not what was restored: "
            f"{'; '.join(found[:_SHOWN])}",
            differences=found,
        )


def _extents(repository: Repository, snapshot: Snapshot) -> Iterator[Extent]:
    """Yield where the one file of a dump's archive lies."""
    inside = False
    for line in repository.manifest(snapshot):
        if isinstance(line, Member):
            inside = line.kind == "f"
        if inside and isinstance(line, Member | More):
            yield from line.extents


def _told(blocks: Iterable[Block], on_event: OnEvent) -> Iterator[Block]:
    for block in blocks:
        on_event(Advanced(len(block)))
        yield block
