"""Catalog, store, content: what a repository has of a source, proven by a restore.

While it is restored every byte is read and checked, so the store is proven by the same reading; a
second one would tell no more.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from backup.destination import Target
from backup.drill.level import Level, Outcome, Step
from backup.drill.scene import Scene
from backup.errors import (
    BackupError,
    DamagedImage,
    EngineUnavailable,
    IntegrityError,
    UnsafeArchive,
    VerificationFailed,
)
from backup.lookup import Found
from backup.members import selection
from backup.report import Event, OnEvent, Started
from backup.repository import Member, Repository
from backup.repository.manifest import to_bytes
from backup.restore import Verify, restore
from backup.survey import Selection, Survey, survey
from transports.errors import TransportError

Failure = BackupError | TransportError
_DAMAGE: Final = (IntegrityError, VerificationFailed, UnsafeArchive, DamagedImage)
_BLOCK: Final = 4096
_LEVELS: Final = (Level.CATALOG, Level.STORE, Level.CONTENT)


@dataclass(slots=True, kw_only=True)
class Proven:
    """What became of one source. `volume` has it, once it is restored; `file` is the name of what
    it is where it is one file. `seconds` are by stage. An image is no tree of files: the `last` of
    its levels is the store."""

    source: str
    snapshot: str
    time: datetime
    entries: int = 0
    size: int = 0
    steps: list[Step] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    volume: str | None = None
    file: str = ""
    last: Level = Level.CONTENT

    def fail(self, level: Level, error: Failure, since: float) -> None:
        """Write down that a level failed, and why."""
        message = str(error) + "".join(f"; {one}" for one in getattr(error, "differences", ())[1:])
        damaged = isinstance(error, _DAMAGE)
        self._add(level, Outcome.FAILED, message, since, damaged=damaged)

    def succeed(self, level: Level, since: float) -> None:
        """Write down that a level was passed."""
        self._add(level, Outcome.PASSED, "", since)

    def skip(self, why: str) -> None:
        """Write down that the levels up to content that were not looked at were skipped."""
        seen = {step.level for step in self.steps}
        for level in _LEVELS[: self.last.rank + 1]:
            if level not in seen:
                self.steps.append(Step(level=level, outcome=Outcome.SKIPPED, message=why))
        self.steps.sort(key=lambda step: step.level.rank)

    def _add(
        self, level: Level, outcome: Outcome, message: str, since: float, *, damaged: bool = False
    ) -> None:
        took = round(time.monotonic() - since, 3)
        self.steps.append(
            Step(level=level, outcome=outcome, message=message, seconds=took, damaged=damaged)
        )


def look(repository: Repository, found: Found) -> tuple[Proven, Survey | None]:
    """Prove the catalog: the manifest is read through, and all its chunks are looked up."""
    snapshot_id, snapshot = found
    proven = Proven(source=snapshot.source, snapshot=snapshot_id, time=snapshot.time)
    proven.last = Level.STORE if snapshot.image else Level.CONTENT
    began = time.monotonic()
    try:
        surveyed = survey(repository, snapshot, Selection())
    except (BackupError, TransportError) as error:
        proven.fail(Level.CATALOG, error, began)
        return proven, None
    proven.entries, proven.size, proven.file = surveyed.entries, surveyed.size, _file(surveyed)
    proven.succeed(Level.CATALOG, began)
    proven.seconds["select"] = time.monotonic() - began
    return proven, surveyed


def _file(found: Survey) -> str:
    """The name of the file that a source is, or "" for a directory with whatever is in it."""
    members = [one for one in found.few or () if isinstance(one, Member) and one.kind not in "gz"]
    if len(members) != 1 or members[0].kind != "f":
        return ""
    return to_bytes(members[0].path).decode(errors="surrogateescape")


def read(proven: Proven, found: Survey) -> None:
    """Prove the store alone: every byte is read, and is what was stored."""
    began = time.monotonic()
    try:
        for _ in selection(found):
            pass
    except (BackupError, TransportError) as error:
        proven.fail(Level.STORE, error, began)
    else:
        proven.succeed(Level.STORE, began)


def restored(stage: Scene, proven: Proven, found: Survey, on_event: OnEvent) -> None:
    """Prove store and content: restored into a volume of the drill's, read back and compared.

    Raises EngineUnavailable: then there is no use in going on.
    """
    if found.snapshot.image is not None:
        read(proven, found)
        return
    facts = stage.scratch()
    clock = _Clock(on_event)
    began = time.monotonic()
    try:
        into = Target(facts.name, facts)
        full = Verify.FULL
        restore(stage.engine, found, into, run=stage.run, verify=full, on_event=clock)
    except EngineUnavailable:
        raise
    except (BackupError, TransportError) as error:
        reading = clock.verifying is None
        from_store = isinstance(error, IntegrityError | TransportError) and reading
        if isinstance(error, VerificationFailed) or not reading:
            proven.succeed(Level.STORE, began)
        proven.fail(Level.STORE if from_store else Level.CONTENT, error, began)
        proven.skip("not all of it was read and compared")
        return
    proven.volume = facts.name
    proven.succeed(Level.STORE, began)
    proven.succeed(Level.CONTENT, began)
    ended, verifying = time.monotonic(), clock.verifying or began
    proven.seconds |= {"restore": verifying - began, "verify": ended - verifying}


@dataclass(slots=True)
class _Clock:
    """Passes events on, and remembers when the contents began to be compared."""

    on_event: OnEvent
    verifying: float | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started) and event.work == "verify":
            self.verifying = time.monotonic()
        self.on_event(event)


def room(sources: Iterable[tuple[int, int]]) -> int:
    """Return how much room sources need, given by their bytes and their entries, and a tenth more:
    each entry takes a block, and a container writes too."""
    needed = sum(size + entries * _BLOCK for size, entries in sources)
    return needed + needed // 10


def lacking_room(needed: int, free: int) -> str | None:
    """Say that there is no room for so many bytes, or return None."""
    if needed <= free:
        return None
    return f"no room: the engine has {free >> 20} MiB free, and {needed >> 20} MiB are needed"
