"""voltar tag, voltar pin, voltar unpin"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from backup.cli.console import Voice, local_text
from backup.cli.context import Context
from backup.cli.policy import demand_tags
from backup.errors import NoSuchSnapshot, UsageError
from backup.lookup import find_id, find_snapshot
from backup.repository import SHORT_ID, Recorded, Repository, catalog

_Snapshots = Annotated[
    list[str],
    typer.Argument(metavar="SNAPSHOT", help="An id, volume:NAME, or volume:NAME@TIME."),
]


def pin(ctx: typer.Context, snapshots: _Snapshots) -> None:
    """Protect snapshots: whatever a policy says, they are kept.

    Examples: voltar pin 3fa9c1d2e0 · voltar pin volume:pgdata@2026-11-25
    """
    _pin(ctx.obj, snapshots, pinned=True)


def unpin(ctx: typer.Context, snapshots: _Snapshots) -> None:
    """Take the protection of a pin away.

    Example: voltar unpin 3fa9c1d2e0
    """
    _pin(ctx.obj, snapshots, pinned=False)


def tag(
    ctx: typer.Context,
    snapshots: _Snapshots,
    *,
    add: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Add a tag.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Take a tag away, if it is there.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TAG", help="Have these tags and no others; '' for none."),
    ] = None,
) -> None:
    """Change the tags of snapshots, which keep their ids.

    Examples: voltar tag 3fa9c1d2e0 --add before-upgrade · voltar tag volume:pgdata --set ''
    """
    if not (add or remove or replace):
        raise UsageError("nothing is to be changed", hint="--add TAG, --remove TAG or --set TAG")
    if replace and (add or remove):
        raise UsageError("--set says all tags: it does not go with --add and --remove")
    demand_tags([*(add or ()), *filter(None, replace or ())])
    context: Context = ctx.obj
    repository = context.open()
    changed = []
    for each in _found(repository, snapshots):
        before = each.snapshot.tags if replace is None else replace
        tags = sorted(({*before, *(add or ())} - set(remove or ())) - {""})
        if tags != each.snapshot.tags:
            catalog.annotate(repository, each, datetime.now(UTC), tags=tags)
        changed.append((each, tags))
    _tell_tags(context.voice, changed)


def _tell_tags(voice: Voice, changed: Sequence[tuple[Recorded, list[str]]]) -> None:
    if voice.as_json:
        snapshots = [{"id": each.id, "tags": tags} for each, tags in changed]
        voice.event({"type": "summary", "snapshots": snapshots})
        return
    for each, tags in changed:
        voice.answer(f"{each.id[:SHORT_ID]} {each.snapshot.source}: {', '.join(tags) or 'no tags'}")


def _pin(context: Context, texts: Sequence[str], *, pinned: bool) -> None:
    repository, voice = context.open(), context.voice
    texts = texts if pinned else _unpin_damaged(voice, repository, texts)
    found = list(_found(repository, texts))
    changed = [each for each in found if each.pinned != pinned]
    for each in changed:
        catalog.annotate(repository, each, datetime.now(UTC), pinned=pinned)
    what = "pinned" if pinned else "unpinned"
    done = found if pinned else changed
    if voice.as_json:
        voice.event({"type": "summary", "what": what, "snapshots": [each.id for each in done]})
        return
    for each in found:
        time = local_text(each.snapshot.time)
        told = what if each in done else "was not pinned:"
        voice.answer(f"{told} {each.id[:SHORT_ID]} {each.snapshot.source} {time}")
    _tell_pinned(voice, repository, {each.snapshot.source for each in found if each not in done})


def _tell_pinned(voice: Voice, repository: Repository, sources: set[str]) -> None:
    """Name what is pinned of some sources, for those who meant one of these."""
    pins = [each for each in repository.recorded()[0] if each.pinned] if sources else []
    for source in sorted(sources):
        pinned = [each.id[:SHORT_ID] for each in pins if each.snapshot.source == source]
        voice.say(f"pinned of {source}: {', '.join(pinned) or 'none'}")


def _unpin_damaged(voice: Voice, repository: Repository, texts: Sequence[str]) -> list[str]:
    """Unpin those named by their ids whose records cannot be read; return the other names."""
    readable = {each.id for each in repository.recorded()[0]}
    every = repository.snapshot_ids()
    others = []
    for text in texts:
        try:
            snapshot_id = find_id(every, text)
        except (NoSuchSnapshot, UsageError):
            snapshot_id = None
        if snapshot_id is None or snapshot_id in readable:
            others.append(text)
            continue
        was = catalog.unpin(repository, snapshot_id)
        if voice.as_json:
            voice.event({"type": "damaged", "snapshot": snapshot_id, "unpinned": was})
        else:
            done = "unpinned" if was else "was not pinned:"
            voice.answer(f"{done} {snapshot_id[:SHORT_ID]}, which is damaged")
    return others


def _found(repository: Repository, texts: Sequence[str]) -> Iterator[Recorded]:
    """Yield the snapshots that are named, each once; all are found before any is changed."""
    ids = {find_snapshot(repository, text)[0] for text in texts}
    yield from [each for each in repository.recorded()[0] if each.id in ids]
