"""From what the operator names to a snapshot.

3fa9c1…              an id, or a prefix of at least four characters
volume:NAME          the newest snapshot of a source, but for what is dated in the future
image:REF            the same, whether its registry and tag are written or not
volume:NAME@TIME     the newest up to then; a time without a zone is local, and a date
                     without a time is the end of that day

Forgotten snapshots are found by `find_id` only.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Final

from backup.engine.reference import Reference
from backup.errors import NoSuchSnapshot, RepositoryError, UsageError
from backup.repository import SHORT_ID, Repository, Snapshot, SnapshotId
from backup.repository.marker import forgotten
from backup.repository.timing import is_future

Found = tuple[SnapshotId, Snapshot]
_ID: Final = re.compile(r"[0-9a-f]{4,64}")
_TOO_SHORT: Final = re.compile(r"[0-9a-f]{1,3}")
_SHORT_NAME: Final = re.compile(r"(volume:)?[0-9a-f]{12}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def find_snapshot(repository: Repository, text: str, *, host: str | None = None) -> Found:
    """Return the snapshot that `text` names; of several hosts' volumes of one name, that of `host`.

    Raises NoSuchSnapshot, UsageError, and IntegrityError where something may be hidden by damage.
    """
    hidden = None
    if _ID.fullmatch(text):
        found = _beginning(repository.snapshot_ids(), text)
        if found is not None and not _is_hidden(repository, found):
            _demand_one_meaning(repository, text, found)
            return found, repository.snapshot(found)
        hidden = found
    every, damaged = repository.readable()
    if damaged:
        raise type(damaged[0])(
            str(damaged[0]), hint="name a snapshot by its id: `voltar snapshots` shows what is left"
        ) from damaged[0]
    source, limit = text, None
    matches = _of_source(every, text)
    if not matches and "@" in text:
        source, _, when = text.rpartition("@")
        limit = parse_time(when)
        matches = _of_source(every, source)
    if not matches and hidden is not None:
        shown = hidden[:SHORT_ID]
        raise NoSuchSnapshot(
            f"snapshot {shown} was forgotten",
            hint=f"`voltar unforget {shown}` brings it back, for a day",
        )
    if not matches:
        raise _nothing_called(text)
    matches = _of_one_host(matches, text, host)
    return _newest(matches, repository.clock()) if limit is None else _up_to(limit, matches, source)


def _nothing_called(text: str) -> NoSuchSnapshot:
    if text.startswith("container:"):
        return NoSuchSnapshot(
            f"no snapshot is called {text!r}: of a container, each volume has one of its own",
            hint="`voltar snapshots` shows them; each is restored by its own name, volume:NAME",
        )
    more = "; of an id, at least four characters are needed" * bool(_TOO_SHORT.fullmatch(text))
    return NoSuchSnapshot(
        f"no snapshot is called {text!r}", hint=f"`voltar snapshots` shows what there is{more}"
    )


def find_id(snapshot_ids: Sequence[SnapshotId], text: str) -> SnapshotId:
    """Return the one of some ids that begins with `text`. Raises NoSuchSnapshot, UsageError."""
    if not _ID.fullmatch(text):
        raise UsageError(
            f"{text!r} is no snapshot's id",
            hint="write an id, or at least four of its first characters: 3fa9c1d2e0",
        )
    found = _beginning(snapshot_ids, text)
    if found is None:
        raise NoSuchSnapshot(
            f"no snapshot's id begins with {text!r}", hint="`voltar snapshots` shows what there is"
        )
    return found


def source_name(source: str) -> str:
    """Return a source's name as snapshots have it: that of an image is written in several ways."""
    kind, _, name = source.partition(":")
    if kind != "image":
        return source
    try:
        return f"image:{Reference.parse(name).familiar}"
    except UsageError:
        return source


def _newest(matches: list[Found], now: datetime) -> Found:
    past = [item for item in matches if not is_future(item[1].time, now)]
    return (past or matches)[-1]


def _up_to(limit: datetime, matches: list[Found], source: str) -> Found:
    before = [item for item in matches if item[1].time <= limit]
    if not before:
        oldest = matches[0][1].time.astimezone().isoformat(timespec="seconds")
        raise NoSuchSnapshot(f"{source} has no snapshot so old; the oldest is of {oldest}")
    return before[-1]


def _demand_one_meaning(repository: Repository, text: str, snapshot_id: SnapshotId) -> None:
    """Raise UsageError where a few characters of an id are the name of another volume, too."""
    if len(text) >= SHORT_ID:
        return
    every, _ = repository.readable()
    if any(found != snapshot_id for found, _ in _of_source(every, text)):
        raise UsageError(
            f"{text!r} is the name of a volume, and how the id of another one's snapshot begins",
            hint=f"write volume:{text}, or more of the id: {snapshot_id[:SHORT_ID]}",
        )


def _of_source(every: list[Found], source: str) -> list[Found]:
    source = source_name(source)
    found = [item for item in every if item[1].is_of(source)]
    if found or not _SHORT_NAME.fullmatch(source):
        return found
    # as anonymous volumes are shown where there is no room for all of their name
    long = [item for item in every if item[1].source.startswith(f"volume:{source[-12:]}")]
    return long if len({item[1].source for item in long}) == 1 else []


def _beginning(snapshot_ids: Sequence[SnapshotId], prefix: str) -> SnapshotId | None:
    ids = [found for found in snapshot_ids if found.startswith(prefix)]
    if len(ids) > 1:
        shown = ", ".join(sorted(found[: max(SHORT_ID, len(prefix) + 2)] for found in ids)[:4])
        raise NoSuchSnapshot(f"{len(ids)} snapshots begin with {prefix!r}: {shown}")
    return ids[0] if ids else None


def _is_hidden(repository: Repository, snapshot_id: SnapshotId) -> bool:
    try:
        return forgotten(repository.store, repository.keys, snapshot_id) is not None
    except RepositoryError:
        return False  # a marker that is damaged hides nothing


def _of_one_host(matches: list[Found], text: str, host: str | None) -> list[Found]:
    hosts = sorted({snapshot.host for _, snapshot in matches})
    if len(hosts) == 1:
        return matches
    if host in hosts:
        return [item for item in matches if item[1].host == host]
    raise NoSuchSnapshot(
        f"{text!r} is on several hosts: {', '.join(hosts)}",
        hint="give the snapshot's id; `voltar snapshots` shows the hosts",
    )


def parse_time(text: str) -> datetime:
    """Return the time that is written; a date alone is the end of that day. Raises UsageError."""
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time.max).astimezone()
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time", hint="write 2026-11-25, or 2026-11-25T03:00"
        ) from error
