"""voltar copy"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from backup.cli import INTEGRITY
from backup.cli.console import Voice, counted, listening, local_text, size_text
from backup.cli.context import Context
from backup.cli.policy import parse_tags
from backup.copy import (
    Copied,
    Doubled,
    Failed,
    Gone,
    Outcome,
    Plan,
    copy,
    demand_two,
    planned,
)
from backup.errors import RepositoryError, UsageError
from backup.lookup import find_snapshot
from backup.repository import SHORT_ID, Recorded, Repository
from backup.scope import Scope


def copy_command(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    snapshots: Annotated[
        list[str] | None,
        typer.Argument(metavar="SNAPSHOT", help="Ids, volume:NAME, or volume:NAME@TIME."),
    ] = None,
    *,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="The repository to copy from [env: VOLTAR_FROM_REPOSITORY].",
        ),
    ] = None,
    from_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the password of that repository from a file."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Only snapshots of this source: volume:NAME."),
    ] = None,
    from_host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Only snapshots of this host.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG[,TAG]", help="Only with these tags, '' for those without."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be copied, and copy nothing.")
    ] = False,
) -> None:
    """Copy snapshots of another repository into this one.

    Examples: voltar copy --from /srv/backup · voltar copy --from /srv/backup --source volume:pgdata
    · voltar -r /mnt/second copy --from /srv/backup 3fa9c1d2e0

    The two may have other passwords and other keys, and be anywhere. The password of the other one
    comes from --from-password-file, VOLTAR_FROM_PASSWORD_FILE, VOLTAR_FROM_PASSWORD_COMMAND or
    VOLTAR_FROM_PASSWORD. What was copied before is passed over, and what an interrupted run has
    stored is not sent again. What both have backed up is stored once. Forgotten snapshots are not
    copied; one that is damaged is named, and does not keep the others from being copied.
    """
    context: Context = ctx.obj
    scope = Scope(sources=source or (), hosts=from_host or (), tags=parse_tags(tag))
    if snapshots and (source or from_host or tag):
        raise UsageError(
            "snapshots are named, and chosen by --source, --from-host or --tag as well"
        )
    origin_repository = context.open_other(origin, from_password_file)
    target = context.open()
    demand_two(origin_repository, target)
    history, damaged = origin_repository.recorded()
    there, unreadable = target.recorded()
    for error in unreadable:
        context.voice.warn(str(error))
    wanted = _wanted(origin_repository, history, snapshots or (), scope)
    plan = planned(wanted, history, there)
    ailing = [] if snapshots else damaged
    if dry_run:
        _tell_plan(context.voice, plan)
    else:
        _tell_present(context.voice, plan)
        ailing += _copy(context.voice, origin_repository, target, plan)
    if ailing:
        for error in ailing:
            context.voice.error(error, INTEGRITY)
        raise typer.Exit(INTEGRITY)


def _wanted(
    origin: Repository, history: Sequence[Recorded], names: Sequence[str], scope: Scope
) -> list[Recorded]:
    if not names:
        return [each for each in history if each.forgotten is None and scope.matches(each)]
    ids = {find_snapshot(origin, name)[0] for name in names}
    return [each for each in history if each.id in ids]


def _copy(
    voice: Voice, origin: Repository, target: Repository, plan: Plan
) -> list[RepositoryError]:
    done: list[Outcome] = []
    with listening(voice) as listener:
        for outcome in copy(origin, target, plan, listener):
            done.append(outcome)
            _tell(voice, outcome)
    copied = [each for each in done if isinstance(each, Copied)]
    failed = [each for each in done if isinstance(each, Failed)]
    stored = sum(each.stored for each in copied)
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "dry_run": False,
                "copied": [_as_json(each) for each in copied],
                "present": [each.id for each in plan.present],
                "failed": [each.original.id for each in failed],
                "bytes_stored": stored,
            }
        )
    else:
        voice.report(
            f"copied {counted(len(copied), 'snapshot')} to {target.store.url},"
            f" stored {size_text(stored)}"
        )
    return [_error(each) for each in failed]


def _tell(voice: Voice, outcome: Outcome) -> None:
    if voice.as_json:
        return
    named = _named(outcome.original)
    if isinstance(outcome, Copied):
        voice.report(f"{named} -> {outcome.id[:SHORT_ID]}  stored {size_text(outcome.stored)}")
    elif isinstance(outcome, Doubled):
        voice.say(f"{named} was copied by another run meanwhile: {outcome.id[:SHORT_ID]}")
    elif isinstance(outcome, Gone):
        voice.say(f"{named} was forgotten meanwhile")


def _tell_present(voice: Voice, plan: Plan) -> None:
    if plan.present:
        voice.say(f"copied before: {counted(len(plan.present), 'snapshot')}")


def _tell_plan(voice: Voice, plan: Plan) -> None:
    if voice.as_json:
        wanted, present = ([each.id for each in some] for some in (plan.wanted, plan.present))
        voice.event({"type": "summary", "dry_run": True, "wanted": wanted, "present": present})
        return
    for each in plan.wanted:
        voice.answer(f"would copy {_named(each)}")
    size = sum(each.snapshot.statistics.size for each in plan.wanted)
    voice.answer(
        f"{counted(len(plan.wanted), 'snapshot')} of {size_text(size)} to be copied,"
        f" copied before: {len(plan.present)}"
    )


def _named(recorded: Recorded) -> str:
    snapshot = recorded.snapshot
    return f"{recorded.id[:SHORT_ID]} {snapshot.source} {local_text(snapshot.time)}"


def _error(failed: Failed) -> RepositoryError:
    return RepositoryError(
        f"snapshot {_named(failed.original)} was not copied: {failed.error}",
        hint=getattr(failed.error, "hint", None),
    )


def _as_json(copied: Copied) -> dict[str, Any]:
    return {
        "id": copied.id,
        "original": copied.original.id,
        "source": copied.original.snapshot.source,
        "bytes_added": copied.added,
        "bytes_stored": copied.stored,
    }
