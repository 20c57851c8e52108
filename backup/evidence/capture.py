"""One capture, from the first look to the digest of all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.engine import Engine
from backup.engine.inspection import Seen, identity, seen
from backup.evidence import journal
from backup.evidence.gather import Gathering, times
from backup.evidence.journal import Record
from backup.evidence.ledger import Artefact, Ledger, Missing
from backup.evidence.place import (
    Facts,
    InRepository,
    Place,
    demand_free,
    directory,
    temporary_beside,
)
from backup.report import Advanced, OnEvent
from backup.repository import Repository, SnapshotId


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be captured, and how. `state` is the directory of journals."""

    container: str
    pause: bool
    run: str
    program: str
    state: Path
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was captured: `sums` is the digest of SHA256SUMS, which has all others."""

    container: str
    artefacts: tuple[Artefact, ...]
    missing: tuple[Missing, ...]
    sums: str
    snapshot: SnapshotId | None = None


def into_file(engine: Engine, wish: Wish, output: Path, on_event: OnEvent) -> Evidence:
    """Capture into a new directory, or a new tar file, by the name's ending.

    Raises NotOnEngine, UsageError, ArchiveError, EngineUnavailable; then nothing is left.
    """
    demand_free(output)
    container = seen(engine, wish.container)
    temporary = temporary_beside(output)
    with (
        _journalled(engine, wish, container, temporary) as went_on,
        directory(temporary) as made,
    ):
        found = _gathered(
            Gathering(engine, container, _ledger(made, on_event), on_event), wish, went_on
        )
        made.publish(output)
    return found


def into_repository(
    engine: Engine, wish: Wish, repository: Repository, on_event: OnEvent
) -> Evidence:
    """Capture as a snapshot of the source evidence:NAME.

    Raises NotOnEngine, EngineUnavailable, TransportError; then there is no snapshot.
    """
    container = seen(engine, wish.container)
    facts = Facts(
        time=datetime.now(UTC), host=engine.name, run=wish.run, program=wish.program, tags=wish.tags
    )
    with (
        _journalled(engine, wish, container, None) as went_on,
        InRepository(repository) as made,
    ):
        found = _gathered(
            Gathering(engine, container, _ledger(made, on_event), on_event), wish, went_on
        )
        snapshot_id = made.commit(f"evidence:{container.name}", facts)
    return replace(found, snapshot=snapshot_id)


def _journalled(
    engine: Engine, wish: Wish, container: Seen, temporary: Path | None
) -> AbstractContextManager[Callable[[], None]]:
    """Whatever happens within, the container goes on and the image is removed."""
    record = Record(
        engine=identity(engine),
        container=container.id,
        name=container.name,
        image=f"{journal.REPOSITORY}:{wish.run}",
        pauses=wish.pause and not container.paused,
        directory=str(temporary) if temporary else None,
    )
    return journal.written(wish.state, wish.run, engine, record)


def _ledger(place: Place, on_event: OnEvent) -> Ledger:
    return Ledger(place, on_size=lambda size: on_event(Advanced(size)))


def _gathered(gathering: Gathering, wish: Wish, went_on: Callable[[], None]) -> Evidence:
    engine, container, ledger = gathering.engine, gathering.container, gathering.ledger
    started = times(engine)
    # one that is paused already is not ours to pause, nor to unpause
    paused = went_on if wish.pause and not container.paused else None
    pauses = gathering.gather((journal.REPOSITORY, wish.run), paused)
    facts: dict[str, Any] = {
        "program": wish.program,
        "run": wish.run,
        "container": asdict(container),
        "engine": {"id": identity(engine), "name": engine.name, "version": engine.version},
        "started": asdict(started),
        "ended": asdict(times(engine)),
        "paused": {when: asdict(each) for when, each in pauses.items()} or None,
    }
    sums = ledger.close(facts)
    return Evidence(
        container=container.name,
        artefacts=tuple(ledger.artefacts),
        missing=tuple(ledger.missing),
        sums=sums,
    )
