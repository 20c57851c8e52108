"""Stores on whatever rclone reaches: rclone:REMOTE:path, with remotes of its own configuration.

voltar talks to one `rclone rcd`, over a socket in a private directory.
"""

from transports.store.rclone.daemon import Daemon, find_rclone
from transports.store.rclone.store import RcloneStore

__all__ = ["Daemon", "RcloneStore", "find_rclone"]
