"""The Docker engine: everything that talks to it, and the only code that imports docker.

    engine = connect()
    with helper(engine, VolumesFrom(container_id), access=Access.READ, run=run) as h:
        with h.reading(["tar", …]) as stream: …

Errors that come out are backup.errors' EngineError and its children.
"""

from backup.engine.connect import Engine, Settings, connect
from backup.engine.container import Access, Attached, Mounts, VolumesFrom
from backup.engine.helper import Helper, Stream, helper
from backup.engine.session import Finished

__all__ = [
    "Access",
    "Attached",
    "Engine",
    "Finished",
    "Helper",
    "Mounts",
    "Settings",
    "Stream",
    "VolumesFrom",
    "connect",
    "helper",
]
