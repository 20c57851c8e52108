"""The daemon's life: it waits, obeys signals, and says to its supervisor how it is."""

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from backup.errors import BackupError
from backup.scheduler.loop import Doors, Loop, Told
from backup.scheduler.task import Task

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_STOP_S: Final = 60.0
"""How long runs may take to put back what they began, when the daemon is stopped."""
_KILLED_S: Final = 5.0


class Supervisor:
    """Who has started the daemon and wants to know how it is: systemd, by sd_notify(3), or nobody.

    `watchdog_s` is how often it wants a sign of life at least.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.pause_s = None if watchdog_s is None else watchdog_s / 2
        self._status = ""

    def ready(self) -> None:
        """Say that work goes on."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is read anew."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, status: str) -> None:
        """Give the sign of life, and say what is going on where that has changed."""
        lines = [] if self.pause_s is None else ["WATCHDOG=1"]
        if status != self._status:
            lines.append(f"STATUS={status}")
            self._status = status
        if lines:
            self._send(*lines)

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # a name that begins with "@" is in no directory
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
            suppress(OSError),  # jobs matter more than who watches; and it notices the silence
        ):
            out.sendto("\n".join(lines).encode(), address)


@contextmanager
def signals_held() -> Iterator[None]:
    """Have signals wait until they are asked for, so that none comes at a bad time."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(
    loop: Loop,
    doors: Doors,
    supervisor: Supervisor,
    read: Callable[[], tuple[Mapping[str, Task], int]],
    *,
    stop_s: float = _STOP_S,
) -> None:
    """Keep the loop going until SIGTERM or Ctrl-C; SIGHUP has the configuration `read` again.

    Needs `signals_held`, and to be the only thread.
    """
    supervisor.ready()
    while (wish := _wait(loop, supervisor, loop.step())) not in (signal.SIGTERM, signal.SIGINT):
        if wish == signal.SIGHUP:
            _reload(loop, doors, supervisor, read)
    _stop(loop, doors, supervisor, stop_s)


def _wait(loop: Loop, supervisor: Supervisor, pause_s: float) -> int | None:
    """Return the signal that has come, None when time is up."""
    supervisor.alive(_status(loop))
    longest = pause_s if supervisor.pause_s is None else min(pause_s, supervisor.pause_s)
    found = signal.sigtimedwait(_SIGNALS, longest)
    return None if found is None else found.si_signo


def _status(loop: Loop) -> str:
    running = ", ".join(loop.running)
    coming = loop.next()
    then = "nothing is due" if coming is None else f"next: {coming[1]}, {coming[0]:%F %H:%M} UTC"
    return f"running: {running}; {then}" if running else then


def _reload(
    loop: Loop,
    doors: Doors,
    supervisor: Supervisor,
    read: Callable[[], tuple[Mapping[str, Task], int]],
) -> None:
    supervisor.reloading()
    try:
        tasks, parallel = read()
    except BackupError as error:
        text = f"the configuration stays as it was, for the new one has an error: {error}"
        doors.tell(Told(event="reload", text=text, wrong=True))
    else:
        loop.reload(tasks, parallel)
        doors.tell(
            Told(event="reload", text=f"the configuration is read again; {len(tasks)} tasks")
        )
    supervisor.ready()


def _stop(loop: Loop, doors: Doors, supervisor: Supervisor, stop_s: float) -> None:
    """End what runs: politely, then not."""
    supervisor.stopping()
    doors.tell(Told(event="stopping", text="stopping"))
    loop.stop()
    _outlast(loop, supervisor, stop_s)
    if loop.running:
        names = ", ".join(loop.running)
        text = f"{names}: killed, after {stop_s:.0f} s; the next run clears up"
        doors.tell(Told(event="killed", text=text, wrong=True))
        loop.kill()
        _outlast(loop, supervisor, _KILLED_S)
    doors.tell(Told(event="stopped", text="stopped"))


def _outlast(loop: Loop, supervisor: Supervisor, longest_s: float) -> None:
    end = time.monotonic() + longest_s
    loop.step()
    while loop.running and (left := end - time.monotonic()) > 0:
        _wait(loop, supervisor, left)
        loop.step()
