"""A store in a directory of another host, over SFTP: sftp://[user@]host[:port]/directory.

`put` writes a temporary file beside the objects, has it synced where the server can (fsync), gives
it its name by a hard link, which refuses to replace, and removes the temporary name. A server that
knows no hard links renames; whether that refuses to replace is up to the server, so it is asked
first, and two hosts could then replace each other's object of one name.

Calls of several threads share one connection. Each has an SFTP session of its own, or waits for
one: a server allows only so many on a connection (OpenSSH ten, where nothing else is set). When the
link breaks, calls end with ConnectionLost and the next one connects anew.
"""

import contextlib
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from transports.errors import (
    ConnectionLost,
    ObjectExists,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    TransportError,
    Unreadable,
)
from transports.ssh import Link, Options, SftpSession, open_link
from transports.ssh.answer import DENIED, FAILURE, NO_FILE, SftpFailure
from transports.ssh.sftp import FOR_NEW, FOR_READING, FSYNC, HARDLINK
from transports.store.protocol import Buffer, ObjectInfo, WriteOnce, check_name, is_name
from transports.store.writing import Turns

T = TypeVar("T")
_TEMPORARY: Final = "tmp"
_STALE_AFTER_S: Final = 24 * 3600
_PARALLEL: Final = 4
_SESSIONS: Final = 8
_LARGEST: Final = 512 << 20  # a pack has 32 MiB, a blob, and a table of at most half of this
_FULL: Final = ("no space", "disk full", "quota", "file too large")


class SftpStore:
    """Objects as files below one directory of a host; `directory` may begin at the home."""

    def __init__(self, host: str, directory: str, options: Options) -> None:
        """`host` is ssh://[user@]host[:port]; nothing is contacted."""
        self._host = host
        self._directory = directory
        self._options = options
        self._sessions = _Sessions(lambda: open_link(host, options))
        self._turns = Turns()
        self._made: set[str] = set()
        self._swept = False
        self._links: bool | None = None

    @property
    def url(self) -> str:
        path = self._directory if self._directory.startswith("/") else f"/~/{self._directory}"
        return f"sftp{self._host.removeprefix('ssh')}{path}"

    @property
    def parallel(self) -> int:
        return _PARALLEL

    @property
    def write_once(self) -> WriteOnce:
        return WriteOnce.ASKED if self._links is False else WriteOnce.KEPT

    def create(self) -> None:
        self._do("make the directory", self._directory, self._make_directories)

    def put(self, name: str, data: Buffer) -> None:
        path = self._path(name)
        with self._turns.of(name):
            self._do("store", name, lambda session: self._put(session, name, path, data))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        path = self._path(name)
        return self._do("read", name, lambda session: _get(session, path, offset, length))

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        path = self._place(kind)
        yield from self._do("list", kind, lambda session: list(_objects(session, path, kind)))

    def stat(self, name: str) -> ObjectInfo:
        path = self._path(name)
        size = self._do("look at", name, lambda session: session.stat(path).size)
        return ObjectInfo(name, size or 0)

    def delete(self, name: str) -> None:
        path = self._path(name)
        with contextlib.suppress(ObjectNotFound):
            self._do("delete", name, lambda session: session.remove(path))

    def close(self) -> None:
        self._sessions.close()

    def _path(self, name: str) -> str:
        return self._place(check_name(name))

    def _place(self, name: str) -> str:
        return f"{self._directory.rstrip('/')}/{name}" if self._directory else name

    def _do(self, act: str, what: str, call: Callable[[SftpSession], T]) -> T:
        """Call with a session of its own, and turn what the server says into our errors."""
        with self._sessions.one() as session:
            try:
                return call(session)
            except SftpFailure as failure:
                raise self._translated(
                    session, failure, f"cannot {act} {what} in {self.url}"
                ) from (failure)

    def _translated(
        self, session: SftpSession, failure: SftpFailure, attempt: str
    ) -> TransportError:
        said = str(failure)
        if failure.code == NO_FILE:
            return ObjectNotFound(f"{attempt}: it is not there")
        if failure.code == DENIED:
            return Refused(f"{attempt}: permission denied", hint="whose is the directory there?")
        if any(word in said.lower() for word in _FULL) or (
            attempt.startswith("cannot store") and self._is_full(session)
        ):
            return OutOfSpace(
                f"{attempt}: no space is left there",
                hint="`voltar prune` frees what nobody needs; where nothing else writes,"
                " `voltar prune --exclusive` does so at once, and needs no room",
            )
        if attempt.startswith("cannot read"):
            return Unreadable(f"{attempt}: {said}")
        return TransportError(f"{attempt}: {said}")

    def _is_full(self, session: SftpSession) -> bool:
        """Most servers say only that it failed; a file system with less than a pack is full."""
        try:
            room = session.room(self._directory or ".")
        except SftpFailure:
            return False
        return room is not None and room < 64 << 20

    def _make_directories(self, session: SftpSession) -> None:
        parts = self._directory.rstrip("/").split("/")
        for count in range(1, len(parts) + 1):
            if path := "/".join(parts[:count]):
                _make_directory(session, path)

    def _put(self, session: SftpSession, name: str, path: str, data: Buffer) -> None:
        self._prepare(session, name)
        temporary = self._temporary(name)
        handle = session.open(temporary, FOR_NEW)
        try:
            session.write_all(handle, data, sync=FSYNC in session.extensions)
            self._publish(session, temporary, path, data)
        finally:
            with contextlib.suppress(SftpFailure, ConnectionLost):
                session.remove(temporary)

    def _temporary(self, name: str) -> str:
        flat = name.replace("/", "-")
        return self._place(f"{_TEMPORARY}/{flat}.{secrets.token_hex(8)}")

    def _prepare(self, session: SftpSession, name: str) -> None:
        """See to it that the directories are there, but never make the store itself."""
        for kind in (_TEMPORARY, name.rpartition("/")[0]):
            if kind and kind not in self._made:
                self._look(session)
                _make_directory(session, self._place(kind))
                self._made.add(kind)
        if not self._swept:
            self._swept = True
            self._sweep(session)

    def _look(self, session: SftpSession) -> None:
        try:
            session.stat(self._directory or ".")
        except SftpFailure as failure:
            if failure.code != NO_FILE:
                raise
            raise Refused(
                f"cannot store in {self.url}: the directory is not there",
                hint="is the disk mounted? a new repository is made by `voltar init`",
            ) from failure

    def _publish(self, session: SftpSession, temporary: str, path: str, data: Buffer) -> None:
        if HARDLINK in session.extensions and self._links is not False:
            try:
                session.link(temporary, path)
            except SftpFailure:
                if self._is_there(session, path, data):
                    return
                self._links = False  # a file system without links
            else:
                self._links = True
                return
        self._links = False
        if self._is_there(session, path, data):
            return
        try:
            session.rename(temporary, path)
        except SftpFailure:
            if not self._is_there(session, path, data):
                raise

    def _is_there(self, session: SftpSession, path: str, data: Buffer) -> bool:
        """Return whether the object is there already. Raises ObjectExists for another one."""
        try:
            size = session.stat(path).size
        except SftpFailure as failure:
            if failure.code == NO_FILE:
                return False
            raise
        if size != memoryview(data).nbytes or _get(session, path, 0, None) != data:
            raise ObjectExists(f"{path} in {self.url} is there already, with other bytes")
        return True

    def _sweep(self, session: SftpSession) -> None:
        """Remove temporary files that writers killed long ago left behind."""
        with contextlib.suppress(SftpFailure):
            for name, attributes in list(session.names(self._place(_TEMPORARY))):
                old = time.time() - (attributes.mtime or time.time())
                if old > _STALE_AFTER_S and not name.startswith("."):
                    session.remove(self._place(f"{_TEMPORARY}/{name}"))


class _Sessions:
    """One link at a time, and sessions over it that are not in use.

    At most so many are lent at once as the server was seen to allow.
    """

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._lent = 0
        self._most = _SESSIONS
        self._connecting = threading.Lock()
        self._link: Link | None = None
        self._idle: list[SftpSession] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[SftpSession]:
        """Lend a session; after ConnectionLost the link is given up."""
        session, link = self._taken()
        try:
            yield session
        except (ConnectionLost, KeyboardInterrupt):
            session.close()
            self._give_up(link)
            raise
        except BaseException:
            self._give_back(session, link)
            raise
        else:
            self._give_back(session, link)
        finally:
            self._count_returned()

    def close(self) -> None:
        with self._lock:
            link = self._link
        if link is not None:
            self._give_up(link)

    def _taken(self) -> tuple[SftpSession, Link]:
        while True:
            with self._returned:
                self._returned.wait_for(lambda: self._lent < self._most)
                self._lent += 1
                if self._idle and self._link is not None:
                    return self._idle.pop(), self._link
            try:
                return self._opened()
            except Refused:
                with self._lock:
                    others = self._lent - 1
                    self._most = max(1, min(self._most, others))
                self._count_returned()
                if not others:
                    raise
            except BaseException:
                self._count_returned()
                raise

    def _count_returned(self) -> None:
        with self._returned:
            self._lent -= 1
            self._returned.notify()

    def _opened(self) -> tuple[SftpSession, Link]:
        with self._connecting:
            if self._link is None:
                link = self._connect()
                with self._lock:
                    self._link = link
            link = self._link
        try:
            return link.sftp(), link
        except ConnectionLost:
            self._give_up(link)
            raise

    def _give_back(self, session: SftpSession, link: Link) -> None:
        with self._lock:
            if link is self._link and session.usable:
                self._idle.append(session)
                return
        session.close()

    def _give_up(self, link: Link) -> None:
        with self._lock:
            if link is not self._link:
                return
            idle, self._idle, self._link = self._idle, [], None
        for session in idle:
            session.close()
        link.close()


def _get(session: SftpSession, path: str, offset: int, length: int | None) -> bytes:
    handle = session.open(path, FOR_READING)
    try:
        if length is None or length > 1 << 20:
            left = max(0, (session.stat_handle(handle).size or 0) - offset)
            if length is None and left > _LARGEST:
                raise SftpFailure(FAILURE, f"it is too large for an object: {left:,} bytes")
            length = left if length is None else min(length, left)
        return session.read_all(handle, offset, length) if length else b""
    finally:
        session.close_handle(handle)


def _objects(session: SftpSession, path: str, kind: str) -> Iterator[ObjectInfo]:
    try:
        for name, attributes in session.names(path):
            if not is_name(f"{kind}/{name}"):
                continue
            if attributes.size is None or attributes.mode is None:
                attributes = session.stat(f"{path}/{name}")  # noqa: PLW2901
            if stat.S_ISREG(attributes.mode or stat.S_IFREG):
                yield ObjectInfo(f"{kind}/{name}", attributes.size or 0)
    except SftpFailure as failure:
        if failure.code != NO_FILE:
            raise


def _make_directory(session: SftpSession, path: str) -> None:
    try:
        session.make_directory(path)
    except SftpFailure as failure:
        try:
            found = session.stat(path)  # was it there, or could it not be made?
        except SftpFailure:
            raise failure from None
        if not stat.S_ISDIR(found.mode or stat.S_IFDIR):
            raise SftpFailure(FAILURE, f"{path} is no directory") from None
