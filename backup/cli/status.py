"""voltar status, voltar log"""

import typer

from backup.cli.console import local_text
from backup.cli.context import Context, state_directory
from backup.history import History


def status(ctx: typer.Context) -> None:
    """Say what the runs of jobs came to.

    Examples: voltar status · voltar status --json
    """
    context: Context = ctx.obj
    runs = History(state_directory() / "history.sqlite").runs()
    if context.voice.as_json:
        context.voice.document([{"run": each.id, "job": each.job} for each in runs])
        return
    rows = [
        (each.job, local_text(each.started), each.result.value if each.result else "never ended")
        for each in runs
    ]
    context.voice.table(["job", "started", "result"], rows)
