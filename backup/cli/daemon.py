"""voltar daemon"""

from datetime import UTC, datetime

import typer

from backup.cli.console import counted
from backup.cli.context import state_directory
from backup.cli.metrics import Exporter


def daemon(ctx: typer.Context) -> None:
    """Run what the configuration has schedules for, when it is due.

    Examples: voltar daemon · voltar --config ./voltar.toml daemon · voltar daemon --json

    Each is a process of its own. What was missed while the daemon did not run is made good once,
    when it starts. SIGHUP has the configuration read again; one with errors changes nothing.
    SIGTERM and Ctrl-C end what runs, within a minute: what it began is put back, and it is made
    good when the daemon starts again.
    """
    # the scheduler and its library are for this command alone
    from backup import scheduler  # noqa: PLC0415
    from backup.cli.machine import Machine, supervisor  # noqa: PLC0415

    state = state_directory()
    with (
        scheduler.signals_held(),
        scheduler.only_daemon(state),
        Exporter(ctx.obj) as exporter,
    ):
        machine = Machine(ctx.obj, state, exporter.follow)
        tasks, parallel = machine.read()
        doors = scheduler.Doors(
            now=lambda: datetime.now(UTC), start=machine.start, save=machine.save, tell=machine.tell
        )
        loop = scheduler.Loop(tasks, parallel, machine.known(tasks), doors)
        text = f"ready: {counted(len(tasks), 'task')} with a schedule"
        text += f", metrics at {exporter.address}" if exporter.address else ""
        machine.tell(scheduler.Told(event="ready", text=text))
        scheduler.serve(loop, doors, supervisor(), machine.read)
