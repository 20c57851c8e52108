"""voltar cron"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from backup import config
from backup.cli import INCOMPLETE
from backup.cli.clock import machine_clock
from backup.cli.context import Context
from backup.cli.places import config_path
from backup.cli.systemd import command_path

if TYPE_CHECKING:
    from backup.crontab import Crontab

_HEAD: Final = """\
# Written by `voltar cron`. What was missed while this machine was off is not made good: `voltar
# daemon` and the timers of `voltar systemd install` do that. Two runs of a job never overlap: the
# second ends with exit code 5, and no flock is needed. cron takes no notice of exit codes; it mails
# what is printed, which is nothing but snapshots if all went well.
# MAILTO=you@example.com"""


def cron(
    ctx: typer.Context,
    *,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Lines for /etc/cron.d, run as this user; else for `crontab -e`."
        ),
    ] = None,
) -> None:
    """Show the schedules of the configuration as lines for cron.

    Examples: voltar cron --user root > /etc/cron.d/voltar · voltar cron

    What cron cannot do is told; where it has no line at all, the exit code is 3.
    """
    from backup.crontab import Caller, crontab  # noqa: PLC0415  for this command alone

    context: Context = ctx.obj
    path = config_path(context.config).absolute()
    caller = Caller(user=user, command=command_path(), config=path)
    found = crontab(config.load(path), caller, clock=machine_clock(), now=datetime.now(UTC))
    _tell(context, found)
    if found.unsaid:
        raise typer.Exit(INCOMPLETE)


def _tell(context: Context, found: "Crontab") -> None:
    if context.voice.as_json:
        context.voice.document(
            {"lines": found.lines, "unsaid": found.unsaid, "remarks": found.remarks}
        )
        return
    print(_HEAD, *found.lines, sep="\n")
    for each in (*found.unsaid, *found.remarks):
        context.voice.warn(each)
