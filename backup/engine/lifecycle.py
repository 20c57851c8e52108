"""A container's life: what state it is in, and what starts, stops and removes it."""

from dataclasses import dataclass
from typing import Any

from backup.engine.connect import LONG_TIMEOUT_S, Engine, segment
from backup.engine.door import Declined
from backup.errors import EngineError, NotOnEngine

_STOP_S = 10
_KILLING_S = 60
"""How long an engine may take to kill what did not stop by itself."""
_RESTART_NEVER = ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a container is now. `health` is "" where it has no health check.

    `restart` is its restart policy: the name ("" for none), and how often at most. `restarts`
    counts how often the engine has started it again. `health_said` is the last probe's output.
    """

    status: str
    running: bool
    paused: bool = False
    restarting: bool = False
    exit_code: int = 0
    error: str = ""
    health: str = ""
    health_said: str = ""
    started_at: str = ""
    restart: tuple[str, int] = _RESTART_NEVER
    restarts: int = 0


def state(engine: Engine, name: str) -> State:
    """How a container is now. Raises NotOnEngine."""
    return parsed_state(engine.find("container", name, _path(name, "json")))


def parsed_state(found: dict[str, Any]) -> State:
    """The state in what inspect shows."""
    now = found["State"]
    policy = (found.get("HostConfig") or {}).get("RestartPolicy") or {}
    name = str(policy.get("Name") or "")
    return State(
        status=str(now.get("Status") or ""),
        running=bool(now.get("Running")),
        paused=bool(now.get("Paused")),
        restarting=bool(now.get("Restarting")),
        exit_code=int(now.get("ExitCode") or 0),
        error=str(now.get("Error") or ""),
        health=str((now.get("Health") or {}).get("Status") or "").replace("none", ""),
        health_said=_last_probe(now.get("Health") or {}),
        started_at=str(now.get("StartedAt") or ""),
        restart=("" if name == "no" else name, int(policy.get("MaximumRetryCount") or 0)),
        restarts=int(found.get("RestartCount") or 0),
    )


def _last_probe(health: dict[str, Any]) -> str:
    probes = health.get("Log") or []
    return str(probes[-1].get("Output") or "").strip() if probes else ""


def set_restart_policy(engine: Engine, name: str, policy: tuple[str, int]) -> None:
    """Change when the engine starts a container again. Raises NotOnEngine."""
    kind, most = policy
    body = {"RestartPolicy": {"Name": kind or "no", "MaximumRetryCount": most}}
    _ask(engine, name, "update", "its restart policy cannot be changed", body)


def start(engine: Engine, name: str) -> None:
    """Start a container; one that runs is left alone. Raises NotOnEngine, EngineError."""
    _ask(engine, name, "start", "it cannot be started")


def stop(engine: Engine, name: str, timeout_s: int | None = None) -> None:
    """Stop a container as it wants to be stopped, and kill it when its time is over.

    Without `timeout_s` the container's own counts. A negative one is as long as it takes.
    """
    if timeout_s is None:
        config = engine.find("container", name, _path(name, "json"))["Config"]
        timeout_s = int(config.get("StopTimeout") or _STOP_S)
    patience_s = LONG_TIMEOUT_S if timeout_s < 0 else timeout_s + _KILLING_S
    try:
        engine.post(_path(name, "stop"), timeout_s=patience_s, t=timeout_s)
    except Declined as err:
        raise _failed(name, "it cannot be stopped", err) from err


def pause(engine: Engine, name: str) -> None:
    """Freeze a running container."""
    _ask(engine, name, "pause", "it cannot be paused")


def unpause(engine: Engine, name: str) -> None:
    """Let a frozen container run again."""
    _ask(engine, name, "unpause", "it cannot be unpaused")


def rename(engine: Engine, name: str, new: str) -> None:
    """Give a container another name."""
    try:
        engine.post(_path(name, "rename"), name=new)
    except Declined as err:
        raise _failed(name, f"it cannot be renamed to {new!r}", err) from err


def remove_container(engine: Engine, name: str) -> None:
    """Remove a container, running or not, with its anonymous volumes; none there is no error."""
    try:
        engine.delete(_path(name), force=1, v=1)
    except Declined as err:
        if err.status not in (404, 409):  # 409: its removal is already in progress
            raise


def logs(engine: Engine, name: str, lines: int) -> list[str]:
    """The last lines that a container wrote; none where its log cannot be read."""
    try:
        raw = b"".join(engine.download(_path(name, "logs"), stdout=1, stderr=1, tail=lines))
    except Declined:
        return []
    text = _unframed(raw).decode(errors="backslashreplace")
    return text.splitlines()[-lines:]


def _unframed(raw: bytes) -> bytes:
    """What a container without a terminal wrote comes in frames, else as it is."""
    plain, at = b"", 0
    while at + 8 <= len(raw) and raw[at] in (0, 1, 2) and raw[at + 1 : at + 4] == bytes(3):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        plain += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return plain if at else raw


def _path(name: str, *rest: str) -> str:
    return "/".join(("/containers", segment("container", name), *rest))


def _ask(
    engine: Engine, name: str, what: str, failure: str, body: dict[str, Any] | None = None
) -> None:
    try:
        engine.post(_path(name, what), body)
    except Declined as err:
        raise _failed(name, failure, err) from err


def _failed(name: str, failure: str, err: Declined) -> EngineError:
    if err.status == 404:
        return NotOnEngine("container", name)
    return EngineError(f"container {name!r}: {failure}: {err.reason}")
