"""What systemd has to be told: the commands, and running them where it is at work."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backup.errors import BackupError
from backup.systemd.directory import Plan
from backup.systemd.unit import RECOVER

_AT_WORK: Final = Path("/run/systemd/system")
_WITHIN_S: Final = 700
"""To stop a service that puts back what it has begun takes its time, which is 10 min at most."""

Command = tuple[str, ...]


def is_at_work() -> bool:
    """Whether systemd runs this machine: as sd_booted(3) decides it."""
    return _AT_WORK.is_dir()


def before(plan: Plan) -> list[Command]:
    """Return what is to be said before files go: what has none cannot be stopped any more."""
    return [("systemctl", "stop", *plan.stopped)] if plan.stopped else []


def after(plan: Plan) -> list[Command]:
    """Return what is to be said when all files are there."""
    said: list[Command] = [] if plan.is_empty else [("systemctl", "daemon-reload")]
    if now := [unit for unit in plan.enabled if unit != RECOVER]:
        said.append(("systemctl", "enable", "--now", *now))
    if RECOVER in plan.enabled:  # whether it does its work is no matter of installing
        said.append(("systemctl", "enable", RECOVER))
    return said


def tell(commands: Sequence[Command]) -> None:
    """Run commands of systemd. Raises BackupError with what it answered."""
    for command in commands:
        shown = " ".join(command)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_WITHIN_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackupError(f"`{shown}` failed: {error}") from error
        if done.returncode:
            raise BackupError(f"`{shown}` failed: {' '.join(done.stderr.split())}")
