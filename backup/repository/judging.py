"""A store whose objects are being judged: one that cannot be read is damaged, and ends nothing."""

from collections.abc import Iterator

from backup.errors import IntegrityError
from transports.errors import Refused, Unreadable
from transports.store import ObjectInfo, Store, WriteOnce
from transports.store.protocol import Buffer


class JudgedStore:
    """Another store. `get` raises IntegrityError for what is there and cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def parallel(self) -> int:
        return self._store.parallel

    @property
    def write_once(self) -> WriteOnce:
        return self._store.write_once

    def create(self) -> None:
        self._store.create()

    def put(self, name: str, data: Buffer) -> None:
        self._store.put(name, data)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            return self._store.get(name, offset, length)
        except Unreadable as error:
            raise IntegrityError(f"{name} is damaged: {error}") from error
        except Refused as error:
            self._store.stat(name)  # who is refused this as well has no access, and nothing is said
            raise IntegrityError(f"{name} is damaged: {error}") from error

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        return self._store.list(kind)

    def stat(self, name: str) -> ObjectInfo:
        return self._store.stat(name)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    def close(self) -> None:
        self._store.close()
