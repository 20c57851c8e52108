"""Boot, assert: a container as it was captured, cut off, brought up, and asked whether it is right.

Whatever it does, it can reach what was restored for it, and nothing else.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from backup.drill.choice import Unit
from backup.drill.isolation import Place, Surroundings, isolated, mounting
from backup.drill.level import Level, Outcome, Step
from backup.drill.proof import Proven
from backup.drill.scene import Scene
from backup.engine import (
    Command,
    Engine,
    ImageFacts,
    canonical,
    create_container,
    find_image,
    host,
    images,
    logs,
    request,
    run_in,
    start,
    state,
    volume,
)
from backup.engine.reference import Reference
from backup.errors import (
    BackupError,
    EngineUnavailable,
    IntegrityError,
    NotOnEngine,
    VerificationFailed,
)
from backup.image.stored import stored
from backup.image.transfer import Options, deliver
from backup.lookup import Found
from backup.report import OnEvent, Started
from backup.repository import Repository, Snapshot
from transports.errors import TransportError

_POLL_S: Final = 0.2
_LOG_LINES: Final = 20
_SHOWN: Final = 400
_WHOLE: Final = 1 << 62
"""What comes from a repository can be had again: it is loaded in one portion."""
_ALONE: Final = "it was started alone, and may need others of its stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How far a drill goes, and what it waits for: `settle_s` is how long a container without a
    health check has to run. `container` names the one that is booted where there are several."""

    level: Level = Level.ASSERT
    settle_s: float = 10.0
    timeout_s: float = 300.0
    container: str | None = None
    command: tuple[str, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Booted:
    """What became of a container. `seconds` are by stage, `left_out` what it was captured with and
    not started with."""

    steps: list[Step] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Stopped(Exception):
    """The container did not come up; `output` is what it wrote last."""

    why: str
    output: str = ""


def skipped(why: str) -> Booted:
    """A container that was not started, and why."""
    step = Step(level=Level.BOOT, outcome=Outcome.SKIPPED, message=why)
    return Booted(steps=[step, _unasked("the container was not started")])


def boot(
    stage: Scene,
    unit: Unit,
    proven: Sequence[Proven],
    wishes: Wishes,
    shelf: "Shelf",
) -> Booted:
    """Bring a container up and ask it. Raises EngineUnavailable."""
    assert unit.definition is not None  # noqa: S101  a container's
    began = time.monotonic()
    booted = Booted()
    name = stage.name()
    try:
        _bring_up(stage, unit.definition, proven, wishes, (booted, name, shelf))
    except EngineUnavailable:
        raise
    except Stopped as error:
        _failed(booted, Level.BOOT, error.why, began, output=error.output)
    except (BackupError, TransportError) as error:
        damaged = isinstance(error, IntegrityError | VerificationFailed)
        _failed(booted, Level.BOOT, str(error), began, damaged=damaged)
    else:
        _passed(booted, Level.BOOT, began)
        _ask(stage, name, wishes, booted)
        return booted
    booted.steps.append(_unasked("the container did not come up"))
    return booted


def _bring_up(
    stage: Scene,
    definition: Mapping[str, Any],
    proven: Sequence[Proven],
    wishes: Wishes,
    into: "tuple[Booted, str, Shelf]",
) -> None:
    booted, name, shelf = into
    engine = stage.engine
    shelf.on_event(Started("boot", f"container:{definition.get('name')}"))
    image = shelf.image(stage, definition)
    wanted = mounting(definition, [one.source for one in proven if one.volume])
    around = Surroundings(
        name=name,
        network=stage.network,
        labels=stage.labels,
        memory=int(engine.info.get("MemTotal") or 0),
    )
    places = [*_restored(engine, wanted.restored, proven)]
    places += [Place(source=stage.make_volume(), destination=at, read_only=ro, fresh=True)
               for at, ro in wanted.empty]  # fmt: skip
    made, left_out = isolated(definition, around, places)
    booted.left_out = (*wanted.left_out, *left_out)
    if made["networks"]:
        stage.make_network()
    create_container(engine, name, request(made, image, host(engine).api))
    start(engine, name)
    _await(engine, name, wishes)


def _restored(
    engine: Engine, wanted: Sequence[tuple[str, str, bool]], proven: Sequence[Proven]
) -> list[Place]:
    having = {one.source: one for one in proven}
    places = []
    for source, destination, read_only in wanted:
        one = having[source]
        assert one.volume is not None  # noqa: S101  what was restored
        place = one.volume
        if one.file:
            place = str(PurePosixPath(volume(engine, one.volume).mountpoint) / one.file)
        places.append(Place(source=place, destination=destination, read_only=read_only))
    return places


def _await(engine: Engine, name: str, wishes: Wishes) -> None:
    """Wait until a container is healthy, or has run for a while. Raises Stopped."""
    began = time.monotonic()
    while True:
        now = state(engine, name)
        took = time.monotonic() - began
        if not now.running:
            why = f"the container ended with exit code {now.exit_code} after {took:.0f} s"
            raise Stopped(f"{why}{_said(engine, name)}", _log(engine, name))
        if now.health == "healthy" or (not now.health and took >= wishes.settle_s):
            return
        if now.health and took >= wishes.timeout_s:
            probe = f": {now.health_said}" if now.health_said else ""
            why = f"not healthy after {took:.0f} s, but {now.health}{probe}"
            raise Stopped(why, _log(engine, name))
        time.sleep(_POLL_S)


def _log(engine: Engine, name: str) -> str:
    return "\n".join(logs(engine, name, _LOG_LINES))


def _said(engine: Engine, name: str) -> str:
    last = [line for line in logs(engine, name, _LOG_LINES) if line.strip()][-1:]
    return f": {last[0].strip()[-_SHOWN:]}" if last else f"; {_ALONE}"


def _ask(stage: Scene, name: str, wishes: Wishes, booted: Booted) -> None:
    """Run the command that must end with 0."""
    if wishes.command is None:
        booted.steps.append(_unasked("no command is configured"))
        return
    if wishes.level.rank < Level.ASSERT.rank:
        booted.steps.append(_unasked("it was not asked for"))
        return
    began = time.monotonic()
    shown = " ".join(wishes.command)
    try:
        done = run_in(
            stage.engine,
            Command(container=name, argv=wishes.command),
            timeout_s=wishes.timeout_s,
            run=stage.run,
        )
    except EngineUnavailable:
        raise
    except BackupError as error:
        _failed(booted, Level.ASSERT, str(error), began)
        return
    if done.status == 0:
        _passed(booted, Level.ASSERT, began, output=done.said)
        return
    how = f"ended with exit code {done.status}"
    if done.status is None:
        how = f"had not ended after {wishes.timeout_s:.0f} s"
    last = f": {done.said.splitlines()[-1][-_SHOWN:]}" if done.said else ""
    _failed(booted, Level.ASSERT, f"{shown} {how}{last}", began, output=done.said)


def _unasked(why: str) -> Step:
    return Step(level=Level.ASSERT, outcome=Outcome.SKIPPED, message=why)


def _passed(booted: Booted, level: Level, began: float, output: str = "") -> None:
    took = round(time.monotonic() - began, 3)
    booted.seconds[level.value] = took
    booted.steps.append(Step(level=level, outcome=Outcome.PASSED, seconds=took, output=output))


def _failed(
    booted: Booted,
    level: Level,
    why: str,
    began: float,
    *,
    damaged: bool = False,
    output: str = "",
) -> None:
    took = round(time.monotonic() - began, 3)
    booted.seconds[level.value] = took
    booted.steps.append(
        Step(
            level=level,
            outcome=Outcome.FAILED,
            message=why,
            seconds=took,
            damaged=damaged,
            output=output,
        )
    )


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the very image comes from that a container was made of: the engine, or a snapshot."""

    repository: Repository
    saved: Sequence[Found]
    on_event: OnEvent

    def image(self, stage: Scene, definition: Mapping[str, Any]) -> str:
        """Return the id of the image on the drill's engine. Raises NotOnEngine where it is gone."""
        wanted = definition.get("image") or {}
        there = _on_engine(stage.engine, wanted)
        if there is not None:
            return there.id
        snapshot = next((one for _, one in reversed(self.saved) if _is_of(one, wanted)), None)
        if snapshot is None:
            name = f"{wanted.get('reference')} ({str(wanted.get('id'))[:19]})"
            raise NotOnEngine(
                "image", name, hint="`voltar backup --with-image` keeps images in the repository"
            )
        kept = stored(self.repository, snapshot, Reference.parse(stage.image))
        return deliver(kept, stage.engine, Options(portion=_WHOLE), self.on_event).image_id


def _on_engine(engine: Engine, wanted: Mapping[str, Any]) -> ImageFacts | None:
    """The image by its id, or, since an id is good in one kind of image store only, by what is in
    it. A name would not do: it may lead to another image by now."""
    try:
        return find_image(engine, str(wanted.get("id")))
    except NotOnEngine:
        layers, settings = wanted.get("layers") or (), canonical(wanted.get("config"))
        if not layers:
            return None
        return next((one for one in images(engine) if one.is_like(layers, settings)), None)


def _is_of(snapshot: Snapshot, wanted: Mapping[str, Any]) -> bool:
    image = snapshot.image
    if image is None:
        return False
    return image.id == wanted.get("id") or (
        bool(wanted.get("layers")) and image.diff_ids == list(wanted["layers"])
    )
