"""voltar forget, voltar unforget"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from backup.anomaly import Origin, held
from backup.cli import INCOMPLETE, prune
from backup.cli.console import Voice, local_text
from backup.cli.context import Context
from backup.cli.policy import Choice, time_text, with_policy
from backup.errors import UsageError
from backup.lookup import find_id
from backup.paths import printable
from backup.repository import DEFAULT_UNUSED, SHORT_ID, Recorded, Repository, SnapshotId, catalog
from backup.scope import Group, Verdict, Verdicts, judge, to_forget

_WIDE = 100
_Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Snapshots, by the first characters.")
]


@with_policy
def forget(
    ctx: typer.Context,
    ids: _Ids = None,
    *,
    choice: Choice,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Say what would be forgotten, and forget nothing."),
    ] = False,
    then_prune: Annotated[
        bool, typer.Option("--prune", help="Prune afterwards, as `voltar prune` does.")
    ] = False,
) -> None:
    """Hide snapshots: those named, or those a policy does not keep.

    Examples: voltar forget 3fa9c1d2e0 · voltar forget --keep-daily 7 --keep-weekly 5
    --keep-monthly 12 · voltar forget --keep-within 30d --source volume:pgdata --dry-run

    What is forgotten can be brought back by `voltar unforget` for 23 hours, and then `voltar prune`
    deletes it. Pinned snapshots stay.

    A snapshot is kept if any rule keeps it; each rule uses up its own count, and the oldest
    snapshot fills one that is not used up. Hours, days and weeks (ISO 8601: from Monday) are those
    of the time and the offset that a snapshot records. A SPAN is measured back from the newest
    snapshot: 12h, 30d, 8w, 6m (months), 1y6m. A policy that keeps nothing of a source is refused.

    Of a source whose newest snapshot looks like a loss or an attack, a policy forgets nothing, and
    the exit code is 3, until `voltar tag ID --add accepted` says that all is well.
    """
    context: Context = ctx.obj
    if bool(ids) == choice.given:
        raise UsageError(
            "a policy chooses by itself: name no snapshots with it"
            if ids
            else "nothing says what to forget",
            hint="voltar forget ID, or voltar forget --keep-daily 7",
        )
    if not ids:
        choice.policy.demand_rules()
    repository = context.open()
    is_whole = True
    if ids:
        _forget_named(context.voice, repository, ids, dry_run=dry_run)
    else:
        is_whole = _forget_by_policy(context.voice, repository, choice, dry_run=dry_run)
    if then_prune:
        prune.run(context.voice, repository, DEFAULT_UNUSED, dry_run=dry_run)
    if not is_whole:
        raise typer.Exit(INCOMPLETE)


def unforget(
    ctx: typer.Context,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="Snapshots, by the first characters.")
    ],
) -> None:
    """Bring forgotten snapshots back, for 23 hours after they were forgotten.

    Examples: voltar snapshots --forgotten · voltar unforget 3fa9c1d2e0
    """
    context: Context = ctx.obj
    repository, voice = context.open(), context.voice
    wanted, known = _found(repository, ids), _known(repository)
    back = []
    for snapshot_id in wanted:
        if catalog.unforget(repository, snapshot_id):
            back.append(snapshot_id)
        if not voice.as_json:
            done = "brought back" if snapshot_id in back else "was not forgotten:"
            voice.answer(f"{done} {_named(snapshot_id, known)}")
    if voice.as_json:
        voice.event({"type": "summary", "snapshots": back})


def _forget_named(
    voice: Voice, repository: Repository, texts: Sequence[str], *, dry_run: bool
) -> None:
    ids = _found(repository, texts)
    known = _known(repository)
    if dry_run:
        catalog.demand_unpinned(repository, ids)
        hidden = [each for each in ids if each not in known or known[each].forgotten is None]
    else:
        hidden = catalog.forget(repository, ids)
    if voice.as_json:
        voice.event(_summary(hidden, dry_run=dry_run))
        return
    tell = voice.answer if dry_run else voice.report
    for snapshot_id in ids:
        done = _done(dry_run=dry_run) if snapshot_id in hidden else "forgotten before:"
        tell(f"{done} {_named(snapshot_id, known)}")
    _tell_of_return(voice, hidden, dry_run=dry_run)


def _forget_by_policy(
    voice: Voice, repository: Repository, choice: Choice, *, dry_run: bool
) -> bool:
    """Forget what a policy does not keep; return whether the brake held none of it."""
    history = catalog.history(repository)
    on_hold = held(history)
    judged = judge(history, choice.scope, choice.policy, now=datetime.now(UTC), held=on_hold)
    judged_ones = (each.recorded.snapshot for group in judged.values() for each in group)
    about = {Origin(each.host, each.source) for each in judged_ones}
    stopped = [each for origin, each in on_hold.items() if origin in about]
    for each in stopped:
        voice.warn(held_text(each))
    ids = to_forget(judged)
    if not dry_run:
        catalog.forget(repository, ids)
    if voice.as_json:
        kept = sum(each.kept for group in judged.values() for each in group)
        groups = [_group_json(*item) for item in judged.items()]
        voice.event(_summary(ids, dry_run=dry_run) | {"kept": kept, "groups": groups})
        return not stopped
    if dry_run or voice.level > 0:
        _print(voice, judged, dry_run=dry_run)
    _tell_of_return(voice, ids, dry_run=dry_run)
    return not stopped


def held_text(recorded: Recorded) -> str:
    """Return why nothing of a source is forgotten, and what to do about it."""
    snapshot, shown = recorded.snapshot, recorded.id[:SHORT_ID]
    return (
        f"{snapshot.source}: nothing of it is forgotten, as {shown} is not like those before it: "
        f"{'; '.join(snapshot.anomalies)}; if that is meant: `voltar tag {shown} --add accepted`"
    )


def _print(voice: Voice, judged: Verdicts, *, dry_run: bool) -> None:
    if not judged:
        voice.answer("no snapshots to choose from")
    # reasons matter more than tags where there is not room for both
    shown_columns = 4 if voice.out.is_terminal and voice.out.width < _WIDE else 5
    for group, verdicts in judged.items():
        kept = sum(each.kept for each in verdicts)
        done = _done(dry_run=dry_run)
        shown = printable(str(group).encode(errors="surrogateescape"))
        voice.answer(f"{shown}: {kept} kept, {done} {len(verdicts) - kept}")
        columns = ("", "id", "time", "why", "tags")[:shown_columns]
        rows = [_row(each)[:shown_columns] for each in verdicts]
        voice.table(columns, rows, folded="why tags")
        voice.answer("")


def _row(verdict: Verdict) -> tuple[str, ...]:
    snapshot = verdict.recorded.snapshot
    return (
        "keep" if verdict.kept else "forget",
        verdict.recorded.id[:SHORT_ID],
        time_text(snapshot.time),
        ", ".join(verdict.reasons),
        ",".join(snapshot.tags),
    )


def _found(repository: Repository, texts: Sequence[str]) -> list[SnapshotId]:
    there = repository.snapshot_ids()
    return list(dict.fromkeys(find_id(there, text) for text in texts))


def _known(repository: Repository) -> dict[SnapshotId, Recorded]:
    """Return the snapshots that can be read, whatever the others are like."""
    return {each.id: each for each in repository.recorded()[0]}


def _named(snapshot_id: SnapshotId, known: dict[SnapshotId, Recorded]) -> str:
    shown = snapshot_id[:SHORT_ID]
    if snapshot_id not in known:
        return f"{shown}, which is damaged"
    snapshot = known[snapshot_id].snapshot
    return f"{shown} {snapshot.source} {local_text(snapshot.time)}"


def _done(*, dry_run: bool) -> str:
    return "would forget" if dry_run else "forgot"


def _tell_of_return(voice: Voice, ids: Sequence[SnapshotId], *, dry_run: bool) -> None:
    if ids and not dry_run:
        hours = catalog.RETURN.total_seconds() / 3600
        voice.say(f"`voltar unforget {ids[0][:SHORT_ID]}` brings it back, for {hours:.0f} hours")


def _summary(ids: Sequence[SnapshotId], *, dry_run: bool) -> dict[str, Any]:
    return {"type": "summary", "dry_run": dry_run, "forgotten": list(ids)}


def _group_json(group: Group, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "host": group.host or None,
        "source": group.source or None,
        "snapshots": [
            {
                "id": each.recorded.id,
                "time": each.recorded.snapshot.time.isoformat(),
                "host": each.recorded.snapshot.host,
                "source": each.recorded.snapshot.source,
                "tags": each.recorded.snapshot.tags,
                "pinned": each.recorded.pinned,
                "kept": each.kept,
                "reasons": list(each.reasons),
            }
            for each in verdicts
        ],
    }
