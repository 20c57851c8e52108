"""voltar backup"""

from pathlib import Path
from typing import Annotated, Any

import typer

from backup.cli import FAILED, INCOMPLETE, exit_code
from backup.cli.console import Voice, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.engine import Engine
from backup.errors import UsageError
from backup.job import Failed, Outcome, Saved, back_up, new_run
from backup.repository import SHORT_ID, Repository
from backup.targets import Plan, plan


def backup(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET", help="volume:NAME, container:NAME, or a NAME that is one of both."
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every volume, and all that containers mount.")
    ] = False,
) -> None:
    """Back up volumes, or all that containers mount.

    Examples: voltar backup dbdata · voltar backup volume:pgdata container:web · voltar backup --all
    """
    context: Context = ctx.obj
    if bool(targets) == everything:
        raise UsageError("name what to back up, or say --all", hint="voltar backup --help")
    repository = context.open()
    with context.engine() as engine:
        run = new_run()
        context.tidy(engine, run)
        wanted = plan(
            engine, targets or (), everything=everything, keep_out=_keep_out(engine, repository)
        )
        outcomes = _run(context.voice, engine, repository, wanted, run)
    code = _summarise(context.voice, outcomes, run)
    if code:
        raise typer.Exit(code)


def _keep_out(engine: Engine, repository: Repository) -> list[str]:
    places = [engine.data_root]
    if repository.store.url.startswith("file:"):
        places.append(str(Path(repository.store.url.removeprefix("file:")).resolve()))
    return places


def _run(
    voice: Voice, engine: Engine, repository: Repository, wanted: Plan, run: str
) -> list[Outcome]:
    for name, why in wanted.skipped:
        voice.say(f"skipped {name}: {why}")
    if not wanted.sources:
        raise UsageError("there is nothing to back up: no target has a volume or bind mount")
    outcomes: list[Outcome] = []
    with listening(voice) as listener:
        for outcome in back_up(engine, repository, wanted, run=run, on_event=listener):
            outcomes.append(outcome)
            _tell(voice, outcome)
    return outcomes


def _tell(voice: Voice, outcome: Outcome) -> None:
    if voice.as_json:
        voice.event(_as_json(outcome))
        if isinstance(outcome, Failed):
            voice.error(outcome.error, exit_code(outcome.error))
        return
    if isinstance(outcome, Failed):
        voice.warn(f"{outcome.source} was not backed up: {outcome.error}")
        return
    counts = outcome.snapshot.statistics
    voice.answer(
        f"{outcome.id[:SHORT_ID]}  {outcome.snapshot.source}  {counts.entries} entries, "
        f"{size_text(counts.size)}; new {size_text(counts.added)}, "
        f"stored {size_text(counts.stored)}; {seconds_text(counts.seconds)}"
    )
    if outcome.warnings:
        voice.warn(
            f"{outcome.snapshot.source}: {outcome.warnings} entries were not captured as they "
            f"should be; `voltar ls --notes {outcome.id[:SHORT_ID]}` names them"
        )


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Failed):
        return {
            "type": "failed",
            "source": outcome.source,
            "message": str(outcome.error),
            "hint": outcome.error.hint,
        }
    counts = outcome.snapshot.statistics
    return {
        "type": "snapshot",
        "id": outcome.id,
        "source": outcome.snapshot.source,
        "time": outcome.snapshot.time.isoformat(),
        "entries": counts.entries,
        "files": counts.files,
        "bytes": counts.size,
        "bytes_added": counts.added,
        "bytes_stored": counts.stored,
        "seconds": counts.seconds,
        "notes": outcome.snapshot.notes,
        "warnings": outcome.warnings,
    }


def _summarise(voice: Voice, outcomes: list[Outcome], run: str) -> int:
    saved = [outcome for outcome in outcomes if isinstance(outcome, Saved)]
    failed = len(outcomes) - len(saved)
    warned = sum(1 for outcome in saved if outcome.warnings)
    code = FAILED if not saved else INCOMPLETE if failed or warned else 0
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "run": run,
                "snapshots": [outcome.id for outcome in saved],
                "failed": failed,
                "with_warnings": warned,
                "code": code,
            }
        )
    elif failed:
        voice.say(f"{len(saved)} of {len(outcomes)} sources are backed up", style="bold")
    return code
