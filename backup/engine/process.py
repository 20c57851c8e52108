"""A command that is run in somebody's container, for as long as it may take.

The engine has no call to end one: closing the connection leaves it running. So a helper that sees
the processes of the engine's host kills it, and all that belong to its session, for the engine
gives each command one of its own. A command that gave itself another session lives on.

Children are killed before their parents, which so have the time to take note of it. What dies
without a parent is left to the container's first process; if that is PostgreSQL, it takes a process
that was killed for one of its own servers, and ends all connections.
"""

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backup.discretion import hidden, secrets_of
from backup.engine.connect import Engine, segment
from backup.engine.door import Declined
from backup.engine.helper import helper
from backup.engine.lifetime import Access
from backup.engine.session import Frames
from backup.engine.wire import Wire
from backup.errors import EngineError, NotOnEngine

KEPT: Final = 64 << 10
"""So much of what a command says is kept: the end of it."""
_LOOK_EVERY_S: Final = 1.0
_LATE_S: Final = 2.0
_DIES_WITHIN_S: Final = 5.0
_PATIENT_ROUNDS: Final = 20
_END_SESSION: Final = """
leader=$1 whom=$2 ours= parents=
for stat in /proc/[0-9]*/stat; do
  read -r line < "$stat" || continue
  pid=${line%% *}
  set -- ${line##*) }
  [ "$1" != Z ] || continue
  [ "$pid" = "$leader" ] || [ "$4" = "$leader" ] || continue
  ours="$ours $pid" parents="$parents $2 "
done 2>/dev/null
for pid in $ours; do
  case "$whom$parents" in childless*" $pid "*) ;; *) kill -KILL "$pid" 2>/dev/null ;; esac
done
true
"""
"""Of the session of $1, kills those without children, or with another $2 than "childless" all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run in a container; "" is the container's own user and directory."""

    container: str
    argv: Sequence[str]
    user: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended; `status` is None where its time was over. `said` is the end of it,
    without what the container's environment has of secrets."""

    status: int | None
    said: str


def run_in(
    engine: Engine,
    command: Command,
    *,
    timeout_s: float,
    run: str,
    on_created: Callable[[str], None] | None = None,
) -> Ended:
    """Run a command in a container, in its environment. One that takes longer is killed.

    `on_created` gets the id by which `end_command` ends it, before it begins. Who is
    interrupted has it killed too. Raises NotOnEngine, EngineError.
    """
    secrets = container_secrets(engine, command.container)
    identity = _created(engine, command)
    if on_created is not None:
        on_created(identity)
    try:
        ended = _ran(engine, command, identity, time.monotonic() + timeout_s, run)
        return replace(ended, said=hidden(ended.said, secrets))
    except BaseException as error:
        try:
            end_command(engine, identity, run)
        except EngineError as failure:
            error.add_note(f"{command.argv[0]} may run on in {command.container}: {failure}")
        raise


def container_secrets(engine: Engine, name: str) -> frozenset[str]:
    """Return what a container's environment has of secrets, nothing where it is gone."""
    try:
        found = engine.get(f"/containers/{segment('container', name)}/json")
    except Declined:
        return frozenset()
    return secrets_of(dict(one.split("=", 1) for one in found["Config"]["Env"] or () if "=" in one))


def end_command(engine: Engine, identity: str, run: str) -> bool:
    """Kill a command with all of its session, if it runs; return whether it did.

    Raises EngineError where it lives on.
    """
    found = _begun(engine, identity)
    if found is None or not found["Running"]:
        return False
    limit = time.monotonic() + _DIES_WITHIN_S
    rounds = 0
    with helper(engine, (), access=Access.SIGNAL, run=run) as killer:
        while True:
            whom = "childless" if rounds < _PATIENT_ROUNDS else "all"
            killer.run(["sh", "-c", _END_SESSION, "sh", str(found["Pid"]), whom])
            rounds += 1
            now = _state(engine, identity)
            if now is None or not now["Running"]:
                return True
            if time.monotonic() > limit:
                raise EngineError("the command does not end by being killed")
            time.sleep(0.05)


def _begun(engine: Engine, identity: str) -> dict[str, Any] | None:
    """How a command is, once it has begun or ended: a request that was cut off may be obeyed."""
    limit = time.monotonic() + _LATE_S
    while True:
        found = _state(engine, identity)
        if found is None or found.get("Pid") or found["ExitCode"] is not None:
            return found
        if time.monotonic() > limit:
            return None
        time.sleep(0.05)


def _ran(engine: Engine, command: Command, identity: str, limit: float, run: str) -> Ended:
    try:
        wire = engine.stream(f"/exec/{identity}/start", {"Detach": False, "Tty": False})
    except Declined as err:
        raise _refused(command, err) from err
    said = bytearray()
    try:
        if not _listen(engine, identity, wire, said, limit):
            end_command(engine, identity, run)
            return Ended(status=None, said=_text(said))
    finally:
        wire.close()
    return Ended(status=_status(engine, identity, command), said=_text(said))


def _listen(engine: Engine, identity: str, wire: Wire, said: bytearray, limit: float) -> bool:
    """Take what a command says until it ends; False where it takes too long.

    What it leaves running may hold its streams open: then its end is seen by asking.
    """
    buffer, frames = memoryview(bytearray(KEPT)), Frames()
    idle = 0
    while time.monotonic() < limit:
        size = wire.receive(buffer)
        if size == 0:
            return True
        if size is not None:
            idle = 0
            for _, piece in frames.feed(buffer[:size]):
                said += piece
            del said[:-KEPT]
            continue
        left = max(0.0, min(_LOOK_EVERY_S, limit - time.monotonic()))
        if not select.select([wire], [], [], left)[0]:
            now = _state(engine, identity)
            idle = 0 if now is not None and now["Running"] else idle + 1
            if idle > 1:
                return True
    return False


def _created(engine: Engine, command: Command) -> str:
    body: dict[str, Any] = {
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": list(command.argv),
        "User": command.user,
        "WorkingDir": command.directory,
    }
    path = f"/containers/{segment('container', command.container)}/exec"
    try:
        return str(engine.post(path, body)["Id"])
    except Declined as err:
        raise _refused(command, err) from err


def _refused(command: Command, err: Declined) -> EngineError:
    if err.status == 404 and "container" in err.reason.lower():
        return NotOnEngine("container", command.container)
    return EngineError(
        f"container {command.container!r} cannot run {command.argv[0]}: {err.reason}"
    )


def _state(engine: Engine, identity: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = engine.get(f"/exec/{identity}/json")
    except Declined as err:
        if err.status != 404:
            raise
        return None
    return found


def _status(engine: Engine, identity: str, command: Command) -> int:
    """The exit status; the engine may tell of it a moment after the stream's end."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        found = _state(engine, identity)
        if found is None:
            break
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        time.sleep(0.02)
    raise EngineError(f"{command.argv[0]} in {command.container!r} ended, nobody knows how")


def _text(said: bytearray) -> str:
    return said.decode(errors="backslashreplace").strip()
