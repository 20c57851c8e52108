"""voltar check, voltar repair"""

from typing import Annotated, Final

import typer

from backup.cli import INTEGRITY
from backup.cli.console import Voice, counted, listening, size_text
from backup.cli.context import Context
from backup.cli.recording import recording
from backup.history import CONTENT, STORE, Kind, SourceResult
from backup.quantity import parse_percent, parse_size
from backup.repository import (
    EVERYTHING,
    SAMPLE_SIZE,
    Checked,
    ReadData,
    Relisted,
    catalog,
    repair_index,
)
from backup.repository import check as check_repository

READ_ALL: Final = "100%"
"""What --read-data stands for when it is said without an amount."""

repair = typer.Typer(help="Make again what can be made again.", no_args_is_help=True)


def check(
    ctx: typer.Context,
    *,
    read_data: Annotated[
        str | None,
        typer.Option(
            "--read-data",
            metavar="[=AMOUNT]",
            help="Read all data, or a part of it chosen at random: 5%, 10G, 0.",
        ),
    ] = None,
) -> None:
    """See that everything that is stored is there and right.

    Examples: voltar check · voltar check --read-data · voltar check --read-data=5%

    All indexes, snapshots and manifests are read, and every piece of every file is looked for.
    Without --read-data up to 1 GiB of data is read too, chosen at random; what is read is decrypted
    and compared with its id. A damaged pack is named with the snapshots and files that suffer.
    """
    context: Context = ctx.obj
    amount = _amount(read_data)
    with recording(context, Kind.CHECK) as run:
        repository = context.open()
        with listening(context.voice) as listener:
            found = check_repository(repository, listener, amount)
        run.found = SourceResult(
            source="repository",
            host="",
            level=CONTENT if found.read >= found.size else STORE,
            size=found.read,
        )
        if found.damages:
            said = f"{counted(len(found.damages), 'damage')}: {found.damages[0].text}"
            run.end_badly(INTEGRITY, said)
        else:
            run.end_well()
    forgotten = catalog.hidden(repository)
    if context.voice.as_json:
        context.voice.event(_as_json(found, forgotten))
    else:
        _tell(context.voice, found, forgotten)
    if found.damages:
        raise typer.Exit(INTEGRITY)


@repair.command("index")
def index(ctx: typer.Context) -> None:
    """Make all indexes anew from the packs; only of a pack that cannot be read, an index is asked.

    Example: voltar repair index

    For when `voltar check` tells of a damaged index. Backups may run meanwhile, `voltar prune` must
    not.
    """
    context: Context = ctx.obj
    repository = context.open()
    with listening(context.voice) as listener:
        done = repair_index(repository, listener)
    if context.voice.as_json:
        context.voice.event(_relisted_json(done))
    else:
        _tell_relisted(context, done)
    if done.lost:
        raise typer.Exit(INTEGRITY)


def _amount(text: str | None) -> ReadData:
    if text is None:
        return ReadData(size=SAMPLE_SIZE)
    share = parse_percent(text, "--read-data")
    if share is not None:
        return EVERYTHING if share >= 1 else ReadData(share=share)
    return ReadData(size=parse_size(text, "--read-data"))


def _tell(voice: Voice, found: Checked, forgotten: int) -> None:
    for damage in found.damages:
        # some errors name their object themselves, by as much of its id as they see fit
        about = "" if damage.text.startswith(damage.object[:20]) else f"{damage.object}: "
        voice.answer(f"damaged: {about}{damage.text}")
    if found.unlisted:
        voice.say(unlisted_text(found.unlisted, interrupted=not found.hint))
    for note in found.notes:
        voice.answer(f"note: {note}")
    damages = counted(len(found.damages), "damage")
    read = "all data read" if found.read >= found.size else f"{size_text(found.read)} of data read"
    hidden = f" ({forgotten} forgotten)" if forgotten else ""
    tell = voice.answer if found.damages else voice.report
    tell(
        f"{counted(found.snapshots, 'snapshot')}{hidden}, {counted(found.packs, 'pack')}, "
        f"{counted(found.chunks, 'chunk')}, {size_text(found.size)}, {read}: "
        f"{damages if found.damages else 'everything is right'}"
    )
    if found.hint:
        voice.answer(f"hint: {found.hint}")


def unlisted_text(packs: int, *, interrupted: bool = True) -> str:
    """Return what packs without an index mean."""
    are = "is" if packs == 1 else "are"
    why = "left by a backup that was interrupted" if interrupted else "no snapshot needs them"
    return f"{counted(packs, 'pack')} {are} in no index: {why}"


def _as_json(found: Checked, forgotten: int) -> dict[str, object]:
    return {
        "type": "summary",
        "snapshots": found.snapshots,
        "forgotten": forgotten,
        "packs": found.packs,
        "chunks": found.chunks,
        "bytes": found.size,
        "bytes_read": found.read,
        "unlisted_packs": found.unlisted,
        "condemned_packs": found.condemned,
        "notes": found.notes,
        "hint": found.hint,
        "damages": [
            {"object": one.object, "text": one.text, "snapshot": one.snapshot}
            for one in found.damages
        ],
    }


def _tell_relisted(context: Context, done: Relisted) -> None:
    for pack, text in done.lost.items():
        context.voice.answer(f"damaged: packs/{pack}: {text}")
    if done.uncondemned:
        lists = counted(done.uncondemned, "condemned list")
        context.voice.answer(f"could not be read, and deleted: {lists}")
    packs, old = counted(done.packs, "pack"), counted(done.replaced, "old index")
    context.voice.answer(f"listed: {packs}; deleted: {old}")


def _relisted_json(done: Relisted) -> dict[str, object]:
    return {
        "type": "summary",
        "packs": done.packs,
        "indexes_replaced": done.replaced,
        "condemned_lists_deleted": done.uncondemned,
        "damages": [{"object": f"packs/{pack}", "text": text} for pack, text in done.lost.items()],
    }
