"""voltar check"""

import typer

from backup.cli import INTEGRITY
from backup.cli.console import listening, size_text
from backup.cli.context import Context
from backup.repository import Checked
from backup.repository import check as check_repository


def check(ctx: typer.Context) -> None:
    """Read everything that is stored, and see that it is right.

    Example: voltar check

    Every pack, chunk, index and snapshot is read, decrypted and compared with its id.
    """
    context: Context = ctx.obj
    repository = context.open()
    with listening(context.voice) as listener:
        found = check_repository(repository, listener)
    if context.voice.as_json:
        context.voice.event(_as_json(found))
    else:
        _tell(context, found)
    if found.damages:
        raise typer.Exit(INTEGRITY)


def _tell(context: Context, found: Checked) -> None:
    for damage in found.damages:
        context.voice.answer(f"damaged: {damage.object}: {damage.text}")
    if found.unlisted:
        context.voice.say(
            f"{found.unlisted} packs are in no index: left by a backup that was interrupted"
        )
    for note in found.notes:
        context.voice.answer(f"note: {note}")
    verdict = f"{len(found.damages)} damages" if found.damages else "everything is right"
    context.voice.answer(
        f"{found.snapshots} snapshots, {found.packs} packs, {found.chunks} chunks, "
        f"{size_text(found.size)}: {verdict}"
    )


def _as_json(found: Checked) -> dict[str, object]:
    return {
        "type": "summary",
        "snapshots": found.snapshots,
        "packs": found.packs,
        "chunks": found.chunks,
        "bytes": found.size,
        "unlisted_packs": found.unlisted,
        "notes": found.notes,
        "damages": [
            {"object": one.object, "text": one.text, "snapshot": one.snapshot}
            for one in found.damages
        ],
    }
