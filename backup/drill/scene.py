"""Where a drill plays: volumes, a network, a container and an image of its own, gone at its end.

    with scene(engine, run) as stage:
        stage.volume_facts(name)

A helper stands for the drill as long as it lives, made before and removed after all else. So what
`sweep` finds without one was left by a drill that was killed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from backup.engine import (
    DRILL_IMAGE,
    DRILL_LABEL,
    Access,
    Engine,
    Network,
    clear,
    create_network,
    create_volume,
    drill_name,
    helper,
    living,
    remains,
)
from backup.errors import EngineError
from backup.report import Noted, OnEvent
from backup.repository import VolumeFacts
from backup.restore import uninterrupted

_LATE_S: Final = 0.5
"""An engine may go on to make what nobody waits for any more."""
_NO_ADDRESS: Final = "com.docker.network.bridge.inhibit_ipv4"


@dataclass(slots=True)
class Scene:
    """What one drill may make on an engine, and how it is called."""

    engine: Engine
    run: str
    on_event: OnEvent
    left: list[str] = field(default_factory=list)
    _made: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """What is on all that is made."""
        return {DRILL_LABEL: self.run}

    @property
    def network(self) -> str:
        """The name of the network."""
        return drill_name(self.run)

    @property
    def image(self) -> str:
        """The name for an image that is not there."""
        return f"{DRILL_IMAGE}:{self.run}"

    def name(self) -> str:
        """Return a name that nothing else has."""
        self._made += 1
        return f"{drill_name(self.run)}-{self._made}"

    def scratch(self) -> VolumeFacts:
        """Return what a new volume is to be like: never like the captured one, whose driver and
        options may lead to production's data."""
        return VolumeFacts(name=self.name(), labels=self.labels)

    def make_volume(self) -> str:
        """Make an empty volume; return its name."""
        name = self.name()
        create_volume(self.engine, name, labels=self.labels)
        return name

    def make_network(self) -> str:
        """Make the network: no way out, and its bridge has no address of the host."""
        wanted = Network(
            id="",
            name=self.network,
            driver="bridge",
            internal=True,
            options={_NO_ADDRESS: "true"},
            labels=self.labels,
        )
        create_network(self.engine, wanted)
        return self.network

    def clear(self) -> None:
        """Remove all that was made so far; tell what cannot be removed."""
        left = remains(self.engine).get(self.run)
        for why in clear(self.engine, left) if left else ():
            self.left.append(why)
            self.on_event(Noted("drill", b"", f"{why}; the next run tries again"))


@contextmanager
def scene(engine: Engine, run: str, on_event: OnEvent) -> Iterator[Scene]:
    """A scene for one drill; nothing of it is left, however the `with` ends."""
    stage = Scene(engine, run, on_event)
    with helper(engine, (), access=Access.READ, run=run, labels=stage.labels):
        try:
            yield stage
        except BaseException as error:
            with uninterrupted():
                try:
                    stage.clear()
                    time.sleep(_LATE_S)
                    stage.clear()
                except EngineError as left:
                    error.add_note(f"the next run clears away what the drill made: {left}")
            raise


@dataclass(frozen=True, slots=True)
class DeadDrill:
    """A drill that was killed. `left` says why something of it is there still."""

    run: str
    left: tuple[str, ...]


def sweep(engine: Engine) -> list[DeadDrill]:
    """Remove what killed drills left. Who is alive is asked last: what was made has its helper."""
    found = remains(engine)
    if not found:
        return []
    alive = living(engine)
    return [
        DeadDrill(run, tuple(clear(engine, left)))
        for run, left in found.items()
        if run not in alive
    ]
