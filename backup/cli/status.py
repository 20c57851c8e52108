"""voltar status"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backup.anomaly import ACCEPTED, held
from backup.cli import INCOMPLETE, standing
from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.console import Voice
from backup.cli.context import Context
from backup.errors import BackupError, UsageError
from backup.history import History
from backup.job.runner import Doors, history_path, repository_of
from backup.report import ignore
from backup.repository import SHORT_ID, Recorded, catalog
from transports.errors import ConnectionLost, TransportError

if TYPE_CHECKING:
    from backup.status import ChoreStatus, JobStatus


def status(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="JOB|SOURCE|REPOSITORY", help="Only this.")
    ] = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no repository: what this machine remembers.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="What the source is held for is meant: old snapshots may be forgotten."
        ),
    ] = False,
) -> None:
    """Tell how well sources are protected, and how chores went.

    Examples: voltar status · voltar status nightly --offline · voltar status volume:pgdata --json
    · voltar status volume:pgdata --accept

    The exit code is 0 where all is well, and 3 where something failed, is overdue, or is held: its
    newest snapshot looks like a loss or an attack, and no policy forgets older ones until it is
    like them again, or accepted. A source is overdue when it was due after its last success, and
    half of a period has passed since: at least an hour, at most a day; so is a check, prune or
    drill. Where a repository answers, it says when a source was saved last; otherwise this
    machine's history does. One that is not there, or does not open, is 3 as well, and so is a
    history that was damaged; one that only cannot be reached is none.
    """
    context: Context = ctx.obj
    opened = doors(context, ignore)
    history = History(history_path(opened.state), context.voice.warn)
    if accept:
        _accept(context.voice, opened, history, name or "")
        return
    now = datetime.now(UTC)
    snapshots, is_lost = ({}, False) if offline else _snapshots(context.voice, opened)
    found, beside = _found(opened, history, name, snapshots, now)
    aside = history.aside()
    if context.voice.as_json:
        context.voice.document(standing.document(found, beside, aside, now))
    else:
        if found or not beside:
            standing.tell(context.voice, found, now)
        standing.tell_chores(context.voice, beside, now)
        if aside:
            from backup.watch import damage_text  # noqa: PLC0415  it loads SQLite

            context.voice.answer(damage_text(aside))
    states = [*(each.state for each in found), *(each.state for each in beside)]
    if is_lost or aside or any(each.is_alarming for each in states):
        raise typer.Exit(INCOMPLETE)


def _found(
    opened: Doors,
    history: History,
    name: str | None,
    snapshots: dict[str, list[Recorded]],
    now: datetime,
) -> tuple[list["JobStatus"], list["ChoreStatus"]]:
    # only what asks for it loads SQLite
    from backup.status import chores, gather, judge, judge_chore  # noqa: PLC0415

    zone = machine_zone()
    facts = gather(opened.config, history, snapshots, zone=zone, now=now)
    found = [judge(each, now) for each in facts]
    beside = [
        judge_chore(each, now)
        for each in chores(opened.config, history, zone=zone, now=now)
        if name in (None, each.name)
    ]
    return found if name is None else _only(found, name, beside), beside


def _snapshots(voice: Voice, opened: Doors) -> tuple[dict[str, list[Recorded]], bool]:
    """Return the snapshots of each repository that jobs use and that answers, and whether one is
    gone or shut: nothing could be restored from it, whatever the history says."""
    names = {repository_of(opened.config, job) for job in opened.config.jobs.values()}
    found, is_lost = {}, False
    for name in sorted(names):
        try:
            found[name], damaged = opened.repository(name).recorded()
        except (BackupError, TransportError) as error:
            voice.warn(f"repository {name} does not answer, so this is from the history: {error}")
            is_lost = is_lost or not isinstance(error, ConnectionLost)
            continue
        for each in damaged:
            voice.warn(f"repository {name}: {each}")
    return found, is_lost


def _only(jobs: list["JobStatus"], name: str, beside: list["ChoreStatus"]) -> list["JobStatus"]:
    """Return a job, or a source in each job that has it; none for a repository that has chores.
    Raises UsageError."""
    from backup.status import State  # noqa: PLC0415

    found = [each for each in jobs if each.name == name]
    if found:
        return found
    for job in jobs:
        sources = tuple(one for one in job.sources if one.facts.source in (name, f"volume:{name}"))
        if sources:
            state = max((one.state for one in sources), key=[*State].index)
            found.append(replace(job, sources=sources, state=state))
    if not found and not beside:
        known = ", ".join(each.name for each in jobs) or "none"
        raise UsageError(
            f"there is no job {name!r}, and no job has such a source", hint=f"jobs: {known}"
        )
    return found


def _accept(voice: Voice, opened: Doors, history: History, name: str) -> None:
    """Let the newest snapshot of a source be what the next ones are compared with."""
    names = {repository_of(opened.config, job) for job in opened.config.jobs.values()}
    accepted = []
    for repository in map(opened.repository, sorted(names)):
        for each in held(catalog.history(repository)).values():
            if each.snapshot.is_of(name):
                tags = sorted({*each.snapshot.tags, ACCEPTED})
                catalog.annotate(repository, each, datetime.now(UTC), tags=tags)
                history.release(each.id)
                accepted.append(each)
    if not accepted:
        raise UsageError(
            f"nothing of {name!r} is held" if name else "nothing says which source is meant",
            hint="`voltar status` shows what is held",
        )
    if voice.as_json:
        voice.document({"accepted": [each.id for each in accepted]})
        return
    for each in accepted:
        voice.answer(f"accepted {each.id[:SHORT_ID]} {each.snapshot.source}")
