"""voltar run"""

from functools import partial
from typing import Annotated

import typer

from backup.cli.backup import tell
from backup.cli.configured import code_of, doors
from backup.cli.console import listening
from backup.cli.context import Context
from backup.job.runner import JobReport, run_job


def run(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job of the configuration.")],
) -> None:
    """Run a configured job now.

    Examples: voltar run nightly · voltar --config ./voltar.toml run nightly
    """
    context: Context = ctx.obj
    with listening(context.voice) as listener:
        report = run_job(doors(context, listener), job, partial(tell, context.voice))
    _summarise(context, report)
    if report.error is not None:
        raise report.error
    code = code_of(report.result, None)
    if code:
        raise typer.Exit(code)


def _summarise(context: Context, report: JobReport) -> None:
    voice = context.voice
    for name, why in report.skipped:
        voice.say(f"skipped {name}: {why}")
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "run": report.run,
                "job": report.job,
                "result": report.result.value,
                "skipped": [{"source": name, "why": why} for name, why in report.skipped],
                "forgotten": list(report.forgotten),
                "warnings": report.warnings,
                "held": report.held,
            }
        )
    else:
        voice.report(f"job {report.job}: {report.result.value}, run {report.run}")
