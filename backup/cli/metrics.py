"""voltar metrics"""

from typing import Annotated

import typer

from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.context import Context
from backup.errors import UsageError
from backup.history import History
from backup.report import ignore
from backup.runner import history_path


def metrics(
    ctx: typer.Context,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write the file that the configuration names.")
    ] = False,
) -> None:
    """Print what Prometheus is told of jobs and sources.

    Examples: voltar metrics · voltar metrics --write

    It is made of this machine's history. The file, `metrics.textfile` of the configuration, is
    written at the end of each run of a job as well; `voltar daemon` answers at `metrics.listen`.
    """
    from backup.metrics import exposed, publish  # noqa: PLC0415  0.1 s to load

    context: Context = ctx.obj
    opened = doors(context, ignore)
    history = History(history_path(opened.state), context.voice.warn)
    if not write:
        text = exposed(opened.config, history, machine_zone()).decode()
        if context.voice.as_json:
            context.voice.document({"text": text})
        else:
            print(text, end="")
        return
    path = publish(opened.config, history, machine_zone())
    if path is None:
        raise UsageError(
            "the configuration names no file for metrics",
            hint='[metrics] textfile = "/var/lib/prometheus/node-exporter/voltar.prom"',
        )
    if context.voice.as_json:
        context.voice.document({"written": str(path)})
    else:
        context.voice.report(f"written: {path}")
