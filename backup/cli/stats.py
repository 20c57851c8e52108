"""voltar stats"""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, NamedTuple

import typer

from backup.cli.console import Voice, end_by, listening, size_text
from backup.cli.context import Context
from backup.errors import RepositoryError
from backup.lookup import Found, find_snapshot
from backup.paths import printable
from backup.pieces import length
from backup.report import Finished, Started
from backup.repository import Repository
from backup.stats import PackUsage, Statistician, Usage

_COLUMNS = ("source", "host", "snapshots", "entries", "size", "chunks", "stored")


class _Source(NamedTuple):
    name: str
    host: str
    usage: Usage


def stats(
    ctx: typer.Context,
    snapshot: Annotated[
        list[str] | None,
        typer.Argument(metavar="SNAPSHOT", help="Only these: ids, volume:NAME, volume:NAME@TIME."),
    ] = None,
) -> None:
    """Tell what snapshots hold, and what they take on the store.

    Examples: voltar stats · voltar stats volume:pgdata · voltar stats 3fa9c1 8bd2e1

    Deduplication says how many bytes refer to one that is stored, compression how much smaller it
    is there. Of a whole repository, it is also told how much is unused: no snapshot needs it that
    is not forgotten. Snapshots that were forgotten keep some of it until prune deletes them. What
    sources share counts for each of them in the table.
    """
    context: Context = ctx.obj
    repository = context.open()
    found, forgotten, damaged = _chosen(repository, snapshot)
    statistician = Statistician(repository)
    sources = []
    with listening(context.voice) as listener:
        size = sum(length(one.manifest) for _, one in found)
        listener(Started("read", "manifests", size, len(found), "snapshots"))
        for (source, host), items in groupby(sorted(found, key=_of_source), key=_of_source):
            usage = statistician.add([one for _, one in items], listener)
            sources.append(_Source(source, host, usage))
        listener(Finished("read", "manifests"))
    packs = None if snapshot else statistician.packs()
    if context.voice.as_json:
        _tell_json(context.voice, sources, statistician.total, packs, forgotten)
    else:
        _tell(context.voice, sources, statistician.total, packs, forgotten)
    end_by(context.voice, damaged)


def _chosen(
    repository: Repository, names: Sequence[str] | None
) -> tuple[list[Found], int, list[RepositoryError]]:
    """Return the snapshots that are asked for, how many were left out as they are forgotten, and
    what cannot be read."""
    if not names:
        every, damaged = repository.recorded()
        found = [(each.id, each.snapshot) for each in every if each.forgotten is None]
        return found, len(every) - len(found), damaged
    named = dict(find_snapshot(repository, name) for name in names)
    return sorted(named.items(), key=lambda item: item[1].time), 0, []


def _of_source(item: Found) -> tuple[str, str]:
    return item[1].source, item[1].host


def _tell(
    voice: Voice,
    sources: Sequence[_Source],
    total: Usage,
    packs: PackUsage | None,
    forgotten: int,
) -> None:
    lines = [
        ("snapshots", str(total.snapshots)),
        ("entries", str(total.entries)),
        ("size", f"{size_text(total.size)}, if each were restored"),
        ("chunks", f"{total.chunks}, {size_text(total.unique)}"),
        ("stored", size_text(total.stored)),
        ("deduplication", f"{total.deduplication:.2f}"),
        ("compression", f"{total.compression:.2f}"),
    ]
    if packs:
        idle = f", of it {size_text(packs.idle_size)} in {packs.idle} packs that hold nothing else"
        lines += [
            ("packs", f"{packs.packs}, {size_text(packs.size)}"),
            ("unused", f"{size_text(packs.unused)}{idle if packs.idle else ''}"),
        ]
        if forgotten:
            lines.append(("forgotten", f"{forgotten} snapshots, which keep some of what is unused"))
    for name, value in lines:
        voice.answer(f"{name:<13}  {value}")
    if sources:
        voice.answer("")
        _print_table(voice, sources)


def _print_table(voice: Voice, sources: Sequence[_Source]) -> None:
    """Print what each source comes to; its host where there are several, or for a script."""
    with_host = not voice.out.is_terminal or len({source.host for source in sources}) > 1
    shown = [at for at, column in enumerate(_COLUMNS) if with_host or column != "host"]
    voice.table(
        [_COLUMNS[at] for at in shown],
        [[row[at] for at in shown] for row in map(_row, sources)],
        right="snapshots entries size chunks stored",
        elastic="source host",
    )


def _row(source: _Source) -> tuple[str, ...]:
    usage = source.usage
    return (
        printable(source.name.encode()),
        source.host,
        str(usage.snapshots),
        str(usage.entries),
        size_text(usage.size),
        size_text(usage.unique),
        size_text(usage.stored),
    )


def _tell_json(
    voice: Voice,
    sources: Sequence[_Source],
    total: Usage,
    packs: PackUsage | None,
    forgotten: int,
) -> None:
    for source in sources:
        told = {"type": "source", "source": source.name, "host": source.host}
        voice.event(told | _usage_json(source.usage))
    summary = {"type": "summary"} | _usage_json(total)
    if packs:
        summary |= {
            "packs": packs.packs,
            "bytes_packs": packs.size,
            "bytes_unused": packs.unused,
            "idle_packs": packs.idle,
            "bytes_idle": packs.idle_size,
            "forgotten": forgotten,
        }
    voice.event(summary)


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "snapshots": usage.snapshots,
        "entries": usage.entries,
        "bytes": usage.size,
        "bytes_referred": usage.referred,
        "chunks": usage.chunks,
        "bytes_unique": usage.unique,
        "bytes_stored": usage.stored,
        "deduplication": round(usage.deduplication, 3),
        "compression": round(usage.compression, 3),
    }
