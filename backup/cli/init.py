"""voltar init"""

from typing import Annotated

import typer

from backup.cli.context import Context
from backup.repository import create


def init(
    ctx: typer.Context,
    *,
    no_encryption: Annotated[
        bool,
        typer.Option(
            "--no-encryption",
            help="Store everything readable by anybody who reads the store.",
        ),
    ] = False,
) -> None:
    """Make a repository.

    Example: voltar -r /srv/backup init

    The password encrypts everything that is stored. There is no other way in: keep a copy of it
    where a fire cannot get at both.
    """
    context: Context = ctx.obj
    store = context.store()
    repository = create(store, None if no_encryption else context.new_password())
    facts = {
        "type": "summary",
        "repository": store.url,
        "id": repository.descriptor.id,
        "cipher": repository.descriptor.cipher,
    }
    if context.voice.as_json:
        context.voice.event(facts)
        return
    encrypted = "not encrypted" if no_encryption else "encrypted"
    context.voice.answer(f"made the repository at {store.url}, {encrypted}")
    if not no_encryption:
        context.voice.say("without the password nobody can restore, you included: keep it safe")
