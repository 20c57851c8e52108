"""Commands of the operator's, before and after the reading: in a container, or on this machine.

Each has its time, after which all of it is killed, also inside the container. What it said, the end
of it, is kept.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from backup.config import Hook, OnError
from backup.discretion import hidden
from backup.engine import Command, Container, Ended, Engine, end_command, run_in
from backup.errors import BackupError, ConfigError, EngineError
from backup.timing.span import parse_span

_KEPT: Final = 64 << 10
_HERE: Final = "here:"
_SHOWN: Final = 400


def told(hook: Hook) -> str:
    """What a hook is called in messages."""
    where = f"in container {hook.container!r}" if hook.container else "on this machine"
    return f"the hook {hook.command[0]!r} {hook.when.value} the reading, {where},"


def demand_possible(
    hook: Hook, containers: Iterable[Container], environ: Mapping[str, str]
) -> None:
    """Raise BackupError for a hook that is certain to fail, and may not."""
    parse_span(hook.timeout, "the time-out of a hook")
    if hook.container is None and hook.user is not None:
        raise ConfigError(
            f"{told(hook)} names a user, which is for containers",
            hint=f'write command = ["runuser", "-u", "{hook.user}", "--", …]',
        )
    if hook.on_error is not OnError.FAIL:
        return
    if hook.container is None:
        if shutil.which(hook.command[0], path=environ.get("PATH", os.defpath)) is None:
            raise ConfigError(f"{told(hook)} cannot run: there is no such program")
        return
    found = next((one for one in containers if one.name == hook.container), None)
    if found is None or not found.running or found.paused:
        state = "does not exist" if found is None else "is paused" if found.paused else "is down"
        raise EngineError(f"{told(hook)} cannot run: the container {state}")


def perform(
    engine: Engine,
    hook: Hook,
    *,
    run: str,
    environ: Mapping[str, str],
    on_begun: Callable[[str], None],
) -> str:
    """Run a hook to its end; return what it said. `on_begun` gets what `end` ends it by.

    Raises BackupError where it fails, takes too long, or cannot run.
    """
    limit_s = parse_span(hook.timeout, "the time-out of a hook")
    if hook.container is None:
        ended = _ran_here(hook, limit_s, environ, on_begun)
    else:
        command = Command(
            container=hook.container,
            argv=hook.command,
            user=hook.user or "",
            directory=hook.directory or "",
        )
        ended = run_in(engine, command, timeout_s=limit_s, run=run, on_created=on_begun)
    if ended.status == 0:
        return hidden(ended.said)
    how = (
        f"took longer than {hook.timeout}, and was killed"
        if ended.status is None
        else f"failed with status {ended.status}"
    )
    said = f": {hidden(ended.said)[-_SHOWN:]}" if ended.said else ""
    raise BackupError(f"{told(hook)} {how}{said}")


def end(engine: Engine, begun: str, run: str) -> None:
    """Kill what is left of a hook of a dead run."""
    if not begun.startswith(_HERE):
        end_command(engine, begun, run)
        return
    number, _, born = begun.removeprefix(_HERE).partition("@")
    if born and born == _born(int(number)):
        with suppress(ProcessLookupError):
            os.killpg(int(number), signal.SIGKILL)


def _ran_here(
    hook: Hook, limit_s: float, environ: Mapping[str, str], on_begun: Callable[[str], None]
) -> Ended:
    limit = time.monotonic() + limit_s
    try:
        process = subprocess.Popen(
            hook.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=hook.directory,
            env=dict(environ),
        )
    except OSError as error:
        raise BackupError(f"{told(hook)} cannot run: {error.strerror}") from error
    over = False
    with process:
        try:
            on_begun(f"{_HERE}{process.pid}@{_born(process.pid)}")
            over, said = _listened(process, limit)
            return Ended(status=process.wait() if over else None, said=said)
        finally:
            if not over:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _listened(process: "subprocess.Popen[bytes]", limit: float) -> tuple[bool, str]:
    """Take what a process says until it ends, and whether it did in time. What it leaves running
    may hold its output open."""
    assert process.stdout is not None  # noqa: S101  it is a pipe
    said, ended = bytearray(), False
    while not ended and (left := limit - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], min(left, 0.5))[0]:
            piece = os.read(process.stdout.fileno(), _KEPT)
            said = (said + piece)[-_KEPT:]
            ended = not piece
        else:
            ended = process.poll() is not None
    if ended:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, limit - time.monotonic()))
    return process.poll() is not None, said.decode(errors="backslashreplace").strip()


def _born(process: int) -> str:
    """When a process began, "" where it is gone: its number may be another's by now."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
