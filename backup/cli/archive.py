"""voltar export, voltar import"""

import socket
from pathlib import Path
from typing import Annotated

import typer

from backup import __version__
from backup.archive import Existing, import_file
from backup.cli.console import counted, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.cli.output import Format, write_out
from backup.errors import UsageError
from backup.job.run import new_run
from backup.lookup import find_snapshot
from backup.members import archive
from backup.repository import SHORT_ID


def export(
    ctx: typer.Context,
    snapshot: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="An id, volume:NAME, or volume:NAME@TIME.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Standard output where not given."),
    ] = None,
    as_format: Annotated[
        Format | None,
        typer.Option("--format", help="Where the file's name does not say it; tar by default."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write one snapshot as a tar file that any tar can read.

    Examples: voltar export volume:pgdata -o pgdata.tar.zst · voltar export 3fa9c1 | tar t
    """
    context: Context = ctx.obj
    repository = context.open()
    snapshot_id, found = find_snapshot(repository, snapshot)
    existing = Existing.REPLACE if force else Existing.KEEP
    file = write_out(archive(repository, found), output, as_format, existing)
    if file is None:
        return
    if context.voice.as_json:
        context.voice.event({"type": "summary", "snapshot": snapshot_id, "file": str(file)})
        return
    size = size_text(file.stat().st_size)
    context.voice.answer(f"exported {found.source} ({snapshot_id[:SHORT_ID]}) to {file}, {size}")


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .tar, .tar.gz or .tar.zst; - for a pipe.")
    ],
    *,
    as_source: Annotated[
        str, typer.Option("--as", metavar="TARGET", help="Whose snapshot it becomes: volume:NAME.")
    ],
) -> None:
    """Make a snapshot of a tar file.

    Examples: voltar import old.tar.gz --as volume:pgdata · zcat x.gz | voltar import - --as x
    """
    context: Context = ctx.obj
    kind, _, name = as_source.rpartition(":")
    if kind not in ("", "volume") or not name:
        raise UsageError(f"a tar file cannot become {as_source!r}", hint="write --as volume:NAME")
    repository = context.open()
    with listening(context.voice) as listener:
        snapshot_id, snapshot = import_file(
            repository,
            None if str(file) == "-" else file,
            f"volume:{name}",
            host=socket.gethostname(),
            run=new_run(),
            program=f"voltar {__version__}",
            on_event=listener,
        )
    counts = snapshot.statistics
    if context.voice.as_json:
        context.voice.event(
            {
                "type": "summary",
                "snapshot": snapshot_id,
                "source": snapshot.source,
                "entries": counts.entries,
                "bytes": counts.size,
                "bytes_stored": counts.stored,
            }
        )
        return
    context.voice.answer(
        f"{snapshot_id[:SHORT_ID]}  {snapshot.source}  {counted(counts.entries, 'entry')}, "
        f"{size_text(counts.size)}; new {size_text(counts.added)}, "
        f"stored {size_text(counts.stored)}; {seconds_text(counts.seconds)}"
    )
