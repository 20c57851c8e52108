"""A layer of the classic image store, put together as its tar again.

The engine unpacks layers, and keeps beside the files what of the tar they are not: a list of JSON
lines, by gzip, in which all headers and paddings are (2), and between them the names and sizes of
files whose bytes come next (1).

    {"type":2,"payload":"<base64>"}
    {"type":1,"name":"etc/hosts","size":174,"payload":"<a check sum>"}

Names come from whoever made the image: no link is followed on the way to a file, and only regular
files are read, or what is outside could be. Bodies without bytes, such as those of white-outs, have
no file to be read.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from backup.blocks import Block
from backup.engine.gather import gathered
from backup.errors import DamagedImage

_FILE: Final = 1
_REST: Final = 2
_LONGEST: Final = 64 << 20
_PIECE: Final = 1 << 20
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REGULAR: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Piece(msgspec.Struct):
    """A line. `name_raw` is there where the name is not UTF-8."""

    type: int
    payload: bytes | None = None
    name: str = ""
    name_raw: bytes = b""
    size: int = 0


_DECODER: Final = msgspec.json.Decoder(_Piece)


class LayerFile:
    """One layer: `pieces` is the list, `files` the directory. `size` is that of the tar."""

    def __init__(self, pieces: Path, files: Path) -> None:
        """Raise DamagedImage for a list that cannot be read."""
        self._pieces = pieces
        self._files = files
        self.size = sum(_size(one) for one in self._listed())

    def read(self) -> Iterator[Block]:
        """The tar. Raises DamagedImage when a file is not what the list says."""
        return gathered(self._read())

    def _read(self) -> Iterator[Block]:
        try:
            with closing(_Tree(self._files)) as tree:
                for piece in self._listed():
                    if piece.type == _REST:
                        yield piece.payload or b""
                    elif piece.size:
                        yield from tree.body(piece.name_raw or piece.name.encode(), piece.size)
        except OSError as error:
            raise DamagedImage(f"cannot read a layer in {self._files}: {error}") from error

    def _listed(self) -> Iterator[_Piece]:
        try:
            with gzip.open(self._pieces) as file:
                while line := file.readline(_LONGEST):
                    yield _DECODER.decode(line)
        except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
            raise DamagedImage(f"cannot read {self._pieces}: {error}") from error


class _Tree:
    """The files of a layer. The last directory stays open: the next file is often in it as well."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _DIRECTORY)
        self._names: list[bytes] = []
        self._directory = os.dup(self._root)

    def close(self) -> None:
        os.close(self._directory)
        os.close(self._root)

    def body(self, path: bytes, size: int) -> Iterator[bytes]:
        """The bytes of a file. Raises OSError, DamagedImage."""
        *names, last = [name for name in path.split(b"/") if name not in (b"", b".")]
        if b".." in (*names, last):
            raise DamagedImage(f"a layer has a file outside of it: {path!r}")
        self._enter(names)
        if not stat.S_ISREG(os.lstat(last, dir_fd=self._directory).st_mode):
            raise DamagedImage(f"a file of a layer is none: {path!r}")
        handle = os.open(last, _REGULAR, dir_fd=self._directory)
        try:
            while size:
                block = os.read(handle, min(size, _PIECE))
                if not block:
                    raise DamagedImage(f"a file of a layer is too short: {path!r}")
                size -= len(block)
                yield block
        finally:
            os.close(handle)

    def _enter(self, names: list[bytes]) -> None:
        if names == self._names:
            return
        reached = os.dup(self._root)
        try:
            for name in names:
                inner = os.open(name, _DIRECTORY, dir_fd=reached)
                os.close(reached)
                reached = inner
        except BaseException:
            os.close(reached)
            raise
        os.close(self._directory)
        self._directory, self._names = reached, names


def _size(piece: _Piece) -> int:
    return len(piece.payload or b"") if piece.type == _REST else piece.size
