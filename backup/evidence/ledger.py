"""What was gathered, with digests, and what could not be."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Final

from backup.blocks import Block
from backup.errors import EngineError
from backup.evidence.place import Place

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file: its size in bytes, its digest in hex, and what it is."""

    name: str
    size: int
    sha256: str
    about: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What could not be had, or not all of it, and why."""

    about: str
    why: str


class _Reading:
    """One artefact on its way."""

    def __init__(self, on_size: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.failure: EngineError | None = None
        self._on_size = on_size

    def hashed(self, blocks: Iterable[Block]) -> Iterator[Block]:
        try:
            for block in blocks:
                self.digest.update(block)
                self.size += len(block)
                self._on_size(len(block))
                yield block
        except EngineError as error:
            self.failure = error


@dataclass(slots=True)
class Ledger:
    """Puts artefacts into a place, and writes down which."""

    place: Place
    artefacts: list[Artefact] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    on_size: Callable[[int], None] = lambda _: None

    def add(self, name: str, blocks: Iterable[Block], about: str) -> None:
        """Store an artefact. Raises EngineError where it cannot be read, and what storing raises.

        What came before its reading failed is kept, and is listed as cut off.
        """
        left = iter(blocks)
        reading = _Reading(self.on_size)
        first = next(left, b"")  # where nothing can be had, nothing is stored
        self.place.add(name, reading.hashed(chain((first,), left)))
        if reading.failure is not None:
            about = f"{about}, cut off"
        digest = reading.digest.hexdigest()
        self.artefacts.append(Artefact(name, reading.size, digest, about))
        if reading.failure is not None:
            raise reading.failure

    def lack(self, about: str, why: str) -> None:
        """Write down that something could not be had."""
        self.missing.append(Missing(about, why))

    def close(self, facts: Mapping[str, Any]) -> str:
        """Store the manifest, with these facts, and the sums; return the digest of the sums."""
        told = {
            "format": FORMAT,
            **facts,
            "artefacts": [asdict(each) for each in self.artefacts],
            "missing": [asdict(each) for each in self.missing],
        }
        self.add(MANIFEST, [json.dumps(told, indent=2).encode() + b"\n"], "this list")
        sums = "".join(f"{each.sha256}  {each.name}\n" for each in self.artefacts)
        self.add(SUMS, [sums.encode()], "digests, for sha256sum -c")
        return self.artefacts[-1].sha256
