"""Extents in, bytes out: the busy half of a restore.

`read` takes a sequence of literal bytes and extents and yields the bytes they stand for, in order.
It works ahead: the sequence is taken in batches, a pool fetches and opens the chunks of the next
few batches, and chunks that lie side by side in a pack are fetched by one request. Of a store that
is far away, the requests for one batch are made side by side as well. Every chunk is checked
against its id.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from backup.errors import IntegrityError
from backup.repository.ahead import mapped, small, threads
from backup.repository.crypto import Keys
from backup.repository.index import IndexedPack
from backup.repository.manifest import Extent, to_chunk
from backup.repository.names import PACKS, PackId, object_name
from backup.repository.pack import Blob, PackReader
from backup.repository.reading import Readings
from transports.errors import ObjectNotFound
from transports.store import Store

Item = bytes | Extent
_BATCH_SIZE: Final = 8 << 20
_LARGEST_GAP: Final = 128 << 10
_LARGEST_REQUEST: Final = 16 << 20
_LARGEST_SIDE_BY_SIDE: Final = 2 << 20
_MOST_BATCHES: Final = 8
"""How many batches are loaded at once, however many cores there are: each takes twice its size."""
_READINGS: Final = 3
"""How often chunks are looked up anew when their pack is gone; prune moves none so often."""

_Chunks = dict[str, bytes]
_Run = tuple[IndexedPack, list[Blob]]
_Spread = Callable[[Callable[[_Run], _Chunks], Iterable[_Run]], Iterable[_Chunks]]
"""How the runs of a batch are fetched: one after the other, or side by side."""


@dataclass(slots=True)
class _Batch:
    """A part of the sequence, and where its chunks lie; `size` is that of all of them, whole."""

    items: list[Item] = field(default_factory=list)
    places: dict[str, tuple[IndexedPack, Blob]] = field(default_factory=dict)
    size: int = 0


class Reader:
    """Reads chunks of one repository."""

    def __init__(self, store: Store, keys: Keys, readings: Readings, largest_chunk: int) -> None:
        self._store = store
        self._keys = keys
        self._readings = readings
        self._largest = largest_chunk

    def read(self, items: Iterable[Item]) -> Iterator[memoryview]:
        """Yield the bytes of all items. Raises IntegrityError, TransportError."""
        at_once = 1 + min(max(2, os.cpu_count() or 2), _MOST_BATCHES)
        with threads(small(self._store), "voltar-get") as pool:
            spread = pool.map if self._store.parallel > 1 else map
            load = partial(self._load, spread)
            for batch, chunks in mapped(load, self._batches(items), at_once):
                yield from _replay(batch, chunks)

    def _batches(self, items: Iterable[Item]) -> Iterator[_Batch]:
        """Cut the sequence where the chunks that it needs, whole, come to the batch size."""
        batch = _Batch()
        for item in items:
            batch.items.append(item)
            if not isinstance(item, Extent):
                batch.size += len(item)
            elif item.chunk not in batch.places:
                place = batch.places[item.chunk] = self._find(item.chunk)
                batch.size += place[1].size
            if batch.size >= _BATCH_SIZE:
                yield batch
                batch = _Batch()
        if batch.items:
            yield batch

    def _load(self, spread: _Spread, batch: _Batch) -> tuple[_Batch, _Chunks]:
        """Return a batch, and by id the chunks that it needs.

        Prune may have moved them since their places were looked up: then a new reading says where
        they are now.
        """
        reading = self._readings.current()
        for _ in range(_READINGS):
            try:
                return batch, self._loaded(spread, batch)
            except ObjectNotFound:
                reading = self._readings.renewed(reading)
                batch.places = {chunk: self._find(chunk) for chunk in batch.places}
        raise IntegrityError("packs vanish from the store faster than they can be read")

    def _loaded(self, spread: _Spread, batch: _Batch) -> _Chunks:
        packs: dict[PackId, tuple[IndexedPack, list[Blob]]] = {}
        for pack, blob in batch.places.values():
            packs.setdefault(pack.id, (pack, []))[1].append(blob)
        largest = _LARGEST_REQUEST if self._store.parallel == 1 else _LARGEST_SIDE_BY_SIDE
        runs = (
            (pack, run)
            for pack, blobs in packs.values()
            for run in _runs(sorted(blobs, key=lambda blob: blob.offset), largest)
        )
        chunks: _Chunks = {}
        for some in spread(self._fetched, runs):
            chunks.update(some)
        return chunks

    def _find(self, chunk: str) -> tuple[IndexedPack, Blob]:
        found = self._readings.find(to_chunk(chunk))
        if found is None:
            raise self._readings.current().lacks(chunk)
        return found

    def _fetched(self, place: _Run) -> _Chunks:
        return dict(self._fetch(*place))

    def _fetch(self, pack: IndexedPack, run: list[Blob]) -> Iterator[tuple[str, bytes]]:
        start = run[0].offset
        end = run[-1].offset + run[-1].length
        data = memoryview(self._store.get(object_name(PACKS, pack.id), start, end - start))
        for blob in run:
            at = blob.offset - start
            sealed = data[at : at + blob.length]
            try:
                yield blob.chunk, self._opened(pack, blob, sealed)
            except IntegrityError:
                copy = self._copy_elsewhere(pack, blob)
                if copy is None:
                    raise
                yield blob.chunk, copy

    def _opened(self, pack: IndexedPack, blob: Blob, sealed: memoryview) -> bytes:
        if len(sealed) != blob.length:
            message = f"pack {pack.id[:16]} is shorter than its table says"
            raise IntegrityError(message, chunk=blob.chunk)
        reader = PackReader.of_envelope(self._keys, pack.id, pack.envelope, self._largest)
        return reader.open(blob, sealed)

    def _copy_elsewhere(self, pack: IndexedPack, blob: Blob) -> bytes | None:
        """Return a chunk that is damaged in one pack from another that has it, if there is one."""
        for other in self._readings.current().places(to_chunk(blob.chunk)):
            if other.pack.id == pack.id:
                continue
            name, length = object_name(PACKS, other.pack.id), other.blob.length
            try:
                data = memoryview(self._store.get(name, other.blob.offset, length))
                return self._opened(other.pack, other.blob, data)
            except (IntegrityError, ObjectNotFound):
                continue
        return None


def _runs(blobs: list[Blob], largest: int) -> Iterator[list[Blob]]:
    """Split blobs of one pack, ordered by offset, into runs worth one request each."""
    run: list[Blob] = []
    for blob in blobs:
        if run:
            gap = blob.offset - (run[-1].offset + run[-1].length)
            if gap > _LARGEST_GAP or blob.offset + blob.length - run[0].offset > largest:
                yield run
                run = []
        run.append(blob)
    if run:
        yield run


def _replay(batch: _Batch, chunks: _Chunks) -> Iterator[memoryview]:
    for item in batch.items:
        if not isinstance(item, Extent):
            yield memoryview(item)
            continue
        piece = memoryview(chunks[item.chunk])[item.offset : item.offset + item.length]
        if len(piece) != item.length:
            raise IntegrityError(f"a manifest asks for more than chunk {item.chunk[:16]} holds")
        yield piece
