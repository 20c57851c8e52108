"""A store around another: what it does not do in its own way, it passes on."""

from collections.abc import Iterator

from transports.store.protocol import Buffer, ObjectInfo, Store, WriteOnce


class Around:
    """A store that is another one, to be derived from; both may be used by several threads."""

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
        return self._store.get(name, offset, length)

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        return self._store.list(kind)

    def stat(self, name: str) -> ObjectInfo:
        return self._store.stat(name)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    def close(self) -> None:
        self._store.close()
