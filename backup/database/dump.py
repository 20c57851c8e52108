"""A server's dump as a source of its own, "dump:CONTAINER/postgres".

It is stored while it comes, as the one file of an archive, so that what did not change since the
last dump is not stored again. A dump is whole when its program ended well *and* the line is there
that it writes last: the end of a stream looks the same for a program that has lost its server.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from backup.blocks import Block
from backup.database.danger import Directory, directory_of
from backup.database.dialect import Dialect
from backup.database.server import dialect, failed, reached
from backup.database.way import demand_unmarked
from backup.engine import Engine, container
from backup.errors import EngineError
from backup.recorder import Recorder
from backup.report import Advanced, Finished, Noted, OnEvent, Started
from backup.repository import Extent, Repository, Statistics, Writer
from backup.tar.build import end_of_archive
from backup.tar.split import Entry, split
from backup.targets import Dump

_END: Final = 4096
_TOLD: Final = 20
"""How many of the complaints of a program are told, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A dump, stored. `time` is the engine's clock before it began. `directory` is where its
    server has the data."""

    time: datetime
    definition: dict[str, Any]
    manifest: list[Extent]
    statistics: Statistics
    notes: int
    directory: Directory | None


def keep(engine: Engine, dump: Dump, into: tuple[Repository, Writer], on_event: OnEvent) -> Kept:
    """Store a dump. Nothing refers to it until a snapshot is committed: the next statement.

    Raises ConfigError, NotOnEngine, InUse for a server that holds a part of another dump, and
    EngineError for one that is down, or a dump that is not whole.
    """
    speech = dialect(dump.kind)
    found = container(engine, dump.container)
    server = reached(engine, found, speech)
    demand_unmarked(server)
    time = datetime.fromtimestamp(engine.now(), UTC)
    recorder = Recorder(*into)
    on_event(Started("backup", dump.source))
    whole = Whole(speech, dump.container)
    with server.dumping(history=server.history == "whole") as output:
        stored = recorder.store(_told(whole.checked(output), on_event))
        done = output.finished
    if done is None or done.status:
        raise EngineError(str(failed(speech.dump[0], dump.container, done)) if done else _CUT)
    whole.demand()
    lacking = [_LACKING] if server.history == "lacking" else []
    for text in (*lacking, *done.stderr.splitlines()[:_TOLD]):
        recorder.note(speech.file.encode(), text)
        on_event(Noted(dump.source, speech.file.encode(), text))
    recorder.add(_entry(speech.file, whole.size, time), stored=stored)
    recorder.add(end_of_archive())
    manifest = recorder.finish()
    on_event(Finished("backup", dump.source))
    return Kept(
        time=time,
        definition=found.definition,
        manifest=manifest,
        statistics=recorder.statistics,
        notes=recorder.notes,
        directory=directory_of(found.mounts, server.directory),
    )


_LACKING: Final = (
    "former rows of system-versioned tables are not in the dump: mariadb-dump has them since "
    "10.11, and not where a table is versioned by transactions"
)
_CUT: Final = "the dump was given up before its end"


class Whole:
    """Sees a dump pass, and knows at its end whether that is one."""

    def __init__(self, speech: Dialect, container: str) -> None:
        self.size = 0
        self._speech = speech
        self._container = container
        self._head = b""
        self._end = b""

    def checked(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            self.size += len(block)
            if len(self._head) < len(self._speech.begins):
                self._head += bytes(block[: len(self._speech.begins)])
            self._end = (self._end + bytes(block[-_END:]))[-_END:]
            yield block

    def demand(self) -> None:
        """Raise EngineError unless what passed was a dump from its first to its last line."""
        begun = self._head.startswith(self._speech.begins)
        if not begun or self._speech.ends not in self._end:
            what = "does not end" if begun else "does not begin"
            raise EngineError(
                f"the dump of container {self._container!r} {what} as a whole one does: "
                f"it was cut, or is not one of {self._speech.kind.title}"
            )


def _told(blocks: Iterable[Block], on_event: OnEvent) -> Iterator[Block]:
    for block in blocks:
        on_event(Advanced(len(block)))
        yield block


def _entry(name: str, size: int, time: datetime) -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.timestamp())
    return next(split((info.tobuf(tarfile.PAX_FORMAT),)))
