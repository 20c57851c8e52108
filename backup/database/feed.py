"""A dump back into a server that runs in a container, proven by another dump of it.

The server must hold nothing of its own. The dump is read through before anything is written. Until
what was restored is proven the server bears a mark which says what was there, and whoever restores
keeps the password. A restore that fails is taken back; one that was killed is refused by the next
one, and taken back if that is asked to start over.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from backup.blocks import Block
from backup.database.contents import contents
from backup.database.dialect import Dialect
from backup.database.dump import Whole
from backup.database.server import Server, dialect, reached
from backup.database.way import demand_unmarked, way_of
from backup.engine import Container, Engine, container
from backup.errors import EngineError, InUse, VerificationFailed
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import Extent, Member, More, Repository, Snapshot
from backup.restore import uninterrupted

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Into:
    """The container of a server; `starting_over` takes back first what a killed restore left."""

    container: str
    starting_over: bool = False


@dataclass(frozen=True, slots=True)
class Fed:
    """What was restored, and found again; `doubt` is what is to be known besides."""

    tables: int
    size: int
    doubt: str = ""


def body(repository: Repository, snapshot: Snapshot) -> Iterator[memoryview]:
    """Read a dump as its server wrote it. Raises IntegrityError."""
    return repository.read(list(_extents(repository, snapshot)))


def feed(
    engine: Engine,
    repository: Repository,
    snapshot: Snapshot,
    into: Into,
    on_event: OnEvent,
) -> Fed:
    """Restore a dump into the server of a container.

    Raises InUse where it holds something already, EngineError where a statement fails,
    VerificationFailed where another dump differs; then it is as it was.
    """
    found = container(engine, into.container)
    speech = dialect(snapshot.source.rpartition("/")[2])
    server = reached(engine, found, speech)
    _demand_nothing(server, into)
    whole = Whole(server.dialect, snapshot.source)
    size = snapshot.statistics.size

    def read() -> Iterator[Block]:
        return _told(body(repository, snapshot), on_event)

    on_event(Started("check", snapshot.source, size))
    held = contents(whole.checked(read()))
    whole.demand()
    with _taken_back(server, _named(held.databases)) as state:
        on_event(Started("restore", snapshot.source, size))
        way_of(server).fill(server, state, read)
        on_event(Started("verify", snapshot.source, size))
        _prove(server, state, read, on_event)
        way_of(server).finish(server, state)
    on_event(Finished("restore", snapshot.source))
    return Fed(len(held.tables), size, _doubt(engine, found, speech))


def _demand_nothing(server: Server, into: Into) -> None:
    if not into.starting_over:
        demand_unmarked(server)
    elif (state := way_of(server).marked(server)) is not None:
        way_of(server).take_back(server, state)
        if way_of(server).proven(state):
            raise InUse(
                f"the {server.dialect.kind.title} in container {into.container!r} holds all of a "
                "dump: the restore that was killed had proven it, and what it had put aside is "
                "dropped now"
            )
    if found := way_of(server).objects(server):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise InUse(
            f"the {server.dialect.kind.title} in container {into.container!r} holds {found[0]}"
            f"{more} already, and a restore never mixes or overwrites",
            hint="start one with an empty volume and restore into that",
        )


def _named(databases: Iterable[bytes]) -> list[str]:
    try:
        return [name.decode() for name in databases]
    except UnicodeDecodeError as error:
        raise EngineError(
            f"cannot feed back a dump with a database whose name is not in UTF-8: {error.object!r}",
            hint="`voltar restore … --to -` gives the SQL",
        ) from error


@contextmanager
def _taken_back(server: Server, wanted: Iterable[str]) -> Iterator[Any]:
    """What was there, for as long as a restore goes on; one that fails is taken back."""
    way = way_of(server)
    state = way.begin(server, wanted)  # what fails here may be another one's mark, which stays
    try:
        way.put_aside(server, state)
        yield state
    except EngineError as error:
        raise EngineError(f"{error}; {_became(server)}", hint=error.hint) from error
    except BaseException as error:
        error.add_note(_became(server))
        raise


def _became(server: Server) -> str:
    """Take back what was made, however that ends; say what became of it."""
    way = way_of(server)
    try:
        with uninterrupted():
            if (state := way.marked(server)) is not None:
                way.take_back(server, state)
                if way.proven(state):
                    return "yet what was restored is there, and had been proven"
    except EngineError as error:
        return (
            f"what had been restored until then is still there: {error}; when it can be asked "
            "again, `voltar restore … --start-over` takes it back first"
        )
    return "the server is as it was before"


def _prove(
    server: Server, state: Any, read: Callable[[], Iterator[Block]], on_event: OnEvent
) -> None:
    way, again = way_of(server), Whole(server.dialect, server.where.name)
    held = contents(way.compared(read(), state))
    with server.dumping() as output:
        there = contents(way.compared(_told(again.checked(output), on_event), state))
        done = output.finished
    if done is None or done.status:
        raise EngineError("what was restored could not be dumped again")
    again.demand()
    if found := held.differences(there):
        raise VerificationFailed(
            f"what container {server.where.name!r} held then was not what was restored: "
            f"{'; '.join(found[:_SHOWN])}",
            differences=found,
        )


def _doubt(engine: Engine, found: Container, speech: Dialect) -> str:
    """Say so if a server knows another password now than its container."""
    try:
        reached(engine, found, speech)
    except EngineError as error:
        return (
            "passwords are those of the dump now, and what the container's environment says "
            f"is not among them ({error})"
        )
    return ""


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
