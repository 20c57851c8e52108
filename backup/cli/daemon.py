"""voltar daemon"""

import os
import sqlite3
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from backup import config
from backup.cli.clock import machine_zone
from backup.cli.console import counted, local_text
from backup.cli.context import Context, state_directory
from backup.cli.places import config_path
from backup.history import History, Kind

if TYPE_CHECKING:
    from backup.scheduler import Process, State, Supervisor, Task, Told

_STDOUT: Final = 1
_STDERR: Final = 2
_STATE: Final = "schedule.json"
_SUPERVISION: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_KINDS: Final = {
    "run": Kind.BACKUP,
    "drill": Kind.DRILL,
    "check": Kind.CHECK,
    "prune": Kind.PRUNE,
}


def daemon(ctx: typer.Context) -> None:
    """Run jobs, drills, checks and prunes when they are due.

    Examples: voltar daemon · voltar --config ./voltar.toml daemon · voltar daemon --json

    Each is a process of its own. What was missed while the daemon did not run is made good once,
    when it starts. SIGHUP has the configuration read again; one with errors changes nothing.
    SIGTERM and Ctrl-C end what runs, within a minute: what it began is put back, and it is made
    good when the daemon starts again.
    """
    from backup import scheduler  # noqa: PLC0415  its library is for this command alone

    state = state_directory()
    machine = _Machine(ctx.obj, state)
    with scheduler.signals_held(), scheduler.only_daemon(state):
        tasks, parallel = machine.read()
        doors = scheduler.Doors(
            now=lambda: datetime.now(UTC),
            start=machine.start,
            save=lambda known: scheduler.save_state(state / _STATE, known),
            tell=machine.tell,
        )
        loop = scheduler.Loop(tasks, parallel, machine.known(tasks), doors)
        number = counted(len(tasks), "task")
        machine.tell(scheduler.Told(event="ready", text=f"ready: {number} with a schedule"))
        scheduler.serve(loop, doors, _supervisor(), machine.read)


class _Machine:
    """What the scheduler asks of the world."""

    def __init__(self, context: Context, state: Path) -> None:
        self._voice = context.voice
        self._path = config_path(context.config).absolute()
        self._state = state
        talk = (
            "--json" if self._voice.as_json else "--verbose" if self._voice.level > 1 else "--quiet"
        )
        self._command = [*_command(), "--config", str(self._path), talk]
        self._dated = "JOURNAL_STREAM" not in os.environ  # a journal knows the time

    def read(self) -> tuple[dict[str, "Task"], int]:
        """Read the configuration. Raises ConfigError."""
        from backup import scheduler  # noqa: PLC0415

        found = config.load(self._path)
        return scheduler.tasks(found, machine_zone()), found.parallel

    def start(self, task: "Task") -> "Process":
        """Start a task. Raises OSError."""
        from backup import scheduler  # noqa: PLC0415

        verb = task.work.value
        about = ["--", task.subject]
        if verb in ("check", "prune"):
            about = [f"--repository={task.subject}"]
        environ = {name: each for name, each in os.environ.items() if name not in _SUPERVISION}
        # without --json, stdout is for answers, and nobody has asked
        stdout = _STDOUT if self._voice.as_json else _STDERR
        return scheduler.Process([*self._command, verb, *about], environ, stdout)

    def known(self, tasks: dict[str, "Task"]) -> "State":
        """Return what the last daemon knew; where that is damaged, what the history tells."""
        from backup import scheduler  # noqa: PLC0415

        found, damage = scheduler.read_state(self._state / _STATE)
        if damage is not None:
            text = f"{self._state / _STATE} is damaged, and made anew from the history: {damage}"
            self.tell(scheduler.Told(event="state", text=text, wrong=True))
            for key, task in tasks.items():
                last = self._last_run(task)
                if last is not None:
                    found.marks[key] = scheduler.served(task, last)
        return found

    def _last_run(self, task: "Task") -> datetime | None:
        kind = _KINDS[task.work.value]
        try:
            runs = History(self._state / "history.sqlite").runs(job=task.subject)
        except sqlite3.Error:  # then it is as if it had never run
            return None
        return next((each.started for each in runs if each.kind is kind and each.ended), None)

    def tell(self, told: "Told") -> None:
        """Print a line; runs do not depend on who reads it, and on room for it."""
        with suppress(OSError):
            self._print(told)

    def _print(self, told: "Told") -> None:
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


def _supervisor() -> "Supervisor":
    from backup.scheduler import Supervisor  # noqa: PLC0415

    watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = os.environ.get("WATCHDOG_USEC", "") if watched else ""
    watchdog_s = int(usec) / 1e6 if usec.isdecimal() and int(usec) else None
    return Supervisor(os.environ.get("NOTIFY_SOCKET") or None, watchdog_s)
