"""voltar doctor"""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import typer

from backup.cli import FAILED
from backup.cli.console import counted
from backup.cli.context import Context
from backup.engine import Survey, survey
from backup.errors import BackupError, ConfigError, NotARepository, WrongKey
from backup.repository import catalog, probe, read_descriptor
from transports.errors import TransportError
from transports.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is ok, warning or failed; `hint` says what to do."""

    subject: str
    state: str
    text: str
    hint: str | None = None


def doctor(ctx: typer.Context) -> None:
    """Say what works on this machine, what does not, and what to do.

    It looks at the engine, the helper, the data plane, the store and the repository.

    Example: voltar doctor
    """
    context: Context = ctx.obj
    context.ssh.options()  # what the command line says and cannot be is no finding
    findings = [*_guarded("engine", lambda: _engine(context)), *_store(context)]
    if context.voice.as_json:
        context.voice.document([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            context.voice.answer(f"{finding.state:8} {finding.subject:11} {finding.text}")
            if finding.hint:
                context.voice.answer(f"{'':8} {'':11} → {finding.hint}")
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(FAILED)


def _guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a look finds; a failure is a finding, too."""
    try:
        yield from look()
    except (BackupError, TransportError) as error:
        yield Finding(subject, "failed", str(error), error.hint)


def _engine(context: Context) -> Iterator[Finding]:
    with context.engine() as engine:
        yield Finding(
            "engine",
            "ok",
            f"Docker {engine.version} (API {engine.api_version}, {engine.architecture}) "
            f"at {engine.url}",
        )
        yield from _guarded("helper", lambda: _helper(survey(engine)))


def _helper(facts: Survey) -> Iterator[Finding]:
    how = "built of a host's own tools" if facts.helper_built else "chosen by you"
    tools = ", ".join(f"{name} {_number(said)}" for name, said in facts.tools.items())
    yield Finding("helper", "ok", f"{facts.helper_image}, {how}: {tools}")
    if facts.sys_admin == "granted":
        yield Finding("attributes", "ok", "trusted.* attributes are seen")
    else:
        yield Finding(
            "attributes",
            "warning",
            f"SYS_ADMIN is {facts.sys_admin}: trusted.* attributes are not captured",
            "unset VOLTAR_HELPER_NO_SYS_ADMIN, or ignore this if no volume has any",
        )
    fast = facts.data_plane == "fifo"
    yield Finding(
        "data plane",
        "ok" if fast else "warning",
        f"{facts.data_plane}: {facts.data_plane_why}",
        None if fast else "it works, at about a fifth of the speed",
    )


def _number(said: str) -> str:
    """Return the version in the first line that a tool prints of itself."""
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else "missing"


def _store(context: Context) -> Iterator[Finding]:
    try:
        store = context.store()
    except (NotARepository, TransportError) as error:
        yield Finding("repository", "warning", str(error), error.hint)
        return
    except ConfigError as error:
        yield Finding("repository", "failed", str(error), error.hint)
        return
    yield from _guarded("store", lambda: _writable(store))
    yield from _guarded("repository", lambda: _repository(context, store))


def _writable(store: Store) -> Iterator[Finding]:
    try:
        read_descriptor(store)
    except NotARepository:
        return  # nothing is written where there is no repository; the next finding says so
    found = probe(store, socket.gethostname())
    state, does = (
        ("ok", "writes, reads") if found.whole else ("failed", "what is read is not what is there")
    )
    if found.deletes:
        yield Finding("store", state, f"{store.url}: {does}, deletes")
    else:
        hint = "prune, unforget and the removal of keys are for a host that may"
        yield Finding("store", state, f"{store.url}: {does}; does not delete", hint)
    yield Finding("write-once", "ok", f"the store {store.write_once.value}")


def _repository(context: Context, store: Store) -> Iterator[Finding]:
    descriptor = read_descriptor(store)
    if not descriptor.sealed:
        yield Finding("repository", "warning", "not encrypted", "a new one can be: voltar init")
        return
    try:
        repository = context.open()
    except WrongKey as error:
        yield Finding("password", "failed", str(error), error.hint)
        return
    count = counted(len(repository.snapshot_ids()), "snapshot")
    hidden = catalog.hidden(repository)
    forgotten = f", {hidden} of them forgotten" if hidden else ""
    yield Finding("repository", "ok", f"{descriptor.cipher}, opened, {count}{forgotten}")
