"""voltar container export, voltar container import"""

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from backup.archive import Existing, Form, demand_place, read_file, write_file
from backup.blocks import Block
from backup.cli.console import listening, size_text
from backup.cli.context import Context
from backup.cli.output import Format, write_out
from backup.compression import ArchiveError
from backup.engine import Engine
from backup.engine.filesystem import (
    Exported,
    configuration,
    demand_free,
    exported,
    import_image,
    left_out,
)
from backup.engine.filesystem import export as export_tar
from backup.engine.reference import Reference
from backup.errors import ConfigError, UsageError
from backup.report import Advanced, Finished, OnEvent, Started
from backup.tar.split import MalformedArchive, TruncatedArchive, join, split
from backup.targets import CONTAINER

app = typer.Typer(help="The file systems of containers.", no_args_is_help=True)

_ALWAYS_LOST: Final = (
    "how it is run: ports, networks, limits, restart policy",
    "extended attributes and access lists of files, but for capabilities",
)


@app.command("export")
def export(
    ctx: typer.Context,
    container: Annotated[str, typer.Argument(metavar="CONTAINER", help="A name or an id.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Standard output where not given."),
    ] = None,
    as_format: Annotated[
        Format | None,
        typer.Option("--format", help="Where the file's name does not say it; tar by default."),
    ] = None,
    changes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what puts the configuration back, for an import."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write what a container sees, without its mounts, as one tar file.

    Examples: voltar container export web -o web.tar.zst --changes web.changes
    · voltar container export web | tar t

    Owners, modes and times of files are in it. What is lost is told.
    """
    context: Context = ctx.obj
    existing = Existing.REPLACE if force else Existing.KEEP
    with context.engine() as engine:
        found = exported(engine, container.removeprefix(CONTAINER))
        if changes is not None:
            demand_place(changes, existing)
        with listening(context.voice) as listener, closing(_read(engine, found, listener)) as tar:
            file = write_out(tar, output, as_format, existing)
    if changes is not None:  # the owner's alone, as all such files: an environment has secrets
        lines = "".join(f"{line}\n" for line in found.configuration.lines)
        write_file((lines.encode(),), changes, Form.TAR, existing)
    lost = _lost(found)
    if file is not None and context.voice.as_json:
        told = {"type": "summary", "container": found.name, "file": str(file), "lost": lost}
        context.voice.event(told)
        return
    if not context.voice.as_json:
        _tell_lost(context, found, lost, changes)
    if file is not None:
        size = size_text(file.stat().st_size)
        context.voice.answer(f"exported the file system of {found.name} to {file}, {size}")


@app.command("import")
def import_(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .tar, .tar.gz or .tar.zst; - for a pipe.")
    ],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="NAME[:TAG] of the new image.")],
    *,
    change: Annotated[
        list[str] | None,
        typer.Option(metavar="INSTRUCTION", help="A line of a Dockerfile: 'CMD [\"nginx\"]'."),
    ] = None,
    changes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What an export wrote: lines of the kind.")
    ] = None,
    config_of: Annotated[
        str | None,
        typer.Option(metavar="CONTAINER", help="Take over the configuration of a container."),
    ] = None,
    message: Annotated[str, typer.Option(help="A comment in the image's history.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Take the name from the image that has it.")
    ] = False,
) -> None:
    """Make an image of one layer of a tar file, which must be whole.

    Examples: voltar container import web.tar.zst web:restored --changes web.changes
    · voltar container import rootfs.tar base:1 --change 'CMD ["sh"]'
    """
    context: Context = ctx.obj
    reference = Reference.parse(image)
    if reference.tag is None or reference.digest:
        raise UsageError(f"{image} has a digest, which only its content can give it")
    lines = _read_changes(changes) if changes is not None else []
    with context.engine() as engine:
        if not force:
            demand_free(engine, reference)
        if config_of is not None:
            lines += configuration(engine, config_of.removeprefix(CONTAINER)).lines
        for line in left_out(engine, lines):
            context.voice.warn(f"{line.split()[0]} is left out: this engine takes it in no import")
            lines.remove(line)
        lines += change or ()
        path = None if str(file) == "-" else file
        with listening(context.voice) as listener, closing(_whole(path, listener)) as blocks:
            identity = import_image(engine, blocks, reference, changes=lines, message=message)
    if context.voice.as_json:
        told = {"type": "summary", "image": reference.familiar, "id": identity}
        context.voice.event(told | {"changes": len(lines)})
        return
    context.voice.answer(f"imported {file} as {reference.familiar}, {identity}")


def _read(engine: Engine, container: Exported, on_event: OnEvent) -> Generator[Block, None, None]:
    """The export, which is refused where it does not end as a tar does."""
    on_event(Started("export", container.name))
    for block in join(split(export_tar(engine, container))):
        on_event(Advanced(len(block)))
        yield block
    on_event(Finished("export", container.name))


def _whole(path: Path | None, on_event: OnEvent) -> Generator[Block, None, None]:
    """The tar in a file; its end raises what is wrong with it."""
    name = str(path or "standard input")
    on_event(Started("import", name))
    with closing(read_file(path)) as blocks:
        try:
            for block in join(split(blocks)):
                on_event(Advanced(len(block)))
                yield block
        except (TruncatedArchive, MalformedArchive) as error:
            raise ArchiveError(f"{name} is damaged: {error}") from error
    on_event(Finished("import", name))


def _lost(container: Exported) -> list[str]:
    said = container.configuration
    lost = [f"what it mounts: {', '.join(container.mounts)}"] if container.mounts else []
    if said.named:
        lost.append(f"its configuration: {', '.join(said.named)}")
    if said.unsaid:
        lost.append(f"what no import can put back: {', '.join(said.unsaid)}")
    return [*lost, f"the layers and the history of {container.image}", *_ALWAYS_LOST]


def _tell_lost(
    context: Context, container: Exported, lost: Sequence[str], changes: Path | None
) -> None:
    voice = context.voice
    voice.say(f"an export is files alone; of {container.name} it does not have:")
    for each in lost:
        voice.say(f"  - {each}")
    if container.mounts:
        voice.say(f"`voltar backup container:{container.name}` saves what it mounts")
    if container.configuration.lines and changes is None:
        voice.say(
            "the configuration can be put back by `voltar container import … --config-of "
            f"{container.name}`, or where it is gone by what `--changes FILE` writes now"
        )
    elif changes is not None:
        voice.say(f"`voltar container import … --changes {changes}` puts the configuration back")
    if container.running:
        voice.say("it runs: files that changed meanwhile may be torn")


def _read_changes(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the instructions in {path}: {error}") from error
