"""Performing what an actor of the protocol asks for, at a store."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from backup.errors import IntegrityError, RepositoryError, TooLate, UnsupportedFormat
from backup.repository import ahead, sealed
from backup.repository.crypto import Keys
from backup.repository.names import CONDEMNED, PACKS, PackId, id_of, object_name
from backup.repository.protocol import (
    CondemnedList,
    Delete,
    ListPacks,
    Now,
    ReadTables,
    Request,
    Steps,
    read,
)
from backup.repository.reading import Reading
from backup.repository.timing import LONGEST_WRITE
from transports.errors import ObjectNotFound
from transports.store import Store

if TYPE_CHECKING:
    from backup.repository.repository import Repository

_T = TypeVar("_T")


class CondemnedRecord(msgspec.Struct, frozen=True):
    """What an object below condemned/ says."""

    time: datetime
    packs: list[PackId]


class Actor:
    """Performs requests: those of a reading, and deletions. Others are for those who inherit.

    `sizes` are those of the packs that were there when they were listed, in bytes. Not for several
    threads.
    """

    def __init__(self, repository: "Repository") -> None:
        self.repository = repository
        self.store = repository.store
        self.keys = repository.keys
        self.clock = repository.clock
        self.sizes: dict[PackId, int] = {}
        self.damaged: list[RepositoryError] = []
        self._looked = 0.0
        self._time = datetime.min.replace(tzinfo=UTC)

    def run(self, steps: Steps[_T]) -> _T:
        """Perform all that is asked for; return what the actor returns."""
        answer: Any = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                result: _T = end.value
                return result
            answer = self.perform(request)

    def perform(self, request: Request) -> Any:
        """Do one thing, and return the answer."""
        match request:
            case Now():
                self._looked, self._time = time.monotonic(), self.clock()
                return self._time
            case ReadTables():
                return self._read_tables()
            case ListPacks():
                listed = self.store.list(PACKS)
                self.sizes = {PackId(id_of(info.name)): info.size for info in listed}
                return self.sizes
            case Delete(kind, ids):
                self.delete(kind, ids)
            case _:
                raise TypeError(f"no way to perform {request}")
        return None

    def reading(self) -> Reading:
        """Take a reading."""
        view = self.run(read())
        return self.as_reading(view)

    def as_reading(self, view: Any) -> Reading:
        """Return the view that this actor has just taken, with what it takes to find chunks."""
        return Reading(view, self.repository.tables, tuple(self.damaged))

    def delete(self, kind: str, ids: Iterable[str]) -> None:
        """Delete objects; one that is not there is success."""
        names = (object_name(kind, each) for each in ids)
        ahead.for_each(self.store.delete, names, ahead.small(self.store))

    @property
    def in_time(self) -> bool:
        """Whether what was done since the last look at the clock can count as done at once.

        Neither of two clocks may say otherwise: one stands while the machine sleeps, the other may
        be set back.
        """
        passed = time.monotonic() - self._looked
        return (
            passed <= LONGEST_WRITE.total_seconds() and self.clock() - self._time <= LONGEST_WRITE
        )

    def demand_in_time(self, what: str, undo: Callable[[], None] | None = None) -> None:
        """Raise TooLate where an effect came too long after the look at the clock before it."""
        if self.in_time:
            return
        if undo is not None:
            undo()
        raise TooLate(
            f"{what} took longer than {LONGEST_WRITE}, which is not safe beside other hosts",
            hint="look at the connection to the store, and run it again",
        )

    def _read_tables(self) -> tuple[list[CondemnedList], dict[PackId, int]]:
        lists, damaged = condemned_lists(self.store, self.keys)
        self.damaged = [*damaged.values(), *self.repository.tables.refresh()]
        listed = {each.id: each.size for each in self.repository.tables.listed()}
        if damaged:
            # any pack might be named by the list that cannot be read
            lists.append(CondemnedList("", self.clock(), frozenset(listed)))
        return lists, listed


def condemned_lists(
    store: Store, keys: Keys
) -> tuple[list[CondemnedList], dict[str, RepositoryError]]:
    """Return all condemned lists, and by id what is wrong with those that cannot be read."""
    found: list[CondemnedList] = []
    damaged: dict[str, RepositoryError] = {}
    ids = [id_of(info.name) for info in store.list(CONDEMNED)]
    every = ahead.mapped(partial(_condemned_list, store, keys), ids, ahead.small(store))
    for list_id, each in zip(ids, every, strict=True):
        if isinstance(each, CondemnedList):
            found.append(each)
        elif each is not None:
            damaged[list_id] = each
    return found, damaged


def _condemned_list(
    store: Store, keys: Keys, list_id: str
) -> CondemnedList | RepositoryError | None:
    try:
        data = store.get(object_name(CONDEMNED, list_id))
        record = sealed.decode(keys, CONDEMNED, list_id, data, CondemnedRecord)
    except ObjectNotFound:
        return None  # its packs are deleted
    except (IntegrityError, UnsupportedFormat) as error:
        return error
    return CondemnedList(list_id, record.time, frozenset(record.packs))
