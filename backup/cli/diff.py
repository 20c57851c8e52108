"""voltar diff"""

import os
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from backup.cli.console import Voice, size_text
from backup.cli.context import Context
from backup.cli.snapshots import date_text
from backup.diff import Diff, Difference, Sum
from backup.inventory import Node, inventory
from backup.listing import KIND_NAMES
from backup.lookup import find_snapshot
from backup.paths import printable

_SNAPSHOT_HELP: Final = "An id, volume:NAME, or volume:NAME@TIME."
_VALUES: Final[dict[str, Callable[[Node], str]]] = {
    "type": lambda node: KIND_NAMES.get(node.kind, "broken hard link"),
    "size": lambda node: str(node.size),
    "link": lambda node: printable(node.link),
    "mode": lambda node: f"{node.mode:04o}",
    "owner": lambda node: f"{node.uid}:{node.gid}",
    "mtime": lambda node: date_text(node.mtime_ns // 10**9),
}


def diff(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=_SNAPSHOT_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same: what A is compared with.")],
    *,
    ignore_times: Annotated[
        bool, typer.Option("--ignore-times", help="Another mtime alone is no difference.")
    ] = False,
) -> None:
    """Tell which entries of two snapshots differ, and in what.

    Examples: voltar diff volume:pgdata@2026-11-01 volume:pgdata · voltar diff 3fa9c1 8bd2e1

    Files of one size that are stored differently are read and compared; the exit code is 0 whether
    or not anything differs.
    """
    context: Context = ctx.obj
    repository = context.open()
    first_id, before = find_snapshot(repository, first)
    second_id, after = find_snapshot(repository, second)
    found = Diff(repository, times=not ignore_times)
    nodes = (inventory(repository, before), inventory(repository, after))
    for difference in found.differences(*nodes):
        _tell(context.voice, difference)
    if context.voice.as_json:
        told = {"type": "summary", "before": first_id, "after": second_id}
        context.voice.event(told | _counts(found))
    else:
        context.voice.answer(_sentence(found))


def _tell(voice: Voice, difference: Difference) -> None:
    if voice.as_json:
        voice.event(_as_json(difference))
    else:
        voice.answer(_line(difference))


def _change(difference: Difference) -> str:
    if difference.before is None:
        return "added"
    return "removed" if difference.after is None else "changed"


def _line(difference: Difference) -> str:
    node = difference.after or difference.before
    name = printable(difference.path) or "."
    if difference.path and node is not None and node.kind == "d":
        name += "/"
    line = f"{_change(difference):<7}  {name}"
    if difference.before is None or difference.after is None:
        is_file = node is not None and node.kind == "f"
        return f"{line}  {size_text(node.size)}" if node is not None and is_file else line
    return f"{line}  {_properties(difference, difference.before, difference.after)}"


def _properties(difference: Difference, before: Node, after: Node) -> str:
    """Say what has changed, and from what to what where that is short."""
    said = []
    for what in difference.what:
        if what == "attributes":
            said += [printable(os.fsencode(name)) for name in difference.attributes]
            continue
        old, new = _value(what, before), _value(what, after)
        said.append(f"{what} {old} -> {new}" if old != new else what)
    return ", ".join(said)


def _value(what: str, node: Node) -> str:
    """Return a property that a few words can tell, or nothing."""
    show = _VALUES.get(what)
    return show(node) if show else ""


def _sentence(found: Diff) -> str:
    def counted(count: Sum, word: str) -> str:
        return f"{count.entries} {word} ({size_text(count.size)})"

    return (
        f"{counted(found.added, 'added')}, {counted(found.removed, 'removed')}, "
        f"{counted(found.changed, 'changed')}, {found.unchanged} the same"
    )


def _counts(found: Diff) -> dict[str, int]:
    return {
        "added": found.added.entries,
        "removed": found.removed.entries,
        "changed": found.changed.entries,
        "unchanged": found.unchanged,
        "bytes_added": found.added.size,
        "bytes_removed": found.removed.size,
        "bytes_changed": found.changed.size,
    }


def _as_json(difference: Difference) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "difference",
        "path": printable(difference.path),
        "change": _change(difference),
    }
    if difference.what:
        told["what"] = list(difference.what)
    if difference.attributes:
        told["attributes"] = [printable(os.fsencode(name)) for name in difference.attributes]
    return told | {
        "before": _node_json(difference.before),
        "after": _node_json(difference.after),
    }


def _node_json(node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    return {
        "type": node.kind,
        "mode": f"{node.mode:04o}",
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size,
        "mtime_ns": node.mtime_ns,
        "link": printable(node.link) if node.kind == "l" else None,
    }
