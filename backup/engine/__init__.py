"""The Docker engine: everything that talks to it, and the only code that imports docker.

    engine = connect()
    with helper(engine, VolumesFrom(container_id), access=Access.READ, run=run) as h:
        with h.reading(["tar", …]) as stream: …

Errors that come out are backup.errors' EngineError and its children.
"""

from backup.engine.connect import Engine, Settings, connect
from backup.engine.containers import Container, Mount, container, containers
from backup.engine.helper import Helper, Stream, helper
from backup.engine.images import (
    Held,
    ImageFacts,
    ImageStore,
    canonical,
    find_image,
    held,
    image_store,
    images,
    layer_sizes,
    load,
    remove_image,
    saved,
    tag_image,
)
from backup.engine.lifetime import RUN_LABEL, Access
from backup.engine.mounts import Attached, Mounts, VolumesFrom
from backup.engine.orphans import Orphan, ended_at, labelled, orphans, remove, sweep
from backup.engine.session import Finished
from backup.engine.survey import Survey, survey
from backup.engine.volumes import (
    User,
    Volume,
    create_volume,
    remove_volume,
    users,
    volume,
    volumes,
)

__all__ = [
    "RUN_LABEL",
    "Access",
    "Attached",
    "Container",
    "Engine",
    "Finished",
    "Held",
    "Helper",
    "ImageFacts",
    "ImageStore",
    "Mount",
    "Mounts",
    "Orphan",
    "Settings",
    "Stream",
    "Survey",
    "User",
    "Volume",
    "VolumesFrom",
    "canonical",
    "connect",
    "container",
    "containers",
    "create_volume",
    "ended_at",
    "find_image",
    "held",
    "helper",
    "image_store",
    "images",
    "labelled",
    "layer_sizes",
    "load",
    "orphans",
    "remove",
    "remove_image",
    "remove_volume",
    "saved",
    "survey",
    "sweep",
    "tag_image",
    "users",
    "volume",
    "volumes",
]
