"""voltar config"""

import json
from typing import TYPE_CHECKING, Any

import typer

from backup.cli import USAGE
from backup.cli.console import counted
from backup.cli.context import Context
from backup.cli.places import config_path
from backup.config import Config, examine, load

if TYPE_CHECKING:
    from backup.config.mistake import Mistake
    from backup.config.reading import Examined

app = typer.Typer(help="The configuration of jobs.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """The configuration of jobs."""


@app.command("check")
def check(ctx: typer.Context) -> None:
    """Say whether the configuration is right, and all that is wrong with it.

    Examples: voltar config check · voltar --config ./voltar.toml config check --json

    The exit code is 2 where something is wrong. Warnings do not change it.
    """
    context: Context = ctx.obj
    path = config_path(context.config)
    found = examine(path)
    if context.voice.as_json:
        context.voice.document(_document(found))
        if found.config is None:
            raise typer.Exit(USAGE)
        return
    config = found.demand()
    for doubt in [*found.doubts, *found.exposed]:
        context.voice.warn(found.advice(doubt))
    context.voice.report(f"{path} is right: {_amount(config)}")


@app.command("show")
def show(ctx: typer.Context) -> None:
    """Print what counts: the file with all defaults, and without secrets.

    Examples: voltar config show · voltar config show --json
    """
    from backup.config.shown import effective, written  # noqa: PLC0415  for this command only

    context: Context = ctx.obj
    path = config_path(context.config)
    found = effective(load(path))
    if context.voice.as_json:
        context.voice.document(found)
        return
    context.voice.answer(f"# {path}")
    for line in written(found).splitlines():
        context.voice.answer(line)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration, for editors.

    Example: voltar config schema > voltar.schema.json

    With `#:schema ./voltar.schema.json` as its first line, many editors complete the keys of
    voltar.toml, explain them, and mark what is wrong.
    """
    from backup.config.schema import schema  # noqa: PLC0415  for this command only

    print(json.dumps(schema(), indent=2, ensure_ascii=True))


def _document(found: "Examined") -> dict[str, Any]:
    return {
        "file": str(found.file),
        "valid": found.config is not None,
        "mistakes": [_facts(each) for each in found.mistakes],
        "warnings": [_facts(each) for each in [*found.doubts, *found.exposed]],
    }


def _facts(mistake: "Mistake") -> dict[str, Any]:
    return {
        "line": mistake.line,
        "key": mistake.spelled or None,
        "message": mistake.text,
        "hint": mistake.hint,
    }


def _amount(config: Config) -> str:
    parts = [counted(len(config.jobs), "job"), counted(len(config.repositories), "repository")]
    return ", ".join([*parts, *([counted(len(config.hosts), "host")] if config.hosts else [])])


@app.command("init")
def init(ctx: typer.Context) -> None:
    """Write a first configuration, with comments, from what runs on this engine.

    Examples: voltar config init · voltar -r /srv/backup --config ./voltar.toml config init

    It goes where --config or VOLTAR_CONFIG say, or else to /etc/voltar for root, and to ~/.config
    for others. A file that is there stays as it is.
    """
    from backup.cli.first import write_first  # noqa: PLC0415  for this command only

    context: Context = ctx.obj
    path = write_first(context)
    if context.voice.as_json:
        context.voice.event({"type": "summary", "file": str(path)})
        return
    context.voice.answer(f"wrote {path}")
    for line in (
        "look at it and change it, then:",
        "  voltar config check       is it right?",
        "  voltar -r main init       make the repository, if it is not there yet",
        "  voltar plan               what would be done",
        "  voltar run nightly        do it once",
        "  voltar systemd install    do it every night; or `voltar daemon`, or `voltar cron`",
    ):
        context.voice.say(line)
