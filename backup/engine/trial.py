"""What drills leave on an engine.

All that a drill makes has DRILL_LABEL with its run's id. A helper with the same label, made before
anything else, lives as long as the drill: where none runs, the drill is dead, and what it made is
nobody's. Images cannot be labelled afterwards; those of drills have a name of their own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backup.engine.connect import Engine
from backup.engine.images import images, remove_image
from backup.engine.lifecycle import remove_container
from backup.engine.lifetime import DRILL_LABEL, LABEL
from backup.engine.networks import remove_network
from backup.engine.orphans import orphans
from backup.engine.volumes import remove_volume
from backup.errors import EngineError, NotOnEngine

DRILL_IMAGE: Final = "voltar-drill"
"""The name of images that drills bring to an engine; the tag is the run."""
_ID: Final = re.compile(r"[0-9a-f]{16}")
_IMAGE: Final = re.compile(rf"{DRILL_IMAGE}:([0-9a-f]{{16}})")


@dataclass(slots=True)
class Remains:
    """What an engine has of one drill: ids of containers and networks, names of the rest."""

    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def drill_name(run: str) -> str:
    """What the names begin with of all that a drill makes."""
    return f"{DRILL_IMAGE}-{run}"


def remains(engine: Engine) -> dict[str, Remains]:
    """What there is of drills, living or dead, by run; their helpers do not count.

    Both the label and the name must be a drill's: what somebody labelled so is not ours to remove.
    """
    labelled = json.dumps({"label": [DRILL_LABEL]})
    found: dict[str, Remains] = {}
    for one in engine.get("/containers/json", all=1, filters=labelled):
        run = _run(one, *(str(name).lstrip("/") for name in one["Names"] or []))
        if run and LABEL not in one["Labels"]:
            found.setdefault(run, Remains()).containers.append(str(one["Id"]))
    for one in engine.get("/networks", filters=labelled):
        if run := _run(one, str(one["Name"])):
            found.setdefault(run, Remains()).networks.append(str(one["Id"]))
    for one in engine.get("/volumes", filters=labelled)["Volumes"] or []:
        if run := _run(one, str(one["Name"])):
            found.setdefault(run, Remains()).volumes.append(str(one["Name"]))
    for run, tag in _tags(engine):
        found.setdefault(run, Remains()).images.append(tag)
    return found


def _tags(engine: Engine) -> Iterator[tuple[str, str]]:
    for image in images(engine, reference=DRILL_IMAGE):
        for tag in image.tags:
            if (ours := _IMAGE.fullmatch(tag)) is not None:
                yield ours[1], tag


def _run(listed: Mapping[str, Any], *names: str) -> str | None:
    """The run of a drill that made something, or None where it is not a drill's."""
    run = str(listed["Labels"][DRILL_LABEL])
    ours = _ID.fullmatch(run) and any(name.startswith(drill_name(run)) for name in names)
    return run if ours else None


def living(engine: Engine) -> set[str]:
    """The runs of the drills that are alive."""
    helpers = json.dumps({"label": [LABEL, DRILL_LABEL]})
    dead = {one.id for one in orphans(engine)}
    listed = engine.get("/containers/json", all=1, filters=helpers)
    return {str(one["Labels"][DRILL_LABEL]) for one in listed if str(one["Id"]) not in dead}


def clear(engine: Engine, left: Remains) -> list[str]:
    """Remove what is left of a drill; return why something is there still. None there is no
    error."""
    stuck = []
    for remove, names in (
        (remove_container, left.containers),
        (remove_network, left.networks),
        (remove_volume, left.volumes),
        (remove_image, left.images),
    ):
        stuck += [why for name in names if (why := _removed(engine, name, remove)) is not None]
    return stuck


def _removed(engine: Engine, name: str, remove: Any) -> str | None:
    try:
        remove(engine, name)
    except NotOnEngine:
        return None
    except EngineError as error:
        return str(error)
    return None
