"""voltar metrics"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.context import Context, state_directory
from backup.cli.places import config_path
from backup.config import Config, load
from backup.errors import BackupError, UsageError
from backup.history import History
from backup.job.runner import history_path
from backup.report import ignore


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


@contextmanager
def exporting(context: Context) -> Iterator[str | None]:
    """Answer Prometheus where the configuration says, if it does; yield where that is.

    It is read again whenever somebody asks; while it has errors, the last one counts that had none.
    Raises ConfigError where the address cannot be had.
    """
    path = config_path(context.config)
    found = load(path)
    if found.metrics is None or found.metrics.listen is None:
        yield None
        return

    def latest() -> Config:
        nonlocal found
        with suppress(BackupError):
            found = load(path)
        return found

    from backup.metrics import serving  # noqa: PLC0415  0.1 s to load

    history = History(history_path(state_directory()), context.voice.warn)
    with serving(found.metrics.listen, latest, history, machine_zone()):
        yield found.metrics.listen
