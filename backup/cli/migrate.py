"""voltar migrate: to another engine, and what becomes of the source then"""

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from backup.cli import REFUSED, help_text
from backup.cli.console import Voice, counted, listening, local_text, seconds_text, size_text
from backup.cli.context import Context, state_directory
from backup.cli.recover import recover_one
from backup.errors import MigrationRefused, UsageError
from backup.migrate import journal, survey
from backup.migrate.apply import Remedy, apply, downtime_s
from backup.migrate.facts import Wishes
from backup.migrate.findings import Finding, Severity
from backup.migrate.journal import Record
from backup.migrate.later import finish as finish_migration
from backup.migrate.later import roll_back
from backup.migrate.making import fresh_id
from backup.migrate.plan import Plan
from backup.migrate.plan import plan as planned
from backup.migrate.step import CopyData, described
from backup.migrate.work import Engines, Work

_BEGIN = "begin"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class _Migrate(help_text.Group):
    """`voltar migrate TARGET …` begins a migration; what else there is has a word of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = [_BEGIN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Migrate,
    help="Move a container or a volume to another engine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(_BEGIN)
def begin(  # noqa: PLR0913  one parameter an option
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="volume:NAME or container:NAME.")],
    *,
    to: Annotated[
        str,
        typer.Option(metavar="URL", help="The engine to move to: unix:///path, tcp://…, ssh://…"),
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="The engine to move from; otherwise --host's."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at both engines, print the plan, do nothing.")
    ] = False,
    rename: Annotated[
        str | None, typer.Option(metavar="NAME", help="The container's name on the target.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Connect it to another network there."),
    ] = None,
    present: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A volume or path that is on the target already: use it as it is."
        ),
    ] = None,
    stop_timeout: Annotated[
        int | None,
        typer.Option(metavar="S", min=0, help="Seconds for the source to stop, not its own."),
    ] = None,
    health_timeout: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds for the target to become healthy.")
    ] = 120,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="Go on where the target would make another container."
        ),
    ] = False,
) -> None:
    """Move it: voltar migrate TARGET --to URL.

    Examples: voltar migrate container:db --to tcp://new:2375 --dry-run · voltar migrate volume:v
    --to unix:///run/other.sock

    All is looked at before anything is touched. Image, networks, volumes and the container are made
    on the target while the source runs; then the source is stopped, its data are copied and
    compared, and the target is started. If anything goes wrong, the target is as it was, and the
    source runs again. The source is kept, stopped: `voltar migrate finish` removes it, `voltar
    migrate rollback` starts it again.
    """
    context: Context = ctx.obj
    _demand_movable(target, to)
    _demand_sense((from_, to), rename, health_timeout)
    wishes = Wishes(
        rename=rename,
        networks=_pairs(network or []),
        present=frozenset(str(PurePosixPath(one.removeprefix("volume:"))) for one in present or []),
        stop_timeout_s=stop_timeout,
        health_timeout_s=health_timeout,
        accept_differences=accept_differences,
    )
    directory = state_directory() / "migrations"
    run = fresh_id()
    with Engines(from_ or "", to, lambda url: context.engine_at(url or None)) as engines:
        context.tidy(engines.source, run)
        context.tidy(engines.target, run)
        if not dry_run and _recovered_earlier(context, engines, target):
            return
        found = survey.origin(engines.source, target, run)
        plan = planned(found, survey.ground(engines.target, found, run), wishes)
        if dry_run:
            _show(context.voice, plan)
            raise typer.Exit(REFUSED if plan.blocked else 0)
        _demand_unblocked(context.voice, plan)
        started = time.monotonic()
        with (
            journal.opened(directory, plan, run) as opened,
            listening(context.voice) as listener,
        ):
            apply(Work(engines, opened, listener))
            seconds = round(time.monotonic() - started, 3)
            _tell(context.voice, opened.record, seconds)


def _demand_movable(target: str, to: str) -> None:
    """Raise UsageError for kinds of things that other commands move."""
    kind, colon, name = target.partition(":")
    if colon and kind == "image":
        raise UsageError(f"{target} is an image", hint=f"voltar image send {name} --to {to}")
    if colon and kind not in ("volume", "container"):
        raise UsageError(
            f"{target!r} is nothing that moves", hint="write volume:NAME, container:NAME, or a NAME"
        )


def _demand_sense(urls: Sequence[str | None], rename: str | None, health_timeout: float) -> None:
    """Raise UsageError for what would fail, or be taken for something else, only later."""
    if "" in urls:
        raise UsageError("the URL of an engine is empty")
    if rename is not None and not _NAME.fullmatch(rename):
        raise UsageError(
            f"--rename {rename}: that is no name of a container",
            hint="two letters, digits or _ . - at least, the first a letter or a digit",
        )
    if not math.isfinite(health_timeout):
        raise UsageError(f"--health-timeout {health_timeout}: write a number of seconds")


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for old, equals, new in pairs:
        if not (old and equals and new):
            raise UsageError(f"--network {old}{equals}{new}: write OLD=NEW")
    return {old: new for old, _, new in pairs}


def _recovered_earlier(context: Context, engines: Engines, target: str) -> bool:
    """Bring a migration of the same thing to an end whose run was killed; tell whether that moved
    it."""
    identity = survey.identity(engines.source)
    moved = False
    for path, record in journal.known(state_directory() / "migrations").records:
        header = record.header
        if record.outcome != journal.OPEN or header.engines[0] != identity:
            continue
        if target in (header.subject, header.subject.partition(":")[2]) and not journal.alive(path):
            moved |= recover_one(context, path) is Remedy.FORWARD
    return moved


def _demand_unblocked(voice: Voice, plan: Plan) -> None:
    """Tell what was found. Raises MigrationRefused for what must be settled first."""
    if plan.blocked:
        raise MigrationRefused(
            f"{plan.subject} cannot be moved yet, and nothing was touched",
            findings=[_line(one) for one in plan.findings],
            hint="--dry-run shows the whole plan",
        )
    for one in plan.findings:
        voice.warn(_line(one, mark=False))


def _line(one: Finding, *, mark: bool = True) -> str:
    shown = f"{one.severity.value}: " if mark else ""
    return f"{shown}{one.text}{f' ({one.settles})' if one.settles else ''}"


def _show(voice: Voice, plan: Plan) -> None:
    if voice.as_json:
        voice.document(
            {
                "subject": plan.subject,
                "source": plan.source,
                "target": plan.target,
                "bytes": plan.size,
                "blocked": bool(plan.blocked),
                "findings": [
                    {"severity": one.severity.value, "text": one.text, "settles": one.settles}
                    for one in plan.findings
                ],
                "steps": [described(step) for step in plan.steps],
            }
        )
        return
    voice.answer(f"{plan.subject}: {plan.source} → {plan.target}, {size_text(plan.size)} of data")
    for one in plan.findings:
        voice.answer(f"  {_line(one)}")
    for number, step in enumerate(plan.steps, 1):
        voice.answer(f"  {number}. {described(step)}")
    if plan.blocked:
        number = sum(one.severity is Severity.BLOCKS for one in plan.findings)
        voice.answer(f"{counted(number, 'finding')} to be settled first")


def _tell(voice: Voice, record: Record, seconds: float) -> None:
    copied = [record.facts[number] for number, _ in record.steps(CopyData)]
    size = sum(int(one["size"]) for one in copied)
    entries = sum(int(one["entries"]) for one in copied)
    downtime = downtime_s(record)
    header = record.header
    if voice.as_json:
        voice.event(
            {
                "type": "summary",
                "migration": header.id,
                "subject": header.subject,
                "source": header.source,
                "target": header.target,
                "entries": entries,
                "bytes": size,
                "downtime_seconds": None if downtime is None else round(downtime, 3),
                "seconds": seconds,
            }
        )
        return
    down = "" if downtime is None else f"down for {seconds_text(downtime)}; "
    voice.answer(
        f"moved {header.subject} to {header.target}: {counted(entries, 'entry')}, "
        f"{size_text(size)}, {seconds_text(seconds)}; {down}every byte compared"
    )
    voice.say(
        f"the source is kept: `voltar migrate finish {header.id}` removes it, "
        f"`voltar migrate rollback {header.id}` goes back to it"
    )


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Show the migrations that this machine knows of.

    Example: voltar migrate list
    """
    context: Context = ctx.obj
    known, damaged = journal.known(state_directory() / "migrations")
    shown = [(record, _condition(record, alive=journal.alive(path))) for path, record in known]
    if context.voice.as_json:
        context.voice.document([_listed(record, condition) for record, condition in shown])
    else:
        _show_list(context.voice, shown)
    if damaged:
        raise damaged[0]


def _show_list(voice: Voice, shown: Sequence[tuple[Record, str]]) -> None:
    voice.table(
        ("id", "time", "what", "from", "to", "state"),
        [
            (
                record.header.id,
                local_text(record.header.time),
                record.header.subject,
                record.header.source,
                record.header.target,
                condition,
            )
            for record, condition in shown
        ],
        elastic="what from to",
    )


def _condition(record: Record, *, alive: bool) -> str:
    if record.outcome == journal.OPEN:
        return "at work" if alive else "killed"
    return record.outcome


def _listed(record: Record, condition: str) -> dict[str, Any]:
    header = record.header
    return {
        "id": header.id,
        "time": header.time.isoformat(),
        "subject": header.subject,
        "source": header.source,
        "target": header.target,
        "state": condition,
        "downtime_seconds": downtime_s(record),
        "steps": len(header.steps),
        "done": len(record.done),
    }


_Named = Annotated[
    str, typer.Argument(metavar="MIGRATION", help="Its id, or what was moved: container:NAME.")
]


@app.command("finish")
def finish(ctx: typer.Context, migration: _Named) -> None:
    """Remove the source, after another comparison.

    Example: voltar migrate finish container:db

    Its data must be what was moved, and the target must be there. Bind-mounted directories stay.
    """
    context: Context = ctx.obj

    def remove(work: Work) -> None:
        done = finish_migration(work)
        for name, why in done.kept:
            context.voice.warn(f"{name} stays on the source: {why}")
        _answer(context.voice, work, "finished", f"removed {', '.join(done.removed) or 'nothing'}")

    _later(context, migration, remove)


@app.command("rollback")
def rollback(
    ctx: typer.Context,
    migration: _Named,
    *,
    without_target: Annotated[
        bool,
        typer.Option(
            "--without-target", help="The target is gone: do not ask it to stop the container."
        ),
    ] = False,
) -> None:
    """Go back to the source.

    Example: voltar migrate rollback container:db

    The target is stopped, and the source started again. What the target has written stays there,
    under its name; nothing of it is brought back.
    """
    context: Context = ctx.obj

    def go_back(work: Work) -> None:
        roll_back(work, without_target=without_target)
        header = work.record.header
        stopped = header.subject.startswith("container:")
        said = "the source is as it was" if stopped else "the source was never touched"
        _answer(context.voice, work, "rolled back", said)
        if not without_target:
            context.voice.say(
                "what is on the target stays there, stopped; `docker rm` and `docker volume rm` "
                "remove it"
            )

    _later(context, migration, go_back)


def _later(context: Context, migration: str, act: Callable[[Work], None]) -> None:
    path = journal.find(state_directory() / "migrations", migration)
    with journal.reopened(path) as opened, listening(context.voice) as listener:
        header = opened.record.header
        with Engines(header.source, header.target, context.engine_at) as engines:
            act(Work(engines, opened, listener))


def _answer(voice: Voice, work: Work, what: str, text: str) -> None:
    header = work.record.header
    if voice.as_json:
        summary = {"type": "summary", "migration": header.id, "subject": header.subject}
        voice.event({**summary, "state": what})
    else:
        voice.answer(f"{what} {header.subject}: {text}")
