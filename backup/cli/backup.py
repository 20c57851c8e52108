"""voltar backup"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from backup.cli import FAILED, INCOMPLETE, exit_code
from backup.cli.console import Listener, Voice, counted, listening, seconds_text, size_text
from backup.cli.context import Context
from backup.cli.policy import demand_tags
from backup.cli.snapshots import excluded_text
from backup.config import Quiesce
from backup.engine import Engine
from backup.errors import ConfigError, UsageError
from backup.exclusion import Exclusion, compiled
from backup.job.run import Failed, Outcome, Saved, Wishes, back_up, new_run
from backup.lookup import Found, find_snapshot
from backup.quantity import parse_size
from backup.quiesce.plan import Order
from backup.quiesce.window import Windows, quiesced
from backup.repository import SHORT_ID, Repository, probe
from backup.selection.resolve import Treatment
from backup.targets import IMAGE, Plan, plan
from backup.timing.span import parse_span


def backup(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET", help="volume:NAME, container:NAME, a NAME of one of both, image:REF."
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every volume, and all that containers mount.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, whatever an earlier snapshot says.")
    ] = False,
    parent: Annotated[
        str | None,
        typer.Option(metavar="SNAPSHOT", help="Compare with this, not with the newest."),
    ] = None,
    with_image: Annotated[
        bool, typer.Option("--with-image", help="Of containers, save their images as well.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave this out; as in a .gitignore file."),
    ] = None,
    exclude_file: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Leave out what the patterns in a file say."),
    ] = None,
    exclude_caches: Annotated[
        bool, typer.Option("--exclude-caches", help="Leave out what is below a CACHEDIR.TAG.")
    ] = False,
    exclude_larger_than: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Leave out larger files: 500M, 2G.")
    ] = None,
    quiesce: Annotated[
        Quiesce, typer.Option(help="What is done to containers that write, while it is read.")
    ] = Quiesce.NONE,
    grace: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long they may take to stop, if not their own time."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Give the snapshots a tag.")
    ] = None,
) -> None:
    """Back up volumes, all that containers mount, and images.

    Examples: voltar backup dbdata · voltar backup volume:pgdata container:web · voltar backup --all
    · voltar backup image:app:1.2 · voltar backup dbdata --exclude '*.tmp' --exclude-caches ·
    voltar backup pgdata --quiesce stop --grace 2min

    What did not change since the newest snapshot of a source is not read again. Of a container all
    volumes and bind mounts are saved, and nothing else. A database wants --quiesce: all who mount
    what is saved, and may write to it, are stopped or paused while it is read, and run again as
    soon as it is. Of images, layers that several share are stored once.
    """
    context: Context = ctx.obj
    if targets and everything:
        raise UsageError("--all is everything: name no targets with it")
    if not targets and not everything:
        raise UsageError("name what to back up, or say --all", hint="voltar backup --help")
    _demand_sense(targets or (), everything, with_image, parent)
    treatment = _treatment(quiesce, grace)
    if full and parent:
        raise UsageError("--full compares with nothing, and --parent names what to compare with")
    demand_tags(tag or ())
    exclusion = _exclusion(exclude or (), exclude_file or (), exclude_caches, exclude_larger_than)
    opened = context.opening()
    with context.engine() as engine:
        run = new_run()
        left = context.leftovers(engine, run)
        repository = opened()
        compared = _compared(repository, parent) if parent else None
        wishes = Wishes(full, compared, exclusion, sorted(set(tag or ())))
        wanted = plan(
            engine,
            targets or (),
            everything=everything,
            keep_out=keep_out(engine, repository),
            with_images=with_image,
        )
        writable = partial(probe, repository.store, engine.name)
        with quieted(context, engine, wanted, (run, treatment), writable) as windows:
            wishes = replace(wishes, windows=windows)
            outcomes = _run(context.voice, engine, repository, wanted, (run, wishes))
    code = _summarise(context.voice, outcomes, run, windows or Windows(()))
    if failures := [*left, *(windows.failures if windows else ())]:
        raise failures[0]
    if code:
        raise typer.Exit(code)


def _demand_sense(
    targets: Sequence[str], everything: bool, with_image: bool, parent: str | None
) -> None:
    if with_image and (everything or all(each.startswith(IMAGE) for each in targets)):
        raise UsageError("--with-image is for containers that are named")
    if parent and (with_image or any(each.startswith(IMAGE) for each in targets)):
        raise UsageError("--parent is for volumes: an image is known by its digests")


def _treatment(quiesce: Quiesce, grace: str | None) -> Treatment:
    if grace is not None and quiesce is not Quiesce.STOP:
        raise UsageError("--grace is for --quiesce stop")
    grace_s = None if grace is None else parse_span(grace, "--grace")
    return Treatment(quiesce=quiesce, grace_s=grace_s)


@contextmanager
def quieted(
    context: Context,
    engine: Engine,
    wanted: Plan,
    how: tuple[str, Treatment],
    writable: Callable[[], object],
) -> Iterator[Windows | None]:
    """Windows in which all who write are treated alike; None where nothing is done to anybody."""
    run, treatment = how
    if treatment.quiesce is Quiesce.NONE:
        yield None
        return
    order = Order(treatments={}, otherwise=treatment)
    setting = context.quiet(engine, run, "", Listener(context.voice))
    with quiesced(engine, setting, wanted, order, writable) as windows:
        yield windows


def _compared(repository: Repository, parent: str) -> Found:
    found = find_snapshot(repository, parent)
    if found[1].imported:
        raise UsageError(f"{parent} was imported, and lacks what a capture can be compared with")
    return found


def _exclusion(
    patterns: Sequence[str], files: Sequence[Path], caches: bool, larger_than: str | None
) -> Exclusion:
    lines = list(patterns)
    for file in files:
        try:
            lines += file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError as error:
            raise ConfigError(f"cannot read the patterns in {file}: {error.strerror}") from error
    if lines:
        compiled(lines)
    size = parse_size(larger_than, "--exclude-larger-than") if larger_than is not None else None
    return Exclusion(tuple(lines), caches, size)


def keep_out(engine: Engine, repository: Repository) -> list[str]:
    """Return directories of the engine's host; a path of ours means something else elsewhere."""
    places = [engine.data_root]
    if engine.shares_paths and repository.store.url.startswith("file:"):
        places.append(str(Path(repository.store.url.removeprefix("file:")).resolve()))
    return places


def _run(
    voice: Voice, engine: Engine, repository: Repository, wanted: Plan, how: tuple[str, Wishes]
) -> list[Outcome]:
    run, wishes = how
    outcomes: list[Outcome] = [Failed(name, error) for name, error in wanted.failed]
    for name, why in wanted.left_out:
        voice.say(f"skipped {name}: {why}")
    if not wanted.sources and not wanted.images:
        if len(outcomes) == 1:
            raise wanted.failed[0][1]
        if not outcomes:
            raise UsageError("there is nothing to back up: no target has a volume or bind mount")
    if wishes.parent and len(wanted.sources) > 1:
        raise UsageError(f"--parent is for one source, and {len(wanted.sources)} are to be saved")
    for outcome in outcomes:
        tell(voice, outcome)
    with listening(voice) as listener:
        for outcome in back_up(engine, repository, wanted, wishes, run=run, on_event=listener):
            outcomes.append(outcome)
            tell(voice, outcome)
    return outcomes


def tell(voice: Voice, outcome: Outcome) -> None:
    """Tell what became of a source."""
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
        f"{outcome.id[:SHORT_ID]}  {outcome.snapshot.source}  {counted(counts.entries, 'entry')}, "
        f"{size_text(counts.size)}; new {size_text(counts.added)}, "
        f"stored {size_text(counts.stored)}; {seconds_text(counts.seconds)}"
    )
    if outcome.snapshot.parent:
        voice.say(
            f"    compared with {outcome.snapshot.parent[:SHORT_ID]}: "
            f"{counts.unchanged} taken over, {counts.entries - counts.unchanged} read, "
            f"{counts.deleted} deleted"
        )
    if counts.excluded:
        why = ", for the database is dumped" if outcome.in_dump else ""
        voice.say(f"    {excluded_text(outcome.snapshot)}{why}")
    if counts.excluded and counts.entries <= 1 and not outcome.in_dump:
        voice.warn(f"{outcome.snapshot.source}: nothing of it is left after what is excluded")
    if outcome.warnings:
        voice.warn(
            f"{outcome.snapshot.source}: not captured as it should be: "
            f"{counted(outcome.warnings, 'entry')}; `voltar ls --notes {outcome.id[:SHORT_ID]}`"
        )


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Failed):
        return {
            "type": "failed",
            "source": outcome.source,
            "message": str(outcome.error),
            "hint": outcome.error.hint,
            **_downtimes(outcome),
        }
    counts = outcome.snapshot.statistics
    return {
        "type": "snapshot",
        "id": outcome.id,
        "source": outcome.snapshot.source,
        "time": outcome.snapshot.time.isoformat(),
        "entries": counts.entries,
        "files": counts.files,
        "parent": outcome.snapshot.parent,
        "unchanged": counts.unchanged,
        "deleted": counts.deleted,
        "excluded": counts.excluded,
        "bytes_excluded": counts.excluded_size,
        "bytes": counts.size,
        "bytes_read": counts.read,
        "bytes_added": counts.added,
        "bytes_stored": counts.stored,
        "seconds": counts.seconds,
        "notes": outcome.snapshot.notes,
        "warnings": outcome.warnings,
        "anomalies": outcome.snapshot.anomalies,
        **_downtimes(outcome),
    }


def _downtimes(outcome: Outcome) -> dict[str, Any]:
    told = [
        {"container": each.container, "how": each.how.value, "seconds": each.seconds}
        for each in outcome.downtimes
    ]
    return {"downtimes": told} if told else {}


def _summarise(voice: Voice, outcomes: list[Outcome], run: str, windows: Windows) -> int:
    saved = [outcome for outcome in outcomes if isinstance(outcome, Saved)]
    failed = len(outcomes) - len(saved)
    warned = sum(1 for outcome in saved if outcome.warnings or outcome.snapshot.anomalies)
    code = FAILED if not saved or windows.failures else 0
    if not code and (failed or warned or windows.warnings):
        code = INCOMPLETE
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "run": run,
                "snapshots": [outcome.id for outcome in saved],
                "failed": failed,
                "with_warnings": warned,
                "warnings": windows.warnings,
                "code": code,
            }
        )
    elif failed:
        sources = counted(len(outcomes), "source")
        voice.say(f"backed up: {len(saved)} of {sources}", style="bold")
    return code
