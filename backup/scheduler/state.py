"""What the scheduler must know when it starts again, in one small file, replaced as a whole."""

import secrets
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from backup.lock import sole
from backup.scheduler.mark import Mark
from transports.store import replace_file


@dataclass(slots=True)
class State:
    """How far each task has come, by key. `seed` makes this machine's jitter its own."""

    seed: str = field(default_factory=lambda: secrets.token_hex(8))
    marks: dict[str, Mark] = field(default_factory=dict)


def read_state(path: Path) -> tuple[State, str | None]:
    """Return what was saved, or nothing and why it cannot be used; then it is put aside."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State), None
    except FileNotFoundError:
        return State(), None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        with suppress(OSError):  # it will be replaced
            path.replace(path.with_suffix(".damaged"))
        return State(), str(error)


def save_state(path: Path, state: State) -> None:
    """Replace what was saved; durable when this returns. Raises OSError."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(state)))


def only_daemon(state: Path) -> AbstractContextManager[None]:
    """Be the only daemon of a state directory. Raises InUse."""
    return sole(state / "daemon.lock", f"another daemon runs already, with {state}")
