"""voltar find"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Annotated, Any, Final

import typer

from backup.cli.console import Voice, counted, end_by, listening, local_text
from backup.cli.context import Context
from backup.cli.snapshots import member_json, member_line
from backup.errors import NoSuchSnapshot, RepositoryError
from backup.find import Version, Versions, versions
from backup.lookup import Found, find_snapshot, source_name
from backup.paths import printable
from backup.pattern import Patterns
from backup.pieces import length
from backup.report import Finished, Started
from backup.repository import SHORT_ID, Repository

_PATTERN_HELP: Final = "'*.conf' for a name anywhere, 'etc/**/*.conf' or '/notes' for a whole path."

History = list[Found]
"""The snapshots of one source, the oldest first."""


def find(
    ctx: typer.Context,
    pattern: Annotated[list[str], typer.Argument(metavar="PATTERN", help=_PATTERN_HELP)],
    *,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Only in this source: volume:NAME.")
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="SNAPSHOT", help="Only in this one.")
    ] = None,
    from_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Only in snapshots of this host.")
    ] = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="Take a for A.")] = False,
) -> None:
    """Find files in all snapshots: since when, and until when.

    Examples: voltar find '*.conf' · voltar find 'etc/**/app.*' --source volume:pgdata -i

    Each version of a file is told once, under the newest snapshot that has it, and with the oldest
    of those before that have it too; the newest snapshots come first.
    """
    context: Context = ctx.obj
    patterns = Patterns(pattern, ignore_case=ignore_case)
    repository = context.open()
    if snapshot is not None:
        chosen = [find_snapshot(repository, snapshot, host=from_host)]
        damaged: list[RepositoryError] = []
    else:
        chosen, damaged = repository.readable()
    histories = _histories(chosen, source, from_host)
    several_hosts = len({history[0][1].host for history in histories}) > 1
    count = searched = 0
    for history in histories:
        found, unread = _searched(context.voice, repository, history, patterns)
        whole = [item for place, item in enumerate(history) if place not in unread]
        _tell(context.voice, whole, found, with_host=several_hosts)
        damaged += [_of_snapshot(history[place], error) for place, error in unread.items()]
        count, searched = count + len(found), searched + len(whole)
    if context.voice.as_json:
        context.voice.event({"type": "summary", "versions": count, "snapshots": searched})
    where = f"{counted(count, 'version')} in {counted(searched, 'snapshot')}"
    context.voice.say(where if count else "nothing matches")
    end_by(context.voice, damaged)


def _histories(found: Iterable[Found], source: str | None, host: str | None) -> list[History]:
    """Return what is asked for, source by source. Raises NoSuchSnapshot where that is nothing."""
    named = None if source is None else source_name(source)
    wanted = [
        item
        for item in found
        if (named is None or item[1].is_of(named)) and (host is None or item[1].host == host)
    ]
    if not wanted and (source is not None or host is not None):
        of_source = f" of {source}" if source is not None else ""
        on_host = f" on {host}" if host is not None else ""
        raise NoSuchSnapshot(
            f"there are no snapshots{of_source}{on_host}",
            hint="`voltar snapshots` shows what there is",
        )
    wanted.sort(key=_of_source)
    return [list(history) for _, history in groupby(wanted, key=_of_source)]


def _of_source(item: Found) -> tuple[str, str]:
    return item[1].source, item[1].host


def _searched(
    voice: Voice, repository: Repository, history: History, patterns: Patterns
) -> Versions:
    with listening(voice) as listener:
        every = [snapshot for _, snapshot in history]
        subject, size = every[0].source, sum(length(each.manifest) for each in every)
        listener(Started("search", subject, size, len(every), "snapshots"))
        found = versions(repository, every, patterns, listener)
        listener(Finished("search", subject))
    return found


def _of_snapshot(item: Found, error: RepositoryError) -> RepositoryError:
    return type(error)(f"snapshot {item[0][:SHORT_ID]} of {item[1].source}: {error}")


def _tell(voice: Voice, history: History, found: list[Version], *, with_host: bool) -> None:
    if voice.as_json:
        for version in found:
            voice.event(_as_json(history, version))
        return
    for line in _lines(history, found, with_host=with_host):
        voice.answer(line)


def _lines(history: History, found: list[Version], *, with_host: bool) -> Iterator[str]:
    for last, some in groupby(found, key=lambda version: version.last):
        snapshot = history[last][1]
        host = f" on {snapshot.host}" if with_host else ""
        yield printable(f"{_name(history, last)}  {snapshot.source}{host}".encode())
        for version in some:
            count = version.last - version.first + 1
            others = f"  ({count} snapshots, since {_name(history, version.first)})"
            yield f"  {member_line(version.member)}{others if count > 1 else ''}"


def _name(history: History, number: int) -> str:
    snapshot_id, snapshot = history[number]
    return f"{snapshot_id[:SHORT_ID]} of {local_text(snapshot.time)}"


def _as_json(history: History, version: Version) -> dict[str, Any]:
    snapshot = history[version.last][1]
    return {
        "type": "version",
        "source": snapshot.source,
        "host": snapshot.host,
        "entry": member_json(version.member),
        "first": _snapshot_json(history[version.first]),
        "last": _snapshot_json(history[version.last]),
        "snapshots": [name for name, _ in history[version.first : version.last + 1]],
    }


def _snapshot_json(found: Found) -> dict[str, str]:
    return {"id": found[0], "time": found[1].time.isoformat()}
