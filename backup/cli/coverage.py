"""voltar coverage"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from backup.cli import INCOMPLETE
from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.console import Voice, counted, listening, local_text
from backup.cli.context import Context
from backup.paths import printable

if TYPE_CHECKING:
    from backup.job.coverage import Coverage, Covered

_ORDER = ("forgotten", "stale", "excluded", "protected")
"""What is to be looked at first."""


def coverage(ctx: typer.Context) -> None:
    """Say of every volume and bind mount whether it is backed up.

    Examples: voltar coverage · voltar coverage --json

    protected: a job has a snapshot of it that is as young as its schedule wants. stale: a job
    chooses it, and that is not so. excluded: it is left out, and why. forgotten: no job chooses it.
    Ends with 3 where anything is stale or forgotten, an engine cannot be reached, or a job asks for
    what is not there.
    """
    from backup.job.coverage import survey  # noqa: PLC0415  only what asks for it loads it

    context: Context = ctx.obj
    with listening(context.voice) as listener:
        found = survey(doors(context, listener), datetime.now(UTC), machine_zone())
    code = 0 if found.whole else INCOMPLETE
    if context.voice.as_json:
        context.voice.document(_as_json(found, code))
    else:
        _print(context.voice, found)
    if code:
        raise typer.Exit(code)


def _print(voice: Voice, found: "Coverage") -> None:
    for host, why in found.unreached.items():
        voice.warn(f"host {host} cannot be reached, so nothing is known of it: {why}")
    for complaint in found.complaints:
        voice.warn(complaint)
    rows = [_row(each) for each in sorted(found.covered, key=_urgency)]
    if rows:
        voice.table(
            ["state", "host", "source", "newest", "jobs", "why"],
            rows,
            elastic="source jobs",
            folded="why",
            spare="jobs newest host",
        )
    counts = ", ".join(f"{number} {state}" for state, number in _counts(found).items())
    voice.say(f"{counts}; {_reached(found)}")


def _urgency(found: "Covered") -> tuple[int, str, str]:
    return _ORDER.index(found.state.value), found.host, found.source


def _row(found: "Covered") -> tuple[str, ...]:
    unsaved = found.state.value in _ORDER[:2]
    users = f" (in {', '.join(found.users)})" if found.users and unsaved else ""
    return (
        found.state.value,
        found.host,
        printable(found.source.encode()),
        local_text(found.newest) if found.newest else "",
        ", ".join(found.jobs),
        f"{found.why}{users}",
    )


def _counts(found: "Coverage") -> dict[str, int]:
    states = [each.state.value for each in found.covered]
    return {state: states.count(state) for state in reversed(_ORDER)}


def _reached(found: "Coverage") -> str:
    every = len(found.reached) + len(found.unreached)
    return f"{len(found.reached)} of {counted(every, 'engine')} reached"


def _as_json(found: "Coverage", code: int) -> dict[str, Any]:
    return {
        "code": code,
        "counts": _counts(found),
        "reached": found.reached,
        "unreached": found.unreached,
        "complaints": found.complaints,
        "sources": [
            {
                "host": each.host,
                "source": each.source,
                "state": each.state.value,
                "why": each.why,
                "jobs": list(each.jobs),
                "newest": each.newest.isoformat() if each.newest else None,
                "users": list(each.users),
            }
            for each in found.covered
        ],
    }
