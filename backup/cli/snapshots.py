"""voltar snapshots, voltar ls"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from backup.cli import INTEGRITY
from backup.cli.console import Voice, size_text
from backup.cli.context import Context
from backup.errors import UsageError
from backup.lookup import find_snapshot
from backup.paths import printable, relative, selected
from backup.repository import SHORT_ID, Member, Note, Repository, Snapshot, SnapshotId
from backup.repository.manifest import to_bytes

_COLUMNS = ("id", "time", "host", "source", "container", "entries", "size", "stored")
_WIDE = 120
_LONG_NAME = re.compile(r"^(volume:[0-9a-f]{12})[0-9a-f]{52}$")
_TYPES = {"f": "-", "h": "-", "d": "d", "l": "l", "c": "c", "b": "b", "p": "p"}


def snapshots(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Only of this source: volume:NAME.")
    ] = None,
) -> None:
    """List snapshots, the oldest first.

    Examples: voltar snapshots · voltar snapshots volume:pgdata · voltar --json snapshots
    """
    context: Context = ctx.obj
    repository = context.open()
    found, damaged = repository.readable()
    if source is not None:
        found = [item for item in found if item[1].source in (source, f"volume:{source}")]
    if context.voice.as_json:
        context.voice.document([_as_json(*item) for item in found])
    elif found:
        _print(context.voice, found)
    else:
        context.voice.say(f"no snapshots of {source}" if source else "no snapshots yet")
    for error in damaged:
        context.voice.error(error, INTEGRITY)
    if damaged:
        raise typer.Exit(INTEGRITY)


def _print(voice: Voice, found: list[tuple[SnapshotId, Snapshot]]) -> None:
    """Print the table; the host only where there are several, the container only for a terminal
    that is wide or a pipe."""
    wide = not voice.out.is_terminal or voice.out.width >= _WIDE
    rows = [_row(*item, whole=wide) for item in found]
    hosts = {snapshot.host for _, snapshot in found}
    left_out = {"host"} if len(hosts) == 1 and not wide else set()
    left_out |= set() if wide else {"container"}
    shown = [at for at, column in enumerate(_COLUMNS) if column not in left_out]
    voice.table(
        [_COLUMNS[at] for at in shown],
        [[row[at] for at in shown] for row in rows],
        right="entries size stored",
        elastic="host source container",
    )


def _row(snapshot_id: SnapshotId, snapshot: Snapshot, *, whole: bool) -> tuple[str, ...]:
    counts = snapshot.statistics
    source = printable(snapshot.source.encode())
    if not whole:
        source = _LONG_NAME.sub(r"\1", source)
    return (
        snapshot_id[:SHORT_ID],
        snapshot.time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        snapshot.host,
        source,
        snapshot.mount.container if snapshot.mount else "",
        str(counts.entries),
        size_text(counts.size),
        size_text(counts.stored),
    )


def _as_json(snapshot_id: SnapshotId, snapshot: Snapshot) -> dict[str, Any]:
    counts = snapshot.statistics
    mount = snapshot.mount
    return {
        "id": snapshot_id,
        "time": snapshot.time.isoformat(),
        "host": snapshot.host,
        "source": snapshot.source,
        "run": snapshot.run,
        "container": mount.container if mount else None,
        "destination": mount.destination if mount else None,
        "driver": snapshot.volume.driver if snapshot.volume else None,
        "labels": snapshot.volume.labels if snapshot.volume else {},
        "tags": snapshot.tags,
        "imported": snapshot.imported,
        "entries": counts.entries,
        "files": counts.files,
        "bytes": counts.size,
        "bytes_added": counts.added,
        "bytes_stored": counts.stored,
        "seconds": counts.seconds,
        "notes": snapshot.notes,
        "program": snapshot.program,
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
    for note in found:
        context.voice.answer(f"{printable(to_bytes(note.path))}: {note.text}")


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
