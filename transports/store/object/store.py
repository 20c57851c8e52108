"""The five verbs on a bucket.

Write-once is the server's, by conditional puts, where it knows them. Some servers refuse them
(501), some take no notice and overwrite. So voltar looks before it writes, too, until it has seen
the server refuse. That shows when an object is put a second time: with the same bytes, for which a
server that overwrites does no harm. `voltar doctor` does so.

Ranges: a server that sends the whole object instead is believed, the part is cut out, and from then
on nothing else is asked for. Nothing that is shorter than the server has said is taken for whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from transports.errors import ConnectionLost, Refused, TransportError
from transports.store.calls import answered
from transports.store.object import failure
from transports.store.protocol import Buffer, ObjectInfo, WriteOnce, check_name, is_name
from transports.store.timing import SMALL, within_s
from transports.store.writing import Turns, is_there

if TYPE_CHECKING:
    from obstore import ListStream, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = S3Store | GCSStore | AzureStore
    Page = Sequence[ObjectMeta]

Result = TypeVar("Result")

_PAGE: Final = 1000


class ObjectStore:
    """Objects below a prefix of one bucket; several threads may use it, and do not wait for each
    other."""

    def __init__(self, client: "Client", brief: "Client", url: str) -> None:
        """`brief` is the same as `client`, but gives up after `SMALL_WITHIN_S`: what was given up
        must not take effect later."""
        self._client = client
        self._brief = brief
        self._url = url
        self._turns = Turns()
        self._conditional: bool | None = None
        """Whether the server refuses to replace an object; None while that is not known."""
        self._ranges = True
        self._answered = False

    @property
    def url(self) -> str:
        return self._url

    @property
    def parallel(self) -> int:
        return 4

    @property
    def write_once(self) -> WriteOnce:
        return WriteOnce.KEPT if self._conditional else WriteOnce.ASKED

    def create(self) -> None:
        """See that the bucket is there; voltar makes none."""
        with self._translated(f"look into {self._url}"):
            self._first_page("")

    def put(self, name: str, data: Buffer) -> None:
        check_name(name)
        with self._turns.of(name), self._translated(f"store {name} in {self._url}"):
            if not self._conditional and is_there(self, name, data):
                self._learn(name, data)
            else:
                self._write_new(name, data)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        check_name(name)
        with self._translated(f"read {name} in {self._url}"):
            if length == 0:
                self._head(name)
                return b""
            if offset == 0 and length is None:
                return self._whole(name)
            return self._part(name, offset, length)

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        with self._translated(f"list {kind} in {self._url}"):
            pages = obstore.list(self._brief, kind, chunk_size=_PAGE)
            while page := self._next(pages):
                for entry in page:
                    if entry["path"].startswith(f"{kind}/") and is_name(entry["path"]):
                        yield ObjectInfo(entry["path"], entry["size"])

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        with self._translated(f"look at {name} in {self._url}"):
            return ObjectInfo(name, self._head(name))

    def delete(self, name: str) -> None:
        check_name(name)
        with self._translated(f"delete {name} in {self._url}"):
            try:
                self._run(lambda: obstore.delete(self._brief, name))
            except FileNotFoundError as error:
                if failure.read(error).no_bucket:
                    raise

    def close(self) -> None:
        """Connections end with this object."""

    def _write_new(self, name: str, data: Buffer) -> None:
        try:
            if self._write_if_absent(name, data):
                return
        except AlreadyExistsError:
            self._conditional = True
            self._demand_same(name, data)
        else:
            self._write(name, data)

    def _learn(self, name: str, data: Buffer) -> None:
        """See what the server does with an object that is there, with these bytes."""
        if self._conditional is None and memoryview(data).nbytes < SMALL:
            try:
                self._write_if_absent(name, data)
                self._conditional = False
            except AlreadyExistsError:
                self._conditional = True

    def _write_if_absent(self, name: str, data: Buffer) -> bool:
        """Put on the condition that there is none; False where the server knows no conditions."""
        if self._conditional is False:
            return False
        try:
            self._write(name, data, mode="create")
        except AlreadyExistsError:
            raise
        except BaseError as error:
            if failure.read(error).status != 501:
                raise
            self._conditional = False
            return False
        return True

    def _demand_same(self, name: str, data: Buffer) -> None:
        if not is_there(self, name, data):
            # two writers at the same moment, and the server has told both to stand back
            raise ConnectionLost(f"cannot store {name} in {self._url}: somebody else was about to")

    def _write(self, name: str, data: Buffer, mode: "obstore.PutMode" = "overwrite") -> None:
        size = memoryview(data).nbytes
        client = self._brief if size <= SMALL else self._client
        self._run(
            lambda: obstore.put(client, name, data, mode=mode, use_multipart=False),
            size,
        )

    def _head(self, name: str) -> int:
        return self._believed(name, self._run(lambda: obstore.head(self._brief, name)))

    def _whole(self, name: str) -> bytes:
        result = self._run(lambda: obstore.get(self._client, name))
        size = self._believed(name, result.meta)
        return self._complete(name, self._run(result.bytes, size), size)

    def _part(self, name: str, offset: int, length: int | None) -> bytes:
        if not self._ranges:
            return _cut(self._whole(name), offset, length)
        try:
            return self._range(name, offset, None if length is None else offset + length)
        except BaseError as error:
            if "non-partial response" in str(error):
                self._ranges = False
                return _cut(self._whole(name), offset, length)
            if failure.read(error).status != 416 and "StartTooLarge" not in str(error):
                raise
        # it begins behind the end, or ends there and this server does not like that
        size = self._head(name)
        end = size if length is None else min(size, offset + length)
        return self._range(name, offset, end) if offset < end else b""

    def _range(self, name: str, offset: int, end: int | None) -> bytes:
        options: obstore.GetOptions = {
            "range": {"offset": offset} if end is None else (offset, end)
        }
        result = self._run(lambda: obstore.get(self._client, name, options=options))
        first, last = result.range
        size = self._believed(name, result.meta)
        expected = max(0, (size if end is None else min(size, end)) - offset)
        if (first, last - first) != (offset, expected):
            raise Refused(
                f"cannot read {name} in {self._url}: the server sends other bytes than were asked"
                f" for: {first} to {last} of {size} for {offset} to {end}"
            )
        data = self._run(result.bytes, expected)
        return self._complete(name, data, expected)

    def _believed(self, name: str, meta: "ObjectMeta") -> int:
        """Return the size of an object. All object stores send an ETag; web pages may lack it."""
        if meta["e_tag"] is None:
            raise failure.no_store(f"look at {name} in {self._url}")
        return meta["size"]

    def _complete(self, name: str, data: "obstore.Bytes", size: int) -> bytes:
        if len(data) != size:
            raise ConnectionLost(
                f"cannot read {name} in {self._url}: {len(data)} bytes came of {size}"
            )
        return bytes(data)

    def _first_page(self, kind: str) -> None:
        self._next(obstore.list(self._brief, kind or None, chunk_size=1))

    def _next(self, pages: "ListStream[Page]") -> "Page":
        return self._run(lambda: next(pages, ()))

    def _run(self, call: Callable[[], Result], size: int = 0) -> Result:
        """Make a request that moves so many bytes, or about none."""
        return answered(call, within_s(size))

    @contextmanager
    def _translated(self, act: str) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
            self._answered = True
        except TransportError:
            raise
        except TimeoutError as error:
            raise ConnectionLost(f"cannot {act}: no answer in time") from error
        except (BaseError, FileNotFoundError) as error:
            scheme = self._url.partition(":")[0]
            raise failure.failure(error, act, answered=self._answered, scheme=scheme) from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # which has no module to import it from
                raise failure.panic(act) from error
            raise


def _cut(data: bytes, offset: int, length: int | None) -> bytes:
    return data[offset : None if length is None else offset + length]
