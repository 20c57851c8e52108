"""voltar prune"""

from typing import Annotated, Any

import typer

from backup.cli.check import unlisted_text
from backup.cli.console import Voice, counted, listening, size_text
from backup.cli.context import Context
from backup.cli.recording import recording
from backup.history import Kind
from backup.quantity import parse_percent, parse_size
from backup.repository import MaxUnused, Pruned, Repository, catalog, prune_repository


def prune(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")
    ] = False,
    max_unused: Annotated[
        str,
        typer.Option(
            metavar="AMOUNT",
            help="How much may stay though nothing uses it: 10%, 2G, or unlimited.",
        ),
    ] = "5%",
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive",
            help="Nothing else writes to the repository meanwhile: wait for nothing.",
        ),
    ] = False,
) -> None:
    """Free the space that no snapshot needs any more.

    Examples: voltar prune · voltar prune --dry-run · voltar prune --max-unused unlimited

    Backups, restores and other prunes may run at the same time, on any host. That is why space
    comes free in two steps: what nobody needs is condemned, and the first prune more than 24 hours
    later deletes it. Run it daily, after forget. A run that was interrupted is made good by the
    next one.

    With --exclusive, what was forgotten cannot be brought back any more, and space comes free at
    once. It is safe only while no other voltar uses the repository.
    """
    context: Context = ctx.obj
    limit = parse_max_unused(max_unused)
    if dry_run:
        run(context.voice, context.open(), limit, exclusive=exclusive, dry_run=True)
        return
    with recording(context, Kind.PRUNE) as recorded:
        run(context.voice, context.open(), limit, exclusive=exclusive)
        recorded.end_well()


def run(
    voice: Voice,
    repository: Repository,
    max_unused: MaxUnused,
    *,
    exclusive: bool = False,
    dry_run: bool = False,
) -> None:
    """Prune, and tell what became of it."""
    with listening(voice) as listener:
        done = prune_repository(
            repository, listener, max_unused=max_unused, exclusive=exclusive, dry_run=dry_run
        )
    if voice.as_json:
        voice.event(_as_json(done, dry_run=dry_run))
    else:
        _tell(voice, done, _in_use(repository, done), dry_run=dry_run)


def parse_max_unused(text: str, option: str = "--max-unused") -> MaxUnused:
    """Return what "5%", "2G" or "unlimited" says. Raises UsageError."""
    if text.strip() == "unlimited":
        return MaxUnused()
    share = parse_percent(text, option)
    return MaxUnused(size=parse_size(text, option)) if share is None else MaxUnused(share=share)


def _in_use(repository: Repository, done: Pruned) -> str:
    """Return what is left, and by how many snapshots it is used."""
    number, hidden = len(repository.snapshot_ids()), catalog.hidden(repository)
    forgotten = f", {hidden} of them forgotten" if hidden else ""
    return f"in use: {size_text(done.used)}, by {counted(number, 'snapshot')}{forgotten}"


def _tell(voice: Voice, done: Pruned, in_use: str, *, dry_run: bool) -> None:
    """Tell what was done; with --dry-run, that is the answer to a question."""
    tell = voice.answer if dry_run else voice.report
    would = "would be " if dry_run else ""
    rows = [
        (f"{would}deleted", done.deleted, "pack"),
        (f"{would}copied", done.copied, "chunk"),
        (f"{would}condemned", done.condemned, "pack"),
        ("waiting", done.waiting, "pack"),
    ]
    if done.snapshots:
        tell(f"{would}deleted: {counted(done.snapshots, 'forgotten snapshot')}")
    for what, amount, noun in rows:
        if amount.number:
            tell(f"{what}: {counted(amount.number, noun)}, {size_text(amount.size)}")
    if done.adopted:
        voice.say(unlisted_text(done.adopted))
    tell(f"{in_use}; unused, and staying: {size_text(done.unused)}")
    if done.held_until is not None:
        when = f"{done.held_until.astimezone():%Y-%m-%d %H:%M}"
        held = f"{counted(done.held.number, 'forgotten snapshot')}: {size_text(done.held.size)}"
        tell(f"held by {held}, until {when}")
    if done.condemned.number and done.free_at is not None:
        when = f"{done.free_at.astimezone():%Y-%m-%d %H:%M}"
        tell(f"{size_text(done.condemned.size)} come free by the first prune after {when}")


def _as_json(done: Pruned, *, dry_run: bool) -> dict[str, Any]:
    return {
        "type": "summary",
        "dry_run": dry_run,
        "snapshots_deleted": done.snapshots,
        "packs": done.packs.number,
        "bytes": done.packs.size,
        "bytes_used": done.used,
        "bytes_unused": done.unused,
        "chunks_copied": done.copied.number,
        "bytes_copied": done.copied.size,
        "packs_condemned": done.condemned.number,
        "bytes_condemned": done.condemned.size,
        "packs_deleted": done.deleted.number,
        "bytes_deleted": done.deleted.size,
        "packs_waiting": done.waiting.number,
        "bytes_waiting": done.waiting.size,
        "packs_adopted": done.adopted,
        "index_objects_saved": done.merged,
        "snapshots_forgotten": done.held.number,
        "bytes_forgotten": done.held.size,
        "forgotten_until": done.held_until.isoformat() if done.held_until else None,
        "free_at": done.free_at.isoformat() if done.free_at else None,
    }
