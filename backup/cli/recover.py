"""voltar recover: what killed runs left half done"""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from backup.cli.console import listening
from backup.cli.context import Context, Tidied, state_directory
from backup.errors import BackupError, EngineUnavailable
from backup.migrate import journal
from backup.migrate.apply import Remedy, remedy
from backup.migrate.apply import recover as recover_migration
from backup.migrate.work import Engines, Work
from backup.quiesce.journal import DIRECTORY
from backup.quiesce.recovery import left_quiet
from transports.errors import TransportError

Failure = BackupError | TransportError


def recover(
    ctx: typer.Context,
    migration: Annotated[
        str | None,
        typer.Argument(metavar="MIGRATION", help="Only this one: an id, container:NAME."),
    ] = None,
) -> None:
    """Put right what killed runs left half done.

    Examples: voltar recover · voltar --host ssh://root@other recover · voltar recover container:db

    What a run of a job has stopped or paused runs again, and its hooks for after the reading run,
    on whatever engine. A migration that had not yet started the target is taken back: the source
    runs as before, and nothing is left on the target. What was started is waited for, and is moved
    then. Restores, captures and drills are taken back on the engine of --host, as by every backup
    there.
    """
    context: Context = ctx.obj
    paths, failed = _killed(state_directory() / "migrations", migration)
    for path in paths:
        try:
            recover_one(context, path)
        except (BackupError, TransportError) as error:
            failed.append(error)
            context.voice.warn(f"migration {path.stem}: {error}")
    tidied = Tidied() if migration is not None else _tidied(context, failed)
    resumed = () if migration is not None else _resumed(context, failed)
    if failed:
        raise failed[0]
    if context.voice.as_json:
        context.voice.event(
            {
                "type": "summary",
                "recovered": [path.stem for path in paths],
                "restores": tidied.restores,
                "captures": tidied.captures,
                "runs": [*tidied.resumed, *resumed],
                "drills": tidied.drills,
            }
        )
    elif not paths and not resumed and tidied == Tidied():
        context.voice.report("nothing was left half done")


def _killed(directory: Path, migration: str | None) -> tuple[list[Path], list[Failure]]:
    """The journals of dead runs, and what is wrong with those that cannot be read."""
    if migration is not None:
        return [journal.find(directory, migration)], []
    known, damaged = journal.known(directory)
    paths = [path for path, record in known if record.outcome == journal.OPEN]
    return [path for path in paths if not journal.alive(path)], [*damaged]


def _tidied(context: Context, failed: list[Failure]) -> Tidied:
    """Clear away what else killed runs left on the engine. That there is none is an error only
    where one was asked for: migrations know their engines."""
    try:
        with context.engine() as engine:
            tidied = context.tidy(engine, secrets.token_hex(8))
            failed += tidied.left
            return tidied
    except EngineUnavailable as error:
        if context.host is not None:
            failed.append(error)
        context.voice.warn(f"killed restores and captures were not looked for: {error}")
    except (BackupError, TransportError) as error:
        failed.append(error)
        context.voice.warn(f"not all that killed runs left is cleared away: {error}")
    return Tidied()


def _resumed(context: Context, failed: list[Failure]) -> list[str]:
    """Let run again what killed runs keep quiet on other engines than that of --host."""
    resumed: list[str] = []
    for header in left_quiet(state_directory() / DIRECTORY):
        who = f"job {header.job}" if header.job else "a backup"
        try:
            with context.engine_at(header.url) as engine:
                tidied = context.tidy(engine, secrets.token_hex(8))
            resumed += tidied.resumed
            failed += tidied.left
        except (BackupError, TransportError) as error:
            failed.append(error)
            context.voice.warn(
                f"containers that {who} has stopped or paused on {header.url} may be so still: "
                f"{error}"
            )
    return resumed


def recover_one(context: Context, path: Path) -> Remedy:
    """Bring one migration to an end, and tell. Raises what could not be put right."""
    with journal.reopened(path) as opened, listening(context.voice) as listener:
        header = opened.record.header
        what = remedy(opened.record)
        with Engines(header.source, header.target, context.engine_at) as engines:
            recover_migration(Work(engines, opened, listener))
    said = {
        Remedy.BACK: "was killed; it is taken back, and the source is as it was",
        Remedy.FORWARD: "was killed when the target was started; it is moved now",
        Remedy.NOTHING: f"needs nothing: it is {opened.record.outcome}",
    }[what]
    context.voice.warn(f"the migration of {header.subject} ({header.id}) {said}")
    return what
