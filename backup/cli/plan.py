"""voltar plan"""

import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup.cli import INCOMPLETE
from backup.cli.clock import machine_zone
from backup.cli.configured import doors
from backup.cli.console import Voice, counted, listening, local_text, size_text
from backup.cli.context import Context
from backup.config import Hook, Quiesce
from backup.errors import ConfigError
from backup.paths import printable
from backup.quiesce.plan import Unit, after, before
from backup.repository import SHORT_ID
from backup.selection.resolve import Treatment

if TYPE_CHECKING:
    from backup.job.preview import Preview


def plan(
    ctx: typer.Context,
    job: Annotated[
        str | None, typer.Argument(metavar="JOB", help="Only this job of the configuration.")
    ] = None,
) -> None:
    """Show what jobs would do now, and when they run; touch nothing.

    Examples: voltar plan · voltar plan nightly · voltar plan nightly --json

    What would be captured, what is left out and why, who would be stopped or paused, which commands
    would run and where, and which snapshots would be forgotten after a run that went well. Ends
    with 3 where a run would have something to complain of.
    """
    from backup.job.preview import preview  # noqa: PLC0415  only what asks for it loads it

    context: Context = ctx.obj
    now, clock = datetime.now(UTC), machine_zone()
    with listening(context.voice) as listener:
        opened = doors(context, listener)
        if not opened.config.jobs:
            raise ConfigError("no job is configured", hint="`voltar config init` writes one")
        names = [job] if job is not None else list(opened.config.jobs)
        found = [preview(opened, name, now, clock) for name in names]
    if context.voice.as_json:
        context.voice.document([_as_json(each) for each in found])
    else:
        for each in found:
            _print(context.voice, each)
    if any(each.problems for each in found):
        raise typer.Exit(INCOMPLETE)


def _print(voice: Voice, found: "Preview") -> None:
    voice.answer(f"job {found.name}{f' on {found.host}' if found.host else ''}")
    for line in (_when(found), *_captures(found), *_acts(found), *_retention(found)):
        voice.answer(f"  {line}")
    for problem in found.problems:
        voice.warn(f"job {found.name}: {problem}")


def _captures(found: "Preview") -> Iterator[str]:
    for source in found.sources:
        yield f"captures {printable(source.encode())}{_last(found, source)}"
    for name, why in found.intent.left_out if found.intent else ():
        yield f"leaves out {printable(name.encode())}: {why}"


def _acts(found: "Preview") -> Iterator[str]:
    """What happens to containers, in the order in which it does."""
    yield from _executes(before(found.job.hooks))
    for unit in found.units:
        sources = ", ".join(printable(each.name.encode()) for each in unit.sources)
        yield from _executes(before(unit.hooks))
        for each in unit.quieted:
            grace = f" within {each.grace_s} s" if each.how is Quiesce.STOP else ""
            yield f"{_VERBS[each.how]} {each.name}{grace}, to read {sources}"
        yield from _executes(after(unit.hooks))
    yield from _executes(after(found.job.hooks))


def _executes(hooks: Iterable[Hook]) -> Iterator[str]:
    return (f"executes {_hook_text(hook)}" for hook in hooks)


def _when(found: "Preview") -> str:
    if not found.next_runs:
        return "runs when somebody runs it: it has no schedule"
    first, *later = map(local_text, found.next_runs)
    return f"runs next {first}; then {', '.join(later)}"


def _last(found: "Preview", source: str) -> str:
    newest = found.newest.get(source)
    if not found.known:
        return ""
    if newest is None:
        return ": for the first time"
    size = size_text(newest.statistics.size)
    return f": {size} when it was last captured, {local_text(newest.time)}"


_VERBS = {Quiesce.STOP: "stops", Quiesce.PAUSE: "pauses"}


def _hook_text(hook: Hook) -> str:
    where = f"in {hook.container}" if hook.container else "on this machine"
    who = f" as {hook.user}" if hook.user else ""
    command = printable(shlex.join(hook.command).encode())
    return f"{hook.when.value} the reading, {where}{who}: {command}"


def _retention(found: "Preview") -> Iterator[str]:
    if found.job.keep is None:
        yield "keeps all snapshots: it has no policy"
    for source in found.verdicts:
        keeping, dropping = (
            counted(len(found.kept(source)), "older snapshot"),
            found.dropped(source),
        )
        if not found.verdicts[source][1:]:
            continue  # it has no snapshot but the one that the run would make
        ids = f": {', '.join(each.id[:SHORT_ID] for each in dropping)}" if dropping else ""
        yield f"keeps {keeping} of {printable(source.encode())}, forgets {len(dropping)}{ids}"


def _as_json(found: "Preview") -> dict[str, Any]:
    intent = found.intent
    treatments = intent.selection.treatments if intent else {}
    return {
        "job": found.name,
        "host": found.host,
        "next": [each.isoformat() for each in found.next_runs],
        "captures": [_source_json(found, each) for each in found.sources],
        "leaves_out": [
            {"name": name, "why": why} for name, why in (intent.left_out if intent else ())
        ],
        "windows": [_unit_json(each) for each in found.units],
        "treats": {name: _treatment_json(each) for name, each in sorted(treatments.items())},
        "hooks": [_hook_json(each) for each in found.job.hooks],
        "retention": {
            source: {
                "keeps": [
                    {"id": each.recorded.id, "why": list(each.reasons)}
                    for each in found.kept(source)
                ],
                "forgets": [each.id for each in found.dropped(source)],
            }
            for source in found.verdicts
        },
        "problems": found.problems,
    }


def _source_json(found: "Preview", source: str) -> dict[str, Any]:
    newest = found.newest.get(source)
    return {
        "source": source,
        "last": newest.time.isoformat() if newest else None,
        "last_bytes": newest.statistics.size if newest else None,
    }


def _unit_json(unit: Unit) -> dict[str, Any]:
    return {
        "sources": [each.name for each in unit.sources],
        "quiets": [
            {"container": each.name, "how": each.how.value, "grace_s": each.grace_s}
            for each in unit.quieted
        ],
        "hooks": [_hook_json(each) for each in unit.hooks],
        "refused": None if unit.refused is None else str(unit.refused),
    }


def _treatment_json(found: Treatment) -> dict[str, Any]:
    return {
        "quiesce": found.quiesce.value,
        "grace_s": found.grace_s,
        "hooks": [_hook_json(each) for each in found.hooks],
        "dump": found.dump,
    }


def _hook_json(hook: Hook) -> dict[str, Any]:
    return {
        "when": hook.when.value,
        "command": hook.command,
        "container": hook.container,
        "user": hook.user,
        "directory": hook.directory,
        "timeout": hook.timeout,
        "on_error": hook.on_error.value,
    }
