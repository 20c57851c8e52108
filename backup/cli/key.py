"""voltar key"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from backup.cli import INTEGRITY
from backup.cli.console import Voice
from backup.cli.context import Context
from backup.repository import SHORT_ID
from backup.repository.keyring import Key, add, change, keys, remove

app = typer.Typer(help="The passwords of a repository.", no_args_is_help=True)

_NewPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--new-password-file",
        metavar="FILE",
        help="Read the new password from a file [env: VOLTAR_NEW_PASSWORD_FILE].",
    ),
]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the keys; the one that the password in use opens is marked.

    Example: voltar key list
    """
    context: Context = ctx.obj
    found = keys(context.open())
    voice = context.voice
    if voice.as_json:
        voice.document([_as_json(key) for key in found])
    elif found:
        voice.table(["", "id", "created"], [_row(key) for key in found])
    else:
        voice.say("the repository is not encrypted: it has no keys")
    if any(key.damaged for key in found):
        raise typer.Exit(INTEGRITY)


@app.command("add")
def add_(ctx: typer.Context, *, new_password_file: _NewPasswordFile = None) -> None:
    """Let another password open the repository; those that it has stay.

    Example: voltar key add --new-password-file /root/second

    It comes from that file, VOLTAR_NEW_PASSWORD_FILE, VOLTAR_NEW_PASSWORD, or a prompt.
    """
    context: Context = ctx.obj
    repository = context.open()
    password = context.another_password(new_password_file)
    _tell(context.voice, "added", add(repository, password, now=datetime.now(UTC)))


@app.command("remove")
def remove_(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID", help="The beginning of the key's id.")],
) -> None:
    """Let a password open the repository no more. The one in use cannot be removed.

    Example: voltar key remove 3fa9c1d2e0

    Whoever copied the key before, and knows its password, still has what it opens.
    """
    context: Context = ctx.obj
    _tell(context.voice, "removed", remove(context.open(), key))


@app.command("passwd")
def passwd(ctx: typer.Context, *, new_password_file: _NewPasswordFile = None) -> None:
    """Replace the password in use by another.

    Example: voltar key passwd
    """
    context: Context = ctx.obj
    repository = context.open()
    password = context.another_password(new_password_file)
    _tell(context.voice, "changed", change(repository, password, now=datetime.now(UTC)))


def _tell(voice: Voice, what: str, key_id: str) -> None:
    if voice.as_json:
        voice.event({"type": "summary", "what": what, "key": key_id})
    else:
        voice.answer(f"{what} key {key_id[:SHORT_ID]}")


def _row(key: Key) -> tuple[str, ...]:
    when = (
        key.damaged if key.created is None else key.created.astimezone().isoformat(" ", "seconds")
    )
    return "*" if key.current else "", key.id[:SHORT_ID], when or ""


def _as_json(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "created": key.created.isoformat() if key.created else None,
        "current": key.current,
        "damaged": key.damaged,
    }
