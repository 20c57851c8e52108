"""The sources of a unit: read while nobody writes to them, committed when all run again.

Before that they are read once while all still run. Of this nothing is committed, but what it has
stored need not be read and stored again: the window is as long as it takes to read what has changed
in the meantime, and the store, which may be slow, has proven that it takes what it is given.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from backup.engine import Helper, VolumesFrom
from backup.errors import BackupError, IntegrityError
from backup.job.storing import Failed, Outcome, Read, Storing, reader_of
from backup.quiesce.plan import Unit
from backup.quiesce.window import Downtime, Window, Windows
from backup.repository import SnapshotId
from backup.targets import Source, alone


def back_up_together(storing: Storing, unit: Unit, windows: Windows) -> Iterator[Outcome]:
    window = Window()
    with ExitStack() as helpers:
        readers, outcomes = _readers(storing, unit, helpers)
        hot = {source.name: _read_hot(storing, reader, source) for reader, source in readers}
        read: list[Read | Failed] = []
        try:
            if readers:
                with windows.window(unit) as window:
                    chosen = readers if window.skipped is None else []
                    for reader, source in chosen:
                        read.append(_read_again(storing, reader, source, hot[source.name]))
        except IntegrityError:
            raise
        except BackupError as error:
            read = [Failed(source.name, error) for _, source in readers]
    yield from outcomes
    if window.skipped is not None:
        windows.leave_out((source.name for source in unit.sources), window.skipped)
    yield from _committed(storing, read, tuple(window.downtimes))


def _readers(
    storing: Storing, unit: Unit, helpers: ExitStack
) -> tuple[list[tuple[Helper, Source]], list[Failed]]:
    """Start the helpers of a unit: nothing may stop for one that cannot start."""
    readers, failed = [], []
    waiting = list(unit.groups)
    while waiting:
        group = waiting.pop(0)
        try:
            reader = helpers.enter_context(reader_of(storing, group))
        except BackupError as error:
            if isinstance(group.mounts, VolumesFrom):  # as in back_up_group
                waiting[:0] = map(alone, group.sources)
            else:
                failed += [Failed(source.name, error) for source in group.sources]
        else:
            readers += [(reader, source) for source in group.sources]
    return readers, failed


def _read_hot(storing: Storing, reader: Helper, source: Source) -> Read | None:
    """Store what can be stored while all still run, so that less is to be read while they do
    not. Nothing of it is ever committed; where it fails, nothing is won."""
    storing.look_anew(time.monotonic())
    if storing.wishes.full:
        return None
    try:
        return storing.finished(storing.read_ahead(reader, source))
    except IntegrityError:
        raise
    except BackupError:
        return None


def _read_again(
    storing: Storing, reader: Helper, source: Source, hot: Read | None
) -> Read | Failed:
    """Read what has changed since the hot reading."""
    parent = storing.parent(source)
    if hot is not None:
        parent = SnapshotId(""), storing.record(hot)
    try:
        read = storing.read(reader, source, parent, storing.on_event)
    except IntegrityError:
        raise
    except BackupError as error:
        return Failed(source.name, error)
    return read if hot is None else read.after(hot)


def _committed(
    storing: Storing, read: Sequence[Read | Failed], downtimes: Sequence[Downtime]
) -> Iterator[Outcome]:
    for each in read:
        if isinstance(each, Failed):
            yield each.with_downtimes(downtimes)
        else:
            outcome = storing.guarded(each.source.name, partial(storing.commit, each))
            yield outcome.with_downtimes(downtimes)
