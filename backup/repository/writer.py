"""Chunks in, packs out: the busy half of a backup.

The caller's thread cuts and, in `add`, hands each chunk to a pool that hashes, looks it up and
compresses (these libraries release the GIL). Results are taken in the order of the chunks, so packs
are the same whatever the pool's timing; the caller's thread seals them into the open pack, and an
uploader stores full packs, as many at once as the store says that it pays. All queues are bounded:
memory does not grow with the volume. Order on the store is packs, then their index (docs/format.md,
section 11); the snapshot that needs them is put after `finish` has returned.
"""

import gc
import os
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import Final

from backup.repository import codec, index
from backup.repository.crypto import Keys
from backup.repository.names import PACKS, ChunkId, object_name
from backup.repository.pack import TARGET_SIZE, PackBuilder, PackTable
from backup.repository.reading import Reading
from backup.repository.timing import Clock
from transports.errors import TransportError
from transports.store import Store

_INDEX_EVERY_S: Final = 300.0
_FEWEST_IN_FLIGHT: Final = 24
_SIZE_IN_FLIGHT: Final = 12 << 20
"""Chunks, and bytes of them for each thread, that the pool may have. A cutter gives many at once,
then none for a while: with less, the pool runs dry in between."""
MOST_UPLOADS: Final = 3
UPLOADS_BESIDE_READING: Final = 2
"""Packs on their way, at most; fewer where as much memory goes to what is read meanwhile."""
_MOST_IN_MEMORY: Final = 4 * TARGET_SIZE
"""Bytes of packs on their way and of chunks in the pool: the more of one, the fewer of the other.
The open packs, one of each group, come on top."""
_SWITCH_S: Final = 0.0002
"""How long a thread that is back from hashing or compressing waits for the interpreter, at most.
The default, 5 ms, is longer than the work: the pool would idle behind a caller that computes."""
_COLLECT: Final = (50_000, 20, 50)
"""Thresholds of the collector of cycles: entries in a queue make none, and are many."""


class Group(Enum):
    """What a chunk is part of. Each group has packs of its own: a manifest is read in one go."""

    DATA = "data"
    MANIFEST = "manifest"


class Pending:
    """A chunk that was handed in; its id is known once the pool has hashed it."""

    __slots__ = ("_future", "_hex", "_id", "group", "size")

    def __init__(self, future: "Future[tuple[ChunkId, bytes | None]]", group: Group, size: int):
        self._future: Future[tuple[ChunkId, bytes | None]] | None = future
        self._id: ChunkId | None = None
        self._hex: str | None = None
        self.group = group
        self.size = size

    @property
    def id(self) -> ChunkId:
        """The chunk's id; waits for it if need be."""
        if self._id is not None:
            return self._id
        assert self._future is not None  # noqa: S101  cannot happen: one of the two is set
        return self._future.result()[0]

    @property
    def hex(self) -> str:
        """The chunk's id as text: made once, for all entries that lie in a chunk name it."""
        if self._hex is None:
            self._hex = self.id.hex()
        return self._hex

    @property
    def settled(self) -> bool:
        """Whether `id` is known without waiting."""
        return self._future is None

    def settle(self) -> tuple[ChunkId, bytes | None]:
        """Wait for the pool; return the id, and the frame if the chunk was new. Called once."""
        assert self._future is not None  # noqa: S101  the writer settles each chunk once
        self._id, frame = self._future.result()
        self._future = None
        return self._id, frame


class Writer:
    """Stores the chunks of one run. A context manager; leaving it by an exception stores nothing
    that is still open, and lists what is stored: the next run finds it again. Only where the store
    itself failed, what it got since the last index was put is stored anew."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        reading: Reading,
        clock: Clock,
        *,
        uploads: int = MOST_UPLOADS,
    ) -> None:
        """Chunks that are in a live pack of `reading` are not stored again. Of the `uploads` that
        may be on their way, each takes the memory of a pack."""
        self._store = store
        self._clock = clock
        self._keys = keys
        self.reading = reading
        workers = max(2, os.cpu_count() or 2)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="voltar-chunk")
        self._uploads_at_once = min(store.parallel, uploads)
        self._uploader = ThreadPoolExecutor(self._uploads_at_once, thread_name_prefix="voltar-put")
        self._most = max(_FEWEST_IN_FLIGHT, 3 * workers)
        room = _MOST_IN_MEMORY - self._uploads_at_once * TARGET_SIZE
        self._largest = min(workers * _SIZE_IN_FLIGHT, room)
        self._in_flight = 0
        self._pending: deque[Pending] = deque()
        self._packs: dict[Group, PackBuilder] = {}
        self._uploads: deque[Future[PackTable]] = deque()
        self._unlisted: list[PackTable] = []
        self._listed_at = time.monotonic()
        self._seen: set[ChunkId] = set()
        self._buffers: list[bytearray] = []
        self._process = sys.getswitchinterval(), gc.get_threshold()
        self.added = self.stored = 0
        self.fresh = self.compressed = 0

    def __enter__(self) -> "Writer":
        sys.setswitchinterval(_SWITCH_S)
        gc.set_threshold(*_COLLECT)
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._uploader.shutdown(cancel_futures=True)
        if kind is not None and not issubclass(kind, TransportError):
            with suppress(TransportError):
                ended = (each for each in self._uploads if not each.cancelled())
                self._unlisted += [each.result() for each in ended if not each.exception()]
                self._save_index()
        switch_s, collect = self._process
        sys.setswitchinterval(switch_s)
        gc.set_threshold(*collect)

    def add(self, chunk: bytes, group: Group) -> Pending:
        """Take a chunk. Raises what storing an earlier one raised."""
        pending = Pending(self._pool.submit(self._prepare, chunk), group, len(chunk))
        self._pending.append(pending)
        self._in_flight += pending.size
        while len(self._pending) > self._most or self._in_flight > self._largest:
            self._pack_next()
        return pending

    def may_refer_to(self, chunk: ChunkId) -> bool:
        """Return whether a chunk is there to be referred to: in a live pack, or put by this run."""
        return chunk in self._seen or chunk in self.reading

    def renew(self, reading: Reading) -> None:
        """Go by another reading from now on. Only between `finish` and the next `add`."""
        self.reading = reading
        self._seen = set()

    def finish(self) -> None:
        """Store everything that was handed in, then its index."""
        self.flush()
        self._save_index()

    def settle(self) -> None:
        """Put everything that was handed in into packs, which may stay open."""
        while self._pending:
            self._pack_next()

    def flush(self) -> None:
        """Store everything that was handed in."""
        self.settle()
        for group in list(self._packs):
            self._close(group)
        while self._uploads:
            self._await_upload()

    def _prepare(self, chunk: bytes) -> tuple[ChunkId, bytes | None]:
        chunk_id = self._keys.chunk_id(chunk)
        if chunk_id in self.reading or chunk_id in self._seen:
            return chunk_id, None
        return chunk_id, codec.compress(chunk)

    def _pack_next(self) -> None:
        pending = self._pending.popleft()
        self._in_flight -= pending.size
        chunk_id, frame = pending.settle()
        if frame is None or chunk_id in self._seen:
            return
        self._seen.add(chunk_id)
        pack = self._packs.get(pending.group)
        if pack is None:
            buffer = self._buffers.pop() if self._buffers else None
            pack = self._packs[pending.group] = PackBuilder(self._keys, buffer)
        pack.add(chunk_id, frame, pending.size)
        self.added += pending.size
        if pending.group is Group.DATA:
            self.fresh += pending.size
            self.compressed += len(frame)
        if pack.size >= TARGET_SIZE:
            self._close(pending.group)

    def _close(self, group: Group) -> None:
        pack = self._packs.pop(group)
        self._uploads.append(self._uploader.submit(self._upload, pack))
        while self._uploads and (
            self._uploads[0].done() or len(self._uploads) > self._uploads_at_once
        ):
            self._await_upload()
        late = time.monotonic() - self._listed_at > _INDEX_EVERY_S
        if self._unlisted and (late or len(self._unlisted) >= index.PACKS_PER_OBJECT):
            self._save_index()

    def _upload(self, pack: PackBuilder) -> PackTable:
        data, table = pack.finish()
        self._store.put(object_name(PACKS, table.pack), data)
        with suppress(BufferError):  # an attempt that was given up may send it still
            data.release()
            self._buffers.append(pack.reclaim())
        return table

    def _await_upload(self) -> None:
        """Wait for the oldest upload; whoever is interrupted here has not lost sight of it."""
        table = self._uploads[0].result()
        self._uploads.popleft()
        self._unlisted.append(table)

    def _save_index(self) -> None:
        if self._unlisted:
            saved = index.save(self._store, self._keys, self._unlisted, self._clock())
            self.stored += sum(table.size for table in self._unlisted)
            self.reading.add(*saved)
        self._unlisted = []
        self._listed_at = time.monotonic()
