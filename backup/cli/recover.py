"""voltar recover: what killed runs left half done"""

from pathlib import Path
from typing import Annotated

import typer

from backup.cli.console import listening
from backup.cli.context import Context, state_directory
from backup.errors import BackupError
from backup.migrate import journal
from backup.migrate.apply import Remedy, remedy
from backup.migrate.apply import recover as recover_migration
from backup.migrate.work import Engines, Work
from transports.errors import TransportError


def recover(
    ctx: typer.Context,
    migration: Annotated[
        str | None,
        typer.Argument(metavar="MIGRATION", help="Only this one: an id, container:NAME."),
    ] = None,
) -> None:
    """Put right what killed migrations left.

    Example: voltar recover

    What was not yet started on the target is taken back: the source runs as before, and nothing is
    left on the target. What was started is waited for, and is moved then.
    """
    context: Context = ctx.obj
    directory = state_directory() / "migrations"
    if migration is not None:
        paths = [journal.find(directory, migration)]
    else:
        known = journal.records(directory)
        paths = [path for path, record in known if record.outcome == journal.OPEN]
        paths = [path for path in paths if not journal.alive(path)]
    failed: list[BackupError | TransportError] = []
    for path in paths:
        try:
            recover_one(context, path)
        except (BackupError, TransportError) as error:
            failed.append(error)
            context.voice.warn(f"migration {path.stem}: {error}")
    if failed:
        raise failed[0]
    if context.voice.as_json:
        context.voice.event({"type": "summary", "recovered": [path.stem for path in paths]})
    elif not paths:
        context.voice.report("nothing was left half done")


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
