"""The Docker engine: everything that talks to it, and the only code that imports docker.

    engine = connect()
    with helper(engine, VolumesFrom(container_id), access=Access.READ, run=run) as h:
        with h.reading(["tar", …]) as stream: …

Errors that come out are backup.errors' EngineError and its children.
"""

from backup.engine.connect import Engine, Settings, connect
from backup.engine.containers import (
    Container,
    Mount,
    changed_paths,
    container,
    container_names,
    containers,
    labelled_containers,
)
from backup.engine.creation import (
    Port,
    create_container,
    fixed_ports,
    request,
    taken_ports,
    unknown,
    unknown_vital,
)
from backup.engine.helper import Helper, Stream, helper
from backup.engine.host import Host, host
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
from backup.engine.lifecycle import (
    State,
    logs,
    pause,
    remove_container,
    rename,
    set_restart_policy,
    start,
    state,
    stop,
    unpause,
)
from backup.engine.lifetime import RUN_LABEL, Access
from backup.engine.measure import Found, free_space, look, make_directory, sizes
from backup.engine.mounts import Attached, Mounts, VolumesFrom
from backup.engine.networks import (
    BRIDGE_NAME,
    PREDEFINED,
    Network,
    create_network,
    networks,
    remove_network,
)
from backup.engine.orphans import (
    Orphan,
    ended_at,
    labelled,
    orphans,
    remove,
    remove_all,
    sweep,
)
from backup.engine.process import Command, Ended, end_command, run_in
from backup.engine.session import Finished
from backup.engine.survey import Survey, survey
from backup.engine.volumes import (
    User,
    Volume,
    create_volume,
    path_users,
    remove_volume,
    users,
    volume,
    volumes,
)

__all__ = [
    "BRIDGE_NAME",
    "PREDEFINED",
    "RUN_LABEL",
    "Access",
    "Attached",
    "Command",
    "Container",
    "Ended",
    "Engine",
    "Finished",
    "Found",
    "Held",
    "Helper",
    "Host",
    "ImageFacts",
    "ImageStore",
    "Mount",
    "Mounts",
    "Network",
    "Orphan",
    "Port",
    "Settings",
    "State",
    "Stream",
    "Survey",
    "User",
    "Volume",
    "VolumesFrom",
    "canonical",
    "changed_paths",
    "connect",
    "container",
    "container_names",
    "containers",
    "create_container",
    "create_network",
    "create_volume",
    "end_command",
    "ended_at",
    "find_image",
    "fixed_ports",
    "free_space",
    "held",
    "helper",
    "host",
    "image_store",
    "images",
    "labelled",
    "labelled_containers",
    "layer_sizes",
    "load",
    "logs",
    "look",
    "make_directory",
    "networks",
    "orphans",
    "path_users",
    "pause",
    "remove",
    "remove_all",
    "remove_container",
    "remove_image",
    "remove_network",
    "remove_volume",
    "rename",
    "request",
    "run_in",
    "saved",
    "set_restart_policy",
    "sizes",
    "start",
    "state",
    "stop",
    "survey",
    "sweep",
    "tag_image",
    "taken_ports",
    "unknown",
    "unknown_vital",
    "unpause",
    "users",
    "volume",
    "volumes",
]
