"""voltar retention simulate"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from backup.cli.console import Voice
from backup.cli.context import Context
from backup.cli.policy import Choice, time_text, with_policy
from backup.errors import UsageError
from backup.paths import printable
from backup.repository import catalog
from backup.retention import Moment, parse_duration
from backup.scope import Group, Scope, moment
from backup.simulation import IMAGINED, Course, Simulated, simulate

app = typer.Typer(help="What a policy keeps.", no_args_is_help=True)

_IMAGINED_HISTORY = Group("", "an imagined history")


@app.command("simulate")
@with_policy
def simulate_(
    ctx: typer.Context,
    *,
    choice: Choice,
    imagined: Annotated[
        bool, typer.Option("--imagined", help="Begin with no snapshots; needs no repository.")
    ] = False,
    every: Annotated[
        str, typer.Option(metavar="SPAN", help="How often a backup is imagined.")
    ] = "1d",
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long it goes on.")] = "1y",
) -> None:
    """Show what a policy will keep, if backups go on for a year.

    Examples: voltar retention simulate --keep-daily 7 --keep-monthly 12 · voltar retention
    simulate --imagined --every 6h --for 2y --keep-hourly 24 --keep-daily 30 --keep-yearly unlimited

    The history of each source is continued by imagined backups, and the policy applied each day,
    as `voltar forget` would every night. Nothing is changed. The table says how many snapshots
    there are now, how many of them the policy keeps today, how many are added, how many there are
    at most from then on, and how many are left at the end, the oldest how long before it.
    """
    context: Context = ctx.obj
    choice.policy.demand_rules()
    if imagined and choice.scope != Scope():
        raise UsageError("an imagined history has no source, host or tags to choose by")
    now = datetime.now(UTC).replace(microsecond=0)
    course = Course(
        start=now,
        every=parse_duration(every, "--every"),
        span=parse_duration(span, "--for"),
    )
    histories = {_IMAGINED_HISTORY: []} if imagined else _histories(context, choice)
    found = {
        group: simulate(moments, choice.policy, course, of=str(group))
        for group, moments in histories.items()
    }
    if context.voice.as_json:
        context.voice.document([_as_json(*item) for item in found.items()])
    else:
        _print(context.voice, found)


def _histories(context: Context, choice: Choice) -> dict[Group, list[Moment]]:
    groups = choice.scope.groups(catalog.history(context.open()))
    return {group: [moment(each) for each in members] for group, members in groups.items()}


def _print(voice: Voice, found: Mapping[Group, Simulated]) -> None:
    if not found:
        voice.say("there are no snapshots to begin with: --imagined needs none")
        return
    voice.table(
        ["history", "now", "kept", "added", "most", "left", "oldest"],
        [_row(*item) for item in found.items()],
        right="now kept added most left oldest",
        elastic="history",
    )
    if len(found) > 1:
        voice.say("with --source, what is left is shown one by one")
        return
    (simulated,) = found.values()
    voice.answer("")
    voice.answer(f"left on {simulated.end:%Y-%m-%d}:")
    voice.table(
        ["time", "age", "", "why"],
        [
            (
                time_text(each.moment.time),
                _age(simulated.end - each.moment.time),
                "" if each.moment.key == IMAGINED else "there now",
                ", ".join(each.reasons),
            )
            for each in simulated.left
        ],
        right="age",
        folded="why",
    )


def _row(group: Group, simulated: Simulated) -> tuple[str, ...]:
    oldest = simulated.left[-1].moment.time
    return (
        printable(str(group).encode(errors="surrogateescape")),
        str(simulated.before),
        str(simulated.today),
        str(simulated.added),
        str(simulated.most),
        str(len(simulated.left)),
        _age(simulated.end - oldest),
    )


def _age(age: timedelta) -> str:
    days = age // timedelta(days=1)
    return f"{days} d" if days else f"{age // timedelta(hours=1)} h"


def _as_json(group: Group, simulated: Simulated) -> dict[str, Any]:
    return {
        "host": group.host or None,
        "source": group.source or None,
        "snapshots": simulated.before,
        "kept": simulated.today,
        "added": simulated.added,
        "most": simulated.most,
        "end": simulated.end.isoformat(),
        "left": [
            {
                "id": each.moment.key or None,
                "time": each.moment.time.isoformat(),
                "reasons": list(each.reasons),
            }
            for each in simulated.left
        ],
    }
