"""voltar metrics"""

from contextlib import ExitStack, suppress
from typing import Annotated

import typer

from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.context import Context, state_directory
from backup.cli.places import config_path
from backup.config import Config, load
from backup.errors import BackupError, ConfigError, UsageError
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


class Exporter(ExitStack):
    """Answers Prometheus where the configuration says, if it does: `address` is where.

    The configuration is read again whenever somebody asks; while it has errors, the last one counts
    that had none.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._path = config_path(context.config)
        self._history = History(history_path(state_directory()), context.voice.warn)
        self._found = Config()
        self.address: str | None = None

    def follow(self, found: Config) -> None:
        """Answer where a configuration says from now on. Raises ConfigError where that cannot be
        had, and goes on as before then."""
        self._found = found
        wanted = None if found.metrics is None else found.metrics.listen
        if wanted == self.address:
            return
        before, self.address = self.address, None
        self.close()  # first, for the new one may be the same port
        try:
            self._answer(wanted)
        except ConfigError:
            self._answer(before)
            raise

    def _answer(self, address: str | None) -> None:
        if address is not None:
            from backup.metrics import serving  # noqa: PLC0415  0.1 s to load

            self.enter_context(serving(address, self._latest, self._history, machine_zone()))
            self.address = address

    def _latest(self) -> Config:
        with suppress(BackupError):
            self._found = load(self._path)
        return self._found
