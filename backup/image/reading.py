"""One pass over an archive of images, as it streams by.

Which files are layers, and of what, is told by the archive's last member (`manifest.json`), when
all layers have passed: whoever needs them takes what may be one. Each file is hashed as it passes,
compressed ones twice: their bytes, and the tar that they hold. Documents (configurations,
manifests, indexes) are small and kept; nothing else is.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, TypeVar

from backup.blocks import Block, Blocks
from backup.compression import CorruptStream, Form, Unpacker, form_of_bytes
from backup.errors import DamagedImage
from backup.image.layout import Contents, Passed, images
from backup.image.saved import SavedImage
from backup.tar.split import Entry, MalformedArchive, TruncatedArchive, split

DOCUMENT_AT_MOST: Final = 8 << 20
DOCUMENTS_AT_MOST: Final = 64 << 20
_WORDS_AT_MOST: Final = 4 << 10
_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_Part = TypeVar("_Part", Entry, Block)
_ERROR: Final = re.compile(rb'"error":"((?:[^"\\]|\\.)*)"')


class File:
    """A file of the archive that may be a layer; its bytes can be read once, while it is current.

    What is not read is read and hashed when the next one is asked for, unless it was skipped.
    """

    def __init__(self, name: str, size: int, body: Iterator[Block], what: str) -> None:
        self.name = name
        self.size = size
        self._what = what
        first = next(body, b"")
        self.form = form_of_bytes(first)
        self._body = chain((first,), body)
        self._skipped = False
        self._bytes: Any = hashlib.sha256()
        self._tar: Any = self._bytes if self.form is Form.TAR else hashlib.sha256()
        self._unpacker = Unpacker(self.form)
        self._ended = False
        self._tar_size = 0

    def raw(self) -> Iterator[Block]:
        """Its bytes as they are in the archive."""
        for block in self._body:
            self._bytes.update(block)
            if self.form is not Form.TAR:
                for _ in self._unpacked(block):
                    pass
            yield block
        self._end()

    def plain(self) -> Iterator[Block]:
        """The tar that it holds, decompressed where need be."""
        if self.form is Form.TAR:
            yield from self.raw()
            return
        for block in self._body:
            self._bytes.update(block)
            yield from self._unpacked(block)
        self._end()

    def skip(self) -> None:
        """Do not look at it: somebody else vouches for it."""
        self._skipped = True

    def passed(self) -> Passed:
        """What is known of it once it went by; reads what was not read."""
        if self._skipped:
            return Passed(name=self.name, size=self.size, form=self.form)
        if not self._ended:
            for _ in self.raw():
                pass
        return Passed(
            name=self.name,
            size=self.size,
            digest=f"sha256:{self._bytes.hexdigest()}",
            diff_id=f"sha256:{self._tar.hexdigest()}",
            tar_size=self._tar_size or self.size,
            form=self.form,
        )

    def _unpacked(self, block: Block) -> Iterator[Block]:
        try:
            for plain in self._unpacker.feed(block):
                self._tar.update(plain)
                self._tar_size += len(plain)
                yield plain
        except CorruptStream as error:
            raise self._damaged(error) from error

    def _end(self) -> None:
        self._ended = True
        try:
            self._unpacker.finish()
        except CorruptStream as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DamagedImage:
        return DamagedImage(f"{self._what}: {self.name} is damaged: {error}")


class Reading:
    """One pass: `files` to its end, then `images`. `what` names the archive in errors.

    `absent` are files, with their sizes, that somebody took out on the way: they count as skipped.
    """

    def __init__(
        self, blocks: Blocks, what: str, absent: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._entries = split(blocks)
        self._what = what
        self._files = {name: Passed(name=name, size=size) for name, size in absent.items()}
        self._documents: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        self._kept = 0

    def files(self) -> Iterator[File]:
        """Yield what may be a layer, in the order of the archive.

        Raises DamagedImage for an archive that ends too early or is none.
        """
        for entry in self._proper(self._entries):
            if entry.kind == "z":
                self._demand_no_error(entry)
            file = self._file(entry)
            if file is not None:
                yield file
                self._pass(file.passed())

    def _proper(self, parts: Iterable[_Part]) -> Iterator[_Part]:
        """Yield entries, or blocks of one: whoever reads them may meet the end of the archive."""
        try:
            yield from parts
        except (TruncatedArchive, MalformedArchive) as error:
            raise DamagedImage(f"{self._what} is damaged: {error}") from error

    def images(self) -> tuple[SavedImage, ...]:
        """Give the images of the archive, whose layers all passed and are what their digests say.

        Raises DamagedImage, which names what is missing or wrong.
        """
        contents = Contents(files=self._files, documents=self._documents, links=self._links)
        return images(contents, self._what)

    def _pass(self, file: Passed) -> None:
        named = _BLOB.fullmatch(file.name)
        if named and file.digest and file.digest != f"sha256:{named[1]}":
            raise DamagedImage(
                f"{self._what} is damaged: a file should be sha256:{named[1]} and is {file.digest}"
            )
        self._files[file.name] = file

    def _demand_no_error(self, end: Entry) -> None:
        """Look at what follows the archive: an engine that fails ends it well, then says why."""
        last = b""
        for block in end.body:
            last = last[-_WORDS_AT_MOST:] + bytes(block[-_WORDS_AT_MOST:])
        found = _ERROR.search(last)
        if found:
            said = json.loads(f'"{found[1].decode(errors="replace")}"')
            raise DamagedImage(f"{self._what} is damaged: the engine broke off: {said}")

    def _file(self, entry: Entry) -> File | None:
        name = posixpath.normpath(entry.path.decode(errors="surrogateescape"))
        if entry.kind in "lh" and entry.path:
            target = entry.link.decode(errors="surrogateescape")
            beside = posixpath.dirname(name) if entry.kind == "l" else ""
            self._links[name] = posixpath.normpath(posixpath.join(beside, target))
        if entry.kind != "f":
            return None
        body = self._proper(entry.body)
        if entry.size <= DOCUMENT_AT_MOST:
            data = b"".join(map(bytes, body))
            if self._is_document(data):
                self._documents[name] = data
                self._files[name] = Passed(name=name, size=len(data))
                return None
            body = iter((data,))
        return File(name, entry.size, body, self._what)

    def _is_document(self, data: bytes) -> bool:
        """Tell documents from layers: the name of a layer's first file may look like JSON."""
        if data[:1] not in (b"{", b"["):
            return False
        try:
            json.loads(data)
        except ValueError:
            return False
        except RecursionError as error:
            raise DamagedImage(f"{self._what}: a document in it is nested too deeply") from error
        self._kept += len(data)
        if self._kept > DOCUMENTS_AT_MOST:
            raise DamagedImage(
                f"{self._what}: its documents have more than {DOCUMENTS_AT_MOST >> 20} MiB"
            )
        return True
