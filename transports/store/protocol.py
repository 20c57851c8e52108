"""What a store is, and what its objects may be called."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

Buffer = bytes | bytearray | memoryview

_NAME = re.compile(r"(?:[a-z][a-z-]{0,30}/)?[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's name, and its size in bytes."""

    name: str
    size: int


class WriteOnce(Enum):
    """How sure it is that an object is never replaced, as far as the store can tell by now."""

    KEPT = "never replaces an object"
    """The store itself refuses, whoever writes."""
    ASKED = "asks before it writes, so two hosts could replace each other's object of one name"
    """Writers of this process exclude each other; another host could come in between."""


class Store(Protocol):
    """A flat namespace of immutable objects; one instance may be used by several threads."""

    @property
    def url(self) -> str:
        """Where the store is, without secrets, fit to be shown."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls at once pay, at least 1: where a reply takes its time, some should be on
        their way while others are waited for. Whoever makes them bounds what they hold."""
        ...

    @property
    def write_once(self) -> WriteOnce:
        """Who sees to it that no object is replaced. Some stores know after the first `put`."""
        ...

    def create(self) -> None:
        """Make the place itself (a directory, say). What is there already is left alone."""
        ...

    def put(self, name: str, data: Buffer) -> None:
        """Store `data` under a new name.

        Raises ObjectExists (the name is taken by other bytes), OutOfSpace, Refused, ConnectionLost.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, or all the rest; fewer where the object ends before.

        Raises ObjectNotFound, Unreadable, Refused, ConnectionLost.
        """
        ...

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        """Yield every whole object of a kind ("packs"), in any order; none is no error."""
        ...

    def stat(self, name: str) -> ObjectInfo:
        """Return an object's size. Raises ObjectNotFound."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is success."""
        ...

    def close(self) -> None:
        """End what the store holds: connections, a process. It cannot be used any more. Raises
        nothing, and may be called again."""
        ...


def is_name(name: str) -> bool:
    """Return whether `name` may name an object; see `check_name`."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return `name` if it may name an object, else raise ValueError (a bug of the caller).

    Small letters, digits, ".", "_" and "-", at most one "/", nothing hidden: such a name means the
    same on every file system and object store, and cannot leave the store's directory.
    """
    if not is_name(name):
        raise ValueError(f"not an object name: {name!r}")
    return name
