"""The machine as the scheduler sees it: configuration, processes, state, log, supervisor."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backup import config
from backup.cli import named
from backup.cli.clock import machine_zone
from backup.cli.console import local_text
from backup.cli.context import Context
from backup.cli.places import config_path
from backup.config import Config
from backup.errors import BackupError
from backup.history import History, Kind
from backup.scheduler import (
    Process,
    State,
    Supervisor,
    Task,
    Told,
    Work,
    read_state,
    save_state,
    served,
    tasks,
)

_STDOUT: Final = 1
_STDERR: Final = 2
_STATE: Final = "schedule.json"
_SUPERVISION: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_KINDS: Final = {
    Work.RUN: Kind.BACKUP,
    Work.DRILL: Kind.DRILL,
    Work.CHECK: Kind.CHECK,
    Work.PRUNE: Kind.PRUNE,
}


class Machine:
    """What the scheduler asks of the world. `follow` does what a configuration says beside tasks;
    it raises ConfigError."""

    def __init__(self, context: Context, state: Path, follow: Callable[[Config], None]) -> None:
        self._voice = context.voice
        self._path = config_path(context.config).absolute()
        self._state = state
        self._follow = follow
        talk = (
            "--json" if self._voice.as_json else "--verbose" if self._voice.level > 1 else "--quiet"
        )
        self._command = [*_command(), "--config", str(self._path), talk]
        self._dated = "JOURNAL_STREAM" not in os.environ  # a journal knows the time

    def read(self) -> tuple[dict[str, Task], int]:
        """Read the configuration. Raises ConfigError."""
        found = config.load(self._path)
        wanted = tasks(found, machine_zone())
        self._follow(found)
        return wanted, found.parallel

    def start(self, task: Task) -> Process:
        """Start a task. Raises OSError."""
        about = ["--", task.subject] if task.subject else []
        if task.work in (Work.CHECK, Work.PRUNE):
            about = [f"--repository={task.subject}"]
        environ = {name: each for name, each in os.environ.items() if name not in _SUPERVISION}
        environ[named.VARIABLE] = task.key
        # without --json, stdout is for answers, and nobody has asked
        stdout = _STDOUT if self._voice.as_json else _STDERR
        return Process([*self._command, *task.work.value.split(), *about], environ, stdout)

    def save(self, known: State) -> None:
        """Write down what must be known. Raises OSError."""
        save_state(self._state / _STATE, known)

    def known(self, wanted: dict[str, Task]) -> State:
        """Return what the last daemon knew; where that is damaged, what the history tells."""
        found, damage = read_state(self._state / _STATE)
        if damage is not None:
            text = f"{self._state / _STATE} is damaged, and made anew from the history: {damage}"
            self.tell(Told(event="state", text=text, wrong=True))
            for key, task in wanted.items():
                last = self._last_run(task)
                if last is not None:
                    found.marks[key] = served(task, last)
        return found

    def _last_run(self, task: Task) -> datetime | None:
        kind = _KINDS.get(task.work)
        if kind is None:
            return None
        history = History(self._state / "history.sqlite")
        try:
            runs = history.runs(job=task.subject, kind=kind)
        except BackupError:  # then it is as if it had never run
            return None
        return next((each.started for each in runs if each.ended is not None), None)

    def tell(self, told: Told) -> None:
        """Print a line; runs do not depend on who reads it, and on room for it."""
        with suppress(OSError):
            self._print(told)

    def _print(self, told: Told) -> None:
        if self._voice.as_json:
            self._voice.event(
                {
                    "type": "warning" if told.wrong else "daemon",
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                    "event": told.event,
                    "task": told.task,
                    "code": told.code,
                    "message": told.text,
                }
            )
            return
        date = f"{local_text(datetime.now(UTC))} " if self._dated else ""
        if told.wrong:
            self._voice.warn(f"{date}{told.text}")
        else:
            self._voice.say(f"{date}{told.text}")


def _command() -> list[str]:
    """Return how this voltar is called, with the global options that it got itself."""
    from backup.cli.app import hoisted, without_flags  # noqa: PLC0415  it imports this module

    front, _ = hoisted(sys.argv[1:])
    script = Path(sys.executable).with_name("voltar")
    start = [str(script)] if script.exists() else [sys.executable, "-P", "-m", "backup"]
    return [*start, *without_flags(front)]


def supervisor() -> Supervisor:
    """Return who has started this process, and wants to know how it is."""
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = os.environ.get("WATCHDOG_USEC", "") if watched else ""
    watchdog_s = int(usec) / 1e6 if usec.isdecimal() and int(usec) else None
    return Supervisor(os.environ.get("NOTIFY_SOCKET") or None, watchdog_s)
