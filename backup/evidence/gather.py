"""Asks the engine for everything, in the order in which it fades."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backup import complaints
from backup.blocks import Block
from backup.capture import TAR_ENDED_WELL, archived
from backup.engine import Access, Engine, Helper, helper, saved
from backup.engine.inspection import (
    Document,
    Log,
    Seen,
    committed,
    document,
    image_document,
    info_document,
    log,
    pause,
    unpause,
    version_document,
)
from backup.errors import EngineError, EngineUnavailable
from backup.evidence.ledger import Ledger
from backup.exclusion import NOTHING, Sieve
from backup.paths import printable
from backup.report import Finished, OnEvent, Started
from backup.scan import Spool, place
from backup.targets import Source, plan

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 64


@dataclass(frozen=True, slots=True)
class Times:
    """When something was, by this machine's clock and by the engine's, which may differ."""

    here: str
    engine: str


def times(engine: Engine) -> Times:
    """Look at both clocks."""
    return Times(datetime.now(UTC).isoformat(), str(engine.get("/info")["SystemTime"]))


@dataclass(slots=True)
class Gathering:
    """One capture. What cannot be had is written down, and the next is asked for."""

    engine: Engine
    container: Seen
    ledger: Ledger
    on_event: OnEvent

    def gather(
        self, image_name: tuple[str, str], went_on: Callable[[], None] | None
    ) -> dict[str, Times]:
        """Gather everything; `image_name` is name and tag. With `went_on`, the container is paused
        meanwhile, and that is called once it goes on. Return from when until when that was.

        Raises EngineUnavailable where the engine is gone, and what storing raises.
        """
        self._documents()
        paused: dict[str, Times] = {}
        with self._paused(paused, went_on) if went_on else nullcontext():
            image = self._committed(image_name)
            self._mounts(run=image_name[1])
        if image is not None:
            self._add("image.json", image_document(self.engine, image), "inspect of image.tar")
            self._save(image)
        after = document(self.engine, self.container.id, Document.INSPECT)
        self._add("inspect-after.json", after, "inspect, at the end")
        return paused

    def _documents(self) -> None:
        engine, one = self.engine, self.container
        for name, which, about in (
            ("top.json", Document.PROCESSES, "processes"),
            ("inspect.json", Document.INSPECT, "inspect"),
            ("diff.json", Document.CHANGES, "changed files"),
        ):
            self._add(name, document(engine, one.id, which), about)
        for stream in Log:
            self._add(f"logs/{stream.value}.log", log(engine, one, stream), f"log: {stream.value}")
        self._add("base-image.json", image_document(engine, one.image), "inspect of its own image")
        self._add("engine/version.json", version_document(engine), "the engine's version")
        self._add("engine/info.json", info_document(engine), "the engine's facts")

    def _add(self, name: str, blocks: Iterable[Block], about: str) -> None:
        with self._tolerated(about):
            self.ledger.add(name, blocks, about)

    @contextmanager
    def _paused(self, told: dict[str, Times], went_on: Callable[[], None]) -> Iterator[None]:
        with self._tolerated("a pause"):
            pause(self.engine, self.container.id)
            told["from"] = times(self.engine)
        try:
            yield
        finally:
            unpause(self.engine, self.container.id)
            went_on()
            if told:
                told["until"] = times(self.engine)

    def _committed(self, name: tuple[str, str]) -> str | None:
        with self._tolerated("image"):
            return committed(self.engine, self.container.id, *name)
        return None

    def _save(self, image: str) -> None:
        self.on_event(Started("capture", "image"))
        with self._tolerated("image"), saved(self.engine, [image]) as blocks:
            self.ledger.add("image.tar", blocks, "image of a commit, for docker load")
        self.on_event(Finished("capture", "image"))

    def _mounts(self, run: str) -> None:
        """Read every mount by a helper, as a backup does."""
        with self._tolerated("mounts"):
            target = f"container:{self.container.id}"
            wanted = plan(self.engine, [target], everything=False, keep_out=[])
            for what, why in wanted.skipped:
                self.ledger.lack(what, why)
            for what, error in wanted.failed:
                self.ledger.lack(what, str(error))
            for number, group in enumerate(wanted.groups, 1):
                with (
                    self._tolerated(", ".join(source.name for source in group.sources)),
                    helper(self.engine, group.mounts, access=Access.READ, run=run) as reader,
                ):
                    for place_in_group, source in enumerate(group.sources, 1):
                        self._mount(reader, source, f"{number}.{place_in_group}")

    def _mount(self, reader: Helper, source: Source, number: str) -> None:
        where = source.users[0].mount.destination if source.users else source.path
        about = f"{source.name} at {where}"
        safe = _UNSAFE.sub("-", source.name.partition(":")[2]).strip("-.")[-_LONGEST:]
        self.on_event(Started("capture", source.name))
        with self._tolerated(about), Spool() as spool:
            at = place(reader, source.path)
            scan = spool.fill(reader, at, Sieve(NOTHING), None)
            names = spool.names()
            with archived(reader, names, within=at.directory, ok=TAR_ENDED_WELL) as stream:
                self.ledger.add(f"mounts/{number}-{safe}.tar", stream, about)
            reasons = dict(scan.notes) | complaints.of_tar(stream)
            for path, why in sorted(reasons.items()):
                self.ledger.lack(f"{about}: {printable(path) or '.'}", why)
        self.on_event(Finished("capture", source.name))

    @contextmanager
    def _tolerated(self, about: str) -> Iterator[None]:
        """Write down that something cannot be had; without the engine nothing can."""
        try:
            yield
        except EngineUnavailable:
            raise
        except EngineError as error:
            self.ledger.lack(about, str(error))
