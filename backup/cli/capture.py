"""voltar capture"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from backup import __version__
from backup.cli import INCOMPLETE
from backup.cli.console import Voice, listening, size_text
from backup.cli.context import Context, captures_directory
from backup.cli.policy import demand_tags
from backup.engine import remove_all
from backup.errors import BackupError, EngineUnavailable
from backup.evidence.capture import Evidence, Wish, into_file, into_repository
from backup.job.run import new_run
from backup.repository import SHORT_ID
from backup.restore import uninterrupted
from backup.targets import CONTAINER
from transports.errors import TransportError


def capture(
    ctx: typer.Context,
    container: Annotated[str, typer.Argument(metavar="CONTAINER", help="A name or an id.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A new directory, or FILE.tar, .tar.gz, .tar.zst.",
        ),
    ] = None,
    pause: Annotated[
        bool, typer.Option("--pause", help="Pause it while its image and mounts are read.")
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Into the repository, with this tag.")
    ] = None,
) -> None:
    """Keep a container as evidence, with all that belongs to it.

    Examples: voltar capture web -o case-17 · voltar capture web -o case-17.tar.zst · voltar capture
    web --pause

    Processes, inspect, log (stdout and stderr apart), changed files, an image of a commit, all
    mounts, and what the engine says of itself; each with its SHA-256, in a directory or tar file
    that is read without voltar, or without -o as one snapshot in the repository. The container is
    left alone: only with --pause it stands still for a while.

    What cannot be had is named, with exit code 3. The last digest that is printed stands for all
    others: write it down somewhere else.
    """
    context: Context = ctx.obj
    demand_tags(tag or ())
    repository = context.opening() if output is None else None
    with context.engine() as engine:
        run = new_run()
        context.tidy(engine, run)
        wish = Wish(
            container=container.removeprefix(CONTAINER),
            pause=pause,
            run=run,
            program=f"voltar {__version__}",
            state=captures_directory(),
            tags=tuple(sorted(set(tag or ()))),
        )
        with listening(context.voice) as listener, _made_good(context, wish):
            if repository is None:
                assert output is not None  # noqa: S101  one of the two is there
                found = into_file(engine, wish, output, listener)
            else:
                found = into_repository(engine, wish, repository(), listener)
    _tell(context.voice, found, output)
    if found.missing:
        raise typer.Exit(INCOMPLETE)


@contextmanager
def _made_good(context: Context, wish: Wish) -> Iterator[None]:
    """Where the connection is lost, take back over a new one what a dead capture leaves: the
    container may stand paused."""
    try:
        yield
    except EngineUnavailable as error:
        try:
            with uninterrupted(), context.engine() as engine:
                remove_all(engine, wish.run)
                context.tidy(engine, wish.run)
        except (BackupError, TransportError):
            error.add_note(
                f"container {wish.container!r} may stand paused, and an image of it be left: "
                "`voltar recover` puts that right"
            )
        raise


def _tell(voice: Voice, found: Evidence, output: Path | None) -> None:
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "container": found.container,
                "output": str(output) if output else None,
                "snapshot": found.snapshot,
                "sha256": found.sums,
                "artefacts": [asdict(each) for each in found.artefacts],
                "missing": [asdict(each) for each in found.missing],
            }
        )
        return
    for each in found.artefacts:
        voice.report(f"{each.sha256}  {each.name}  {size_text(each.size)}  {each.about}")
    for lacking in found.missing:
        voice.warn(f"not captured as it should be: {lacking.about}: {lacking.why}")
    where = output or f"snapshot {(found.snapshot or '')[:SHORT_ID]}"
    voice.answer(f"captured {found.container} in {where}; SHA256SUMS has the digest {found.sums}")
