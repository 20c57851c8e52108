"""voltar snapshots, voltar ls"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from backup.cli.console import Voice, counted, end_by, local_text, size_text
from backup.cli.context import Context
from backup.cli.policy import parse_tags
from backup.errors import UsageError
from backup.lookup import find_snapshot
from backup.paths import printable, relative, selected
from backup.repository import SHORT_ID, Member, Note, Recorded, Repository, Snapshot
from backup.repository.catalog import RETURN
from backup.repository.manifest import to_bytes
from backup.scope import has_tags

_COLUMNS = (
    "id", "time", "host", "source", "container", "entries", "size", "stored", "tags", "pinned",
    "back until",
)  # fmt: skip
_SELDOM = {"tags", "pinned", "back until"}
_WIDE = 120
_LONG_NAME = re.compile(r"^(volume:[0-9a-f]{12})[0-9a-f]{52}$")
_TYPES = {"f": "-", "h": "-", "d": "d", "l": "l", "c": "c", "b": "b", "p": "p"}


def snapshots(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Only of this source: volume:NAME.")
    ] = None,
    *,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG[,TAG]", help="Only with these tags, '' for those without."),
    ] = None,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Those that are forgotten, and not yet deleted.")
    ] = False,
) -> None:
    """List snapshots, the oldest first.

    Examples: voltar snapshots · voltar snapshots volume:pgdata · voltar snapshots --tag nightly ·
    voltar snapshots --forgotten · voltar --json snapshots
    """
    context: Context = ctx.obj
    repository = context.open()
    every, damaged = repository.recorded()
    tags = parse_tags(tag)
    found = [
        each
        for each in every
        if (each.forgotten is not None) == forgotten
        and has_tags(each, tags)
        and (source is None or each.snapshot.is_of(source))
    ]
    if context.voice.as_json:
        context.voice.document([_as_json(each) for each in found])
    elif found:
        _print(context.voice, found)
    else:
        context.voice.say(_none(source, tags=bool(tags), forgotten=forgotten))
    end_by(context.voice, damaged)


def _none(source: str | None, *, tags: bool, forgotten: bool) -> str:
    what = "no forgotten snapshots" if forgotten else "no snapshots"
    if tags:
        what += " with such tags"
    return f"{what} of {source}" if source else what if tags or forgotten else f"{what} yet"


def _print(voice: Voice, found: list[Recorded]) -> None:
    """Print the table. A pipe gets all columns; a terminal the host only where there are several,
    the container only where it is wide, and tags and the like only where there are some."""
    terminal = voice.out.is_terminal
    wide = not terminal or voice.out.width >= _WIDE
    rows = [_row(each, whole=wide) for each in found]
    hosts = {each.snapshot.host for each in found}
    left_out = {"host"} if len(hosts) == 1 and not wide else set()
    left_out |= set() if wide else {"container"}
    if found[0].forgotten is not None and not wide:
        left_out |= {"entries", "size", "stored", "tags"}
    empty = {column for at, column in enumerate(_COLUMNS) if not any(row[at] for row in rows)}
    left_out |= empty & _SELDOM if terminal else set()
    shown = [at for at, column in enumerate(_COLUMNS) if column not in left_out]
    voice.table(
        [_COLUMNS[at] for at in shown],
        [[row[at] for at in shown] for row in rows],
        right="entries size stored",
        elastic="host source container tags",
        spare="container stored entries size tags host",
    )


def _row(recorded: Recorded, *, whole: bool) -> tuple[str, ...]:
    snapshot = recorded.snapshot
    counts = snapshot.statistics
    source = printable(snapshot.source.encode())
    if not whole:
        source = _LONG_NAME.sub(r"\1", source)
    return (
        recorded.id[:SHORT_ID],
        local_text(snapshot.time),
        snapshot.host,
        source,
        snapshot.mount.container if snapshot.mount else "",
        str(counts.entries),
        size_text(counts.size),
        size_text(counts.stored),
        ",".join(snapshot.tags),
        "pinned" if recorded.pinned else "",
        _back_until(recorded),
    )


def _back_until(recorded: Recorded) -> str:
    """Return until when `unforget` can bring a forgotten snapshot back."""
    if recorded.forgotten is None:
        return ""
    until = recorded.forgotten + RETURN
    return local_text(until) if datetime.now(UTC) < until else "too late"


def _as_json(recorded: Recorded) -> dict[str, Any]:
    snapshot = recorded.snapshot
    counts = snapshot.statistics
    mount = snapshot.mount
    hidden = recorded.forgotten
    return {
        "id": recorded.id,
        "time": snapshot.time.isoformat(),
        "host": snapshot.host,
        "source": snapshot.source,
        "run": snapshot.run,
        "container": mount.container if mount else None,
        "destination": mount.destination if mount else None,
        "driver": snapshot.volume.driver if snapshot.volume else None,
        "labels": snapshot.volume.labels if snapshot.volume else {},
        "tags": snapshot.tags,
        "pinned": recorded.pinned,
        "forgotten": hidden.isoformat() if hidden else None,
        "back_until": (hidden + RETURN).isoformat() if hidden else None,
        "imported": snapshot.imported,
        "entries": counts.entries,
        "files": counts.files,
        "bytes": counts.size,
        "bytes_added": counts.added,
        "bytes_stored": counts.stored,
        "seconds": counts.seconds,
        "excludes": snapshot.excludes,
        "excluded": counts.excluded,
        "bytes_excluded": counts.excluded_size,
        "notes": snapshot.notes,
        "program": snapshot.program,
        "original": snapshot.original,
    }


def ls(
    ctx: typer.Context,
    snapshot: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="An id, volume:NAME, or volume:NAME@TIME.")
    ],
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="Only this, and what is below it.")
    ] = None,
    *,
    notes: Annotated[
        bool, typer.Option("--notes", help="What was not captured as it should be, and why.")
    ] = False,
) -> None:
    """List what a snapshot holds.

    Examples: voltar ls volume:pgdata · voltar ls 3fa9c1 etc/app · voltar ls --notes volume:pgdata
    """
    context: Context = ctx.obj
    repository = context.open()
    _, found = find_snapshot(repository, snapshot)
    wanted = relative(os.fsencode(path)) if path is not None else b""
    if notes:
        _list_notes(context, repository, found)
        return
    if found.excludes:
        context.voice.say(excluded_text(found))
    matched = _members(repository, found, wanted)
    if context.voice.as_json:
        rows = [member_json(member) for member in matched]
        _demand(rows, path)
        context.voice.document(rows)
        return
    count = 0
    for member in matched:
        count += 1
        context.voice.answer(member_line(member))
    _demand(range(count), path)


def _demand(rows: Any, path: str | None) -> None:
    if not rows and path is not None:
        raise UsageError(f"the snapshot holds no {printable(os.fsencode(path))}")


def _members(repository: Repository, snapshot: Snapshot, wanted: bytes) -> Iterator[Member]:
    for line in repository.manifest(snapshot):
        if isinstance(line, Member) and line.kind not in "gz":
            path = to_bytes(line.path)
            if not wanted or selected(path, (wanted,)):
                yield line


def _list_notes(context: Context, repository: Repository, snapshot: Snapshot) -> None:
    found = [line for line in repository.manifest(snapshot) if isinstance(line, Note)]
    if context.voice.as_json:
        context.voice.document(
            [{"path": printable(to_bytes(note.path)), "text": note.text} for note in found]
        )
        return
    if snapshot.excludes:
        context.voice.answer(excluded_text(snapshot))
    for note in found:
        context.voice.answer(f"{printable(to_bytes(note.path))}: {note.text}")


def excluded_text(snapshot: Snapshot) -> str:
    """Return what was left out on request, and by which rules."""
    counts = snapshot.statistics
    rules = ", ".join(snapshot.excludes)
    many = f"{counted(counts.excluded, 'entry')}, {size_text(counts.excluded_size)}"
    return f"excluded by {rules}: {many}"


def member_line(member: Member) -> str:
    """Return an entry as `ls -l` shows it."""
    mode = _TYPES.get(member.kind, "?") + _permissions(member.mode)
    seconds = member.mtime_ns // 10**9
    link = ""
    if member.kind == "l":
        link = f" -> {printable(to_bytes(member.link))}"
    elif member.kind == "h":
        link = f" link to {printable(to_bytes(member.link))}"
    name = printable(to_bytes(member.path)) or "."
    owner = f"{member.uid}:{member.gid}"
    return f"{mode} {owner:>11} {member.size:>12} {date_text(seconds)} {name}{link}"


def _permissions(mode: int) -> str:
    letters = ["rwxrwxrwx"[i] if mode & (0o400 >> i) else "-" for i in range(9)]
    for bit, place, both, alone in (
        (0o4000, 2, "s", "S"),
        (0o2000, 5, "s", "S"),
        (0o1000, 8, "t", "T"),
    ):
        if mode & bit:
            letters[place] = both if letters[place] == "x" else alone
    return "".join(letters)


def date_text(seconds: int) -> str:
    """Return seconds since 1970 as a local time; any number is one."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        return moment.astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError):
        return f"@{seconds}"


def member_json(member: Member) -> dict[str, Any]:
    """Return an entry as scripts get it."""
    return {
        "path": printable(to_bytes(member.path)),
        "type": member.kind,
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "size": member.size,
        "mtime_ns": member.mtime_ns,
        "link": printable(to_bytes(member.link)) or None,
    }
