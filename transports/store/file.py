"""A store in a directory.

`put` writes a temporary file beside the objects, syncs it, links it to its name (a link refuses to
replace, a rename does not) and syncs the directory. A crash leaves at worst a temporary file, which
no listing shows and the next `put` of this process family removes once it is a day old.
"""

import contextlib
import ctypes
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from transports.errors import (
    ObjectExists,
    ObjectNotFound,
    OutOfSpace,
    Refused,
    TransportError,
    Unreadable,
)
from transports.store.protocol import Buffer, ObjectInfo, WriteOnce, check_name, is_name

_TEMPORARY = "tmp"
_STALE_AFTER_S = 24 * 3600
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# a directory, a socket, a circle of links; a disk that fails, a file system that is damaged
_OF_ONE_FILE = {
    errno.EISDIR,
    errno.ENXIO,
    errno.ELOOP,
    errno.EIO,
    errno.EBADMSG,
    errno.EUCLEAN,
}


class FileStore:
    """Objects as files below one directory, which only its owner may enter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._swept = False

    @property
    def url(self) -> str:
        return f"file:{self._directory}"

    @property
    def parallel(self) -> int:
        return 1  # a disk has no reply to wait for

    @property
    def write_once(self) -> WriteOnce:
        return WriteOnce.KEPT

    def create(self) -> None:
        with _translated("create the directory", str(self._directory)):
            missing = [self._directory, *self._directory.parents]
            missing = [directory for directory in missing if not directory.exists()]
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in missing:
                sync_directory(directory.parent)

    def put(self, name: str, data: Buffer) -> None:
        path = self._path(name)
        with _translated("store", f"{name} in {self._directory}"):
            self._sweep()
            self._make_kind(path.parent)
            temporary = self._temporary(name)
            try:
                _write_synced(temporary, data)
                self._publish(temporary, path, data)
            finally:
                temporary.unlink(missing_ok=True)
            sync_directory(path.parent)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        what = f"{name} in {self._directory}"
        with _translated("read", what):
            try:
                return _read(self._path(name), offset, length)
            except OSError as error:
                if error.errno in _OF_ONE_FILE:
                    raise Unreadable(f"cannot read {what}: {os.strerror(error.errno)}") from error
                raise
            except MemoryError as error:
                raise Unreadable(f"cannot read {what}: it is too large for memory") from error

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        directory = self._directory / kind
        with _translated("list", str(directory)):
            try:
                entries = os.scandir(directory)
            except FileNotFoundError:
                return
            with entries:
                for entry in entries:
                    # what vanishes between the two calls was deleted, and is simply not there
                    with contextlib.suppress(FileNotFoundError):
                        name = f"{kind}/{entry.name}"
                        if is_name(name) and entry.is_file(follow_symlinks=False):
                            yield ObjectInfo(name, entry.stat().st_size)

    def stat(self, name: str) -> ObjectInfo:
        with _translated("look at", f"{name} in {self._directory}"):
            return ObjectInfo(name, self._path(name).stat().st_size)

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _translated("delete", f"{name} in {self._directory}"):
            path.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                sync_directory(path.parent)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _path(self, name: str) -> Path:
        return self._directory / check_name(name)

    def _temporary(self, name: str) -> Path:
        flat = name.replace("/", "-")
        return self._directory / _TEMPORARY / f"{flat}.{os.getpid()}.{secrets.token_hex(4)}"

    def _make_kind(self, directory: Path) -> None:
        if not self._directory.is_dir():
            raise Refused(
                f"cannot store in {self._directory}: the directory is not there",
                hint="is the disk mounted? a new repository is made by `voltar init`",
            )
        for wanted in (directory, self._directory / _TEMPORARY):
            if not wanted.is_dir():
                wanted.mkdir(mode=0o700, exist_ok=True)
                sync_directory(self._directory)

    def _publish(self, temporary: Path, path: Path, data: Buffer) -> None:
        try:
            publish(temporary, path)
        except FileExistsError:
            # a retry after a lost reply finds its own object
            if not _holds(path, data):
                raise ObjectExists(f"{path} is there already, with other bytes") from None

    def _sweep(self) -> None:
        """Once per process, remove temporary files that writers killed long ago left behind."""
        if self._swept:
            return
        self._swept = True
        with contextlib.suppress(FileNotFoundError):
            for path in (self._directory / _TEMPORARY).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < time.time() - _STALE_AFTER_S:
                        path.unlink()


def _read(path: Path, offset: int, length: int | None) -> bytes:
    # whatever was put in an object's place must not block: a FIFO, say
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable(f"{path} is not a file")
        file.seek(offset)
        return file.read(-1 if length is None else length)


def publish(temporary: Path, path: Path) -> None:
    """Give a complete file a name that must be free.

    The temporary name may be left, the directory is not synced. Raises FileExistsError, OSError.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_new(temporary, path)  # no hard links here: FAT, some network mounts


def _rename_new(source: Path, target: Path) -> None:
    """Rename a file to a name that must be free. Raises FileExistsError, OSError.

    Where the system cannot refuse to replace, two writers of one name at the same moment may both
    succeed; all names of objects but one are digests of the bytes, so they wrote the same.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(source), os.fsencode(target))
    renameat2 = getattr(libc, "renameat2", None)
    if renameat2 is not None:
        if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(target))
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _write_synced(path: Path, data: Buffer, *, is_public: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if is_public:
            os.fchmod(descriptor, 0o644)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: Buffer, *, is_public: bool = False) -> None:
    """Put a file in its place at once, whole and durable: whoever reads it sees the former or this.

    One that is public may be read by all, whatever the umask: who collects metrics and reports is
    another user. Others are for their owner alone. Raises OSError, and then the former is there.
    Whoever is killed may leave a file with a dot in front.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_synced(temporary, data, is_public=is_public)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power failure. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, data: Buffer) -> bool:
    return path.stat().st_size == len(data) and path.read_bytes() == data


@contextlib.contextmanager
def _translated(act: str, what: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"cannot {act} {what}: it is not there") from error
    except PermissionError as error:
        raise Refused(
            f"cannot {act} {what}: permission denied",
            hint="run voltar as the directory's owner, or give this user the right to it",
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpace(
                f"cannot {act} {what}: {os.strerror(error.errno)}",
                hint="`voltar prune` frees what nobody needs; where nothing else writes,"
                " `voltar prune --exclusive` does so at once, and needs no room",
            ) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise TransportError(f"cannot {act} {what}: {reason}") from error
