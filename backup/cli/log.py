"""voltar log"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from backup.cli.console import Voice, local_text, seconds_text, size_text
from backup.cli.context import Context, state_directory
from backup.cli.standing import run_json
from backup.errors import UsageError
from backup.history import History, Message, Run, SourceResult
from backup.job.runner import history_path
from backup.paths import printable
from backup.repository import SHORT_ID

_MOST = 100


def log(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run, by its first characters.")
    ] = None,
    *,
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Of this job, or repository.")
    ] = None,
    as_list: Annotated[
        bool, typer.Option("--list", "-l", help=f"List runs, the newest {_MOST}.")
    ] = False,
) -> None:
    """Show what a run came to, and what was said in it.

    Examples: voltar log · voltar log --list · voltar log --job nightly · voltar log 3fa9c1d2

    Without a name it is the newest. Runs of jobs and drills are kept, and checks and prunes: 1000
    of each job, and what was said in the newest 100.
    """
    context: Context = ctx.obj
    voice = context.voice
    history = History(history_path(state_directory()), voice.warn)
    if as_list:
        if run is not None:
            raise UsageError("--list shows runs, and one is named", hint="leave out one of them")
        _list(voice, history.runs(job=job, limit=_MOST))
        return
    chosen = _chosen(history, run, job)
    sources, messages = history.sources(chosen.id), history.messages(chosen.id)
    if voice.as_json:
        voice.document(
            run_json(chosen)
            | {"sources": [_source_json(each) for each in sources]}
            | {"messages": [{"time": one.time.isoformat(), "text": one.text} for one in messages]}
        )
    else:
        _tell(voice, chosen, sources, messages)


def _chosen(history: History, run: str | None, job: str | None) -> Run:
    if run is None:
        found = history.runs(job=job, limit=1)
        if not found:
            of = f" of {job!r}" if job else ""
            raise UsageError(f"no run{of} is known", hint="`voltar run JOB` makes one")
        return found[0]
    found = [each for each in history.called(run) if job in (None, each.job)]
    if len(found) != 1:
        number = "several runs are" if found else "no run is"
        hint = "`voltar log --list` shows them; `voltar log --job JOB` the newest of a job"
        raise UsageError(f"{number} called {run!r}", hint=hint)
    return found[0]


def _list(voice: Voice, runs: Sequence[Run]) -> None:
    if voice.as_json:
        voice.document([run_json(each) for each in runs])
        return
    rows = [
        (each.id[:SHORT_ID], each.kind.value, each.job, local_text(each.started), _came_to(each))
        for each in runs
    ]
    voice.table(["run", "kind", "job", "started", "result"], rows, elastic="job")


def _came_to(run: Run) -> str:
    return run.result.value if run.result else "goes on"


def _tell(
    voice: Voice, run: Run, sources: Sequence[SourceResult], messages: Sequence[Message]
) -> None:
    lasted = f", {seconds_text((run.ended - run.started).total_seconds())}" if run.ended else ""
    voice.answer(
        f"run {run.id[:SHORT_ID]}: {run.kind.value} {run.job}, {local_text(run.started)}{lasted}: "
        f"{_came_to(run)}{f', {run.message}' if run.message else ''}"
    )
    for each in messages:
        voice.answer(f"{local_text(each.time)}  {each.text}")
    if sources:
        voice.answer("")
        rows = [_row(each) for each in sources]
        columns = ["source", "snapshot", "size", "seconds", "downtime", "level"]
        voice.table(columns, rows, elastic="source", right="size seconds downtime")


def _row(one: SourceResult) -> tuple[str, ...]:
    return (
        printable(one.source.encode(errors="surrogateescape")),
        one.snapshot[:SHORT_ID] if one.snapshot else "failed",
        size_text(one.size),
        f"{one.seconds:.1f}",
        f"{one.downtime_s:.1f}" if one.downtime_s else "",
        one.level,
    )


def _source_json(one: SourceResult) -> dict[str, Any]:
    return {
        "source": one.source,
        "host": one.host,
        "snapshot": one.snapshot,
        "time": one.time.isoformat() if one.time else None,
        "entries": one.entries,
        "files": one.files,
        "bytes": one.size,
        "bytes_stored": one.stored,
        "seconds": one.seconds,
        "downtime_seconds": one.downtime_s,
        "warnings": one.warnings,
        "level": one.level,
        "held": one.held,
        "message": one.message,
    }
