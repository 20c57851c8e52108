"""A task as a process of its own."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


class Process:
    """A command that runs, in a process group of its own: Ctrl-C is for the daemon to pass on.

    Where the daemon dies, by whatever signal, the command gets a SIGTERM. `stdout` is a descriptor;
    its errors go where the daemon's go.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], stdout: int) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            env=environ,
            start_new_session=True,
            preexec_fn=partial(_prepare, _libc(), os.getpid()),  # noqa: PLW1509  no threads here
        )

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it, and all that it has started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prepare(libc: ctypes.CDLL, daemon: int) -> None:
    """What is done between fork and exec."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != daemon:  # it has died before it could be noticed
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the daemon waits for signals, and blocks them
