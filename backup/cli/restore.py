"""voltar restore"""

import os
import re
import time
from typing import Annotated, Final

import typer

from backup.cli.console import counted, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.cli.dumped import STDOUT, restore_dump
from backup.cli.restored import restore_image
from backup.cli.snapshots import excluded_text
from backup.database.feed import Into
from backup.destination import Target, target, target_name
from backup.engine import Engine
from backup.errors import UsageError
from backup.job.run import new_run
from backup.lookup import Found, find_snapshot
from backup.repository import SHORT_ID, Repository, Snapshot
from backup.restore import Verify, await_end
from backup.restore import restore as restore_into
from backup.survey import Selection, Survey, survey
from backup.targets import CONTAINER, DUMP, IMAGE

_PROOFS: Final = {Verify.FULL: "every byte", Verify.LISTING: "listing"}
_ID: Final = re.compile(r"[0-9a-f]{4,64}")


def restore(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    snapshot: Annotated[
        str,
        typer.Argument(metavar="SNAPSHOT", help="An id, volume:NAME, image:REF, or one @TIME."),
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Only these, and what is below them."),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A new volume, an empty one, or container:NAME; for an image, another name; for "
            "a dump, container:NAME or - for a pipe.",
        ),
    ] = None,
    verify: Annotated[
        Verify, typer.Option(help="Read back what a listing shows, or every byte too.")
    ] = Verify.LISTING,
    force_tag: Annotated[
        bool, typer.Option("--force-tag", help="Take an image's name from the one that has it.")
    ] = False,
    start_over: Annotated[
        bool,
        typer.Option(
            "--start-over", help="Of a dump: drop first what a killed restore left in the server."
        ),
    ] = False,
) -> None:
    """Restore a snapshot into a volume, or an image, and prove it.

    Examples: voltar restore volume:pgdata --to pgdata-copy · voltar restore 3fa9c1 --to new etc/app
    · voltar restore image:app:1.2@2026-11-25 --to app:before
    · voltar restore dump:db/postgres --to container:newdb

    A volume that is in use, or not empty, is refused and left as it is. If anything goes wrong, the
    target is put back to what it was.
    """
    context: Context = ctx.obj
    if to is None and not snapshot.startswith(CONTAINER) and not _may_be_image(snapshot):
        raise _nowhere(snapshot)
    opened = context.opening()
    with context.engine() as engine:
        run = new_run()
        context.tidy(engine, run)
        repository = opened()
        snapshot_id, found = find_snapshot(repository, snapshot, host=engine.name)
        if found.image is not None:
            _refuse(bool(paths), verify, "an image")
            restore_image(context, engine, repository, (snapshot_id, found), (to, force_tag))
            return
        if force_tag:
            raise UsageError("--force-tag is for images")
        if to is None:
            raise _nowhere(found.source)
        if start_over and not to.startswith(CONTAINER):
            raise UsageError("--start-over is for dumps that are fed to a container's server")
        if found.source.startswith(DUMP) and (to == STDOUT or to.startswith(CONTAINER)):
            _refuse(bool(paths), verify, "a dump")
            into_server = Into(to.removeprefix(CONTAINER), starting_over=start_over)
            restore_dump(context, engine, repository, (snapshot_id, found), into_server)
            return
        into = _aimed(context, engine, target_name(engine, to, found), found, run)
        surveyed = survey(
            repository, found, Selection.of([os.fsencode(path) for path in paths or ()])
        )
        started = time.monotonic()
        with listening(context.voice) as listener:
            restore_into(engine, surveyed, into, run=run, verify=verify, on_event=listener)
    seconds = round(time.monotonic() - started, 3)
    _report(context, repository, (snapshot_id, found), into, surveyed, (verify, seconds))


def _aimed(context: Context, engine: Engine, name: str, found: Snapshot, run: str) -> Target:
    if await_end(engine, name):
        context.tidy(engine, run)  # a moment ago it seemed to live
    return target(engine, name, found.volume, run)


def _report(
    context: Context,
    repository: Repository,
    restored: Found,
    into: Target,
    surveyed: Survey,
    proven: tuple[Verify, float],
) -> None:
    (snapshot_id, found), (verify, seconds) = restored, proven
    if context.voice.as_json:
        context.voice.event(
            {
                "type": "summary",
                "snapshot": snapshot_id,
                "source": found.source,
                "target": f"volume:{into.name}",
                "created": into.make is not None,
                "entries": surveyed.entries,
                "bytes": surveyed.size,
                "verified": verify.value,
                "seconds": seconds,
            }
        )
        return
    _tell_what_it_lacks(context, repository, found)
    context.voice.answer(
        f"restored {found.source} ({snapshot_id[:SHORT_ID]}) to volume:{into.name}: "
        f"{counted(surveyed.entries, 'entry')}, {size_text(surveyed.size)}, "
        f"{seconds_text(seconds)}; {_PROOFS[verify]} compared"
    )


def _tell_what_it_lacks(context: Context, repository: Repository, found: Snapshot) -> None:
    """Tell what a snapshot does not have, and where a database is whose files it has not."""
    if not found.statistics.excluded:
        return
    dumps = [
        each.source
        for _, each in repository.readable()[0]
        if each.run == found.run and each.source.startswith(DUMP)
    ]
    beside = f"; stored beside it: {', '.join(dumps)}" if dumps else ""
    context.voice.say(f"not in this snapshot: {excluded_text(found)}{beside}")


def _may_be_image(text: str) -> bool:
    return text.startswith(IMAGE) or _ID.fullmatch(text) is not None


def _nowhere(what: str) -> UsageError:
    return UsageError(f"say where to restore {what}: --to TARGET")


def _refuse(paths: bool, verify: Verify, what: str) -> None:
    if paths:
        raise UsageError(f"{what} is restored whole", hint="`voltar export` writes it to a file")
    if verify is not Verify.LISTING:
        raise UsageError(f"--verify is for volumes: {what} is always compared as a whole")
