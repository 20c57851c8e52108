"""voltar systemd"""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from backup import config
from backup.cli.clock import machine_clock
from backup.cli.console import Voice
from backup.cli.context import Context
from backup.cli.places import config_path
from backup.errors import UsageError

if TYPE_CHECKING:
    from backup.systemd import Plan, Wanted

DIRECTORY: Final = Path("/etc/systemd/system")

app = typer.Typer(help="Units of systemd for the jobs of the configuration.", no_args_is_help=True)

Daemon = Annotated[
    bool, typer.Option("--daemon", help="One service that keeps all schedules, and no timers.")
]
Directory = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help=f"Not {DIRECTORY}; systemd is told nothing then."),
]


@app.command("print")
def print_(ctx: typer.Context, *, daemon: Daemon = False) -> None:
    """Show the units that `install` would write.

    Examples: voltar systemd print · voltar systemd print --daemon
    """
    context: Context = ctx.obj
    found = _wanted(context, daemon=daemon)
    if context.voice.as_json:
        context.voice.document({"files": found.files, "enabled": found.enabled})
        return
    for name, text in found.files.items():
        context.voice.answer(f"# {DIRECTORY / name}")
        print(text)
    _tell_remarks(context, found)


@app.command("install")
def install(ctx: typer.Context, *, daemon: Daemon = False, directory: Directory = None) -> None:
    """Write services, and timers for what has a schedule; remove those of what has none any more.

    Examples: voltar systemd install · voltar systemd install --daemon

    To be said again after each change of the configuration. Where systemd is at work, the timers
    are switched on. What others wrote or changed is left alone.
    """
    context: Context = ctx.obj
    found = _wanted(context, daemon=daemon)
    _tell_remarks(context, found)
    _carry_out(context, found, directory)


@app.command("remove")
def remove(ctx: typer.Context, *, directory: Directory = None) -> None:
    """Remove what `install` wrote.

    Example: voltar systemd remove
    """
    from backup.systemd import Wanted  # noqa: PLC0415  units are for this command alone

    _carry_out(ctx.obj, Wanted(files={}, enabled=()), directory)


def command_path() -> Path:
    """Return where this command is, for others to start. Raises UsageError."""
    found = shutil.which(sys.argv[0]) if sys.argv[0].endswith("voltar") else shutil.which("voltar")
    if found is None:
        raise UsageError(
            "units need the path of the voltar command, and there is none in PATH",
            hint="install voltar, and start it by its name",
        )
    return Path(found).absolute()


def _wanted(context: Context, *, daemon: bool) -> "Wanted":
    from backup.systemd import Place, wanted, wanted_daemon  # noqa: PLC0415

    path = config_path(context.config)
    place = Place(
        command=command_path(),
        config=path.absolute(),
        clock=machine_clock(),
        now=datetime.now(UTC),
    )
    return (wanted_daemon if daemon else wanted)(config.load(path), place)


def _carry_out(context: Context, found: "Wanted", directory: Path | None) -> None:
    from backup.systemd import compare, manager, read, write  # noqa: PLC0415

    voice, place = context.voice, directory or DIRECTORY
    plan = compare(found, read(place))
    tells = directory is None and manager.is_at_work()
    if tells:
        manager.tell(manager.before(plan))
    write(plan, place)
    if tells:
        manager.tell(manager.after(plan))
    if voice.as_json:
        voice.document(plan.summary | {"enabled": plan.enabled if tells else []})
        return
    _tell(voice, plan)
    for command in [] if tells else [*manager.before(plan), *manager.after(plan)]:
        voice.say(f"to be run: {' '.join(command)}")


def _tell(voice: Voice, plan: "Plan") -> None:
    for verb, names in (("wrote", plan.write), ("removed", plan.remove)):
        for name in names:
            voice.report(f"{verb} {name}")
    for name in plan.foreign:
        voice.warn(f"{name} was not written by voltar, or changed since: it is left as it is")
    if plan.is_empty:
        voice.report("nothing to do: all units are as they should be")


def _tell_remarks(context: Context, found: "Wanted") -> None:
    for remark in found.remarks:
        context.voice.say(remark)
