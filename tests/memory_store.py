"""A store in memory: the plainest thing that keeps the promises of transports.store."""

import threading
from collections.abc import Iterator

from transports.errors import ObjectExists, ObjectNotFound, Refused
from transports.store import ObjectInfo, WriteOnce, check_name
from transports.store.protocol import Buffer


class MemoryStore:
    """Objects in a dictionary, `objects`, which tests may look into and spoil."""

    parallel = 1
    write_once = WriteOnce.KEPT

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._made = False
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return "memory:"

    def create(self) -> None:
        self._made = True

    def put(self, name: str, data: Buffer) -> None:
        check_name(name)
        if not self._made:
            raise Refused(f"cannot store {name}: the store was never made", hint="create it")
        with self._lock:
            if self.objects.setdefault(name, bytes(data)) != data:
                raise ObjectExists(f"{name} is there already, with other bytes")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._found(name)
        return data[offset : None if length is None else offset + length]

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        for name, data in list(self.objects.items()):
            if name.startswith(f"{kind}/"):
                yield ObjectInfo(name, len(data))

    def stat(self, name: str) -> ObjectInfo:
        return ObjectInfo(name, len(self._found(name)))

    def delete(self, name: str) -> None:
        self.objects.pop(check_name(name), None)

    def close(self) -> None:
        """Nothing to end."""

    def _found(self, name: str) -> bytes:
        try:
            return self.objects[check_name(name)]
        except KeyError as error:
            raise ObjectNotFound(f"cannot read {name}: it is not there") from error
