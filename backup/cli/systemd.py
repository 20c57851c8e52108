"""voltar systemd"""

import shutil
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from backup import config
from backup.cli.configured import config_path
from backup.cli.context import Context
from backup.errors import UsageError
from backup.systemd import Place, Plan, Wanted, compare, manager, read, wanted, wanted_daemon, write

DIRECTORY: Final = Path("/etc/systemd/system")
_NOTHING: Final = Wanted(files={}, enabled=())

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
    _carry_out(context, compare(found, read(directory or DIRECTORY)), directory)


@app.command("remove")
def remove(ctx: typer.Context, *, directory: Directory = None) -> None:
    """Remove what `install` wrote.

    Example: voltar systemd remove
    """
    _carry_out(ctx.obj, compare(_NOTHING, read(directory or DIRECTORY)), directory)


def command_path() -> Path:
    """Return where this command is, for others to start. Raises UsageError."""
    found = shutil.which(sys.argv[0]) if sys.argv[0].endswith("voltar") else shutil.which("voltar")
    if found is None:
        raise UsageError(
            "units need the path of the voltar command, and there is none in PATH",
            hint="install voltar, and start it by its name",
        )
    return Path(found).absolute()


def machine_clock() -> tzinfo:
    """Return the clock of this machine, which is not that of whoever has set TZ."""
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _wanted(context: Context, *, daemon: bool) -> Wanted:
    path = config_path(context)
    place = Place(
        command=command_path(),
        config=path.absolute(),
        clock=machine_clock(),
        now=datetime.now(UTC),
    )
    return (wanted_daemon if daemon else wanted)(config.load(path), place)


def _carry_out(context: Context, plan: Plan, directory: Path | None) -> None:
    tells = directory is None and manager.is_at_work()
    if tells:
        manager.tell(manager.before(plan))
    write(plan, directory or DIRECTORY)
    if tells:
        manager.tell(manager.after(plan))
    if context.voice.as_json:
        context.voice.document(
            {
                "written": list(plan.write),
                "unchanged": plan.same,
                "removed": plan.remove,
                "foreign": plan.foreign,
                "enabled": plan.enabled if tells else [],
            }
        )
        return
    _tell(context, plan, tells=tells)


def _tell(context: Context, plan: Plan, *, tells: bool) -> None:
    voice = context.voice
    for verb, names in (("wrote", plan.write), ("removed", plan.remove)):
        for name in names:
            voice.report(f"{verb} {name}")
    for name in plan.foreign:
        voice.warn(f"{name} was not written by voltar, or changed since: it is left as it is")
    if plan.is_empty:
        voice.report("nothing to do: all units are as they should be")
    if not tells:
        for command in [*manager.before(plan), *manager.after(plan)]:
            voice.say(f"to be run: {' '.join(command)}")


def _tell_remarks(context: Context, found: Wanted) -> None:
    for remark in found.remarks:
        context.voice.say(remark)
