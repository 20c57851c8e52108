"""Checks and prunes, written into the history and told like the runs of jobs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from backup.cli.bell import bell
from backup.cli.configured import code_of, zone_of_told
from backup.cli.context import Context, state_directory
from backup.cli.places import config_path
from backup.config import load
from backup.errors import BackupError, ConfigError
from backup.history import History, Kind, Result, Run, SourceResult
from backup.job.run import new_run
from backup.job.runner import history_path, publish
from backup.notify import Ended
from transports.errors import TransportError


@dataclass(slots=True)
class Recording:
    """What a run comes to; as long as nobody says otherwise, it was interrupted."""

    result: Result = Result.FAILED
    message: str = "interrupted"
    found: SourceResult | None = None
    code: int | None = None

    def end_well(self, message: str = "") -> None:
        """Say that all is well."""
        self.result, self.message = Result.OK, message

    def end_badly(self, code: int, message: str) -> None:
        """Say that something is wrong, though the work could be done."""
        self.code, self.message = code, message


@contextmanager
def recording(context: Context, kind: Kind) -> Iterator[Recording]:
    """Write a run down, by the name of its repository in the configuration, or where that is; of
    one that is named there, tell whoever the configuration wants to be told.

    It is opened within, for one that does not answer is known then. Raises NotARepository.
    """
    recording, place = Recording(), context.place()
    try:
        history = History(history_path(state_directory()), context.voice.warn)
    except ConfigError:  # who has no place for a history has none
        yield recording
        return
    run = Run(
        id=new_run(),
        kind=kind,
        job=place.name or place.location,
        started=datetime.now(UTC),
    )
    found = None if place.name is None else load(config_path(context.config))
    told = None if found is None else bell(context, found)
    history.begin(run)
    try:
        if told is not None:
            told.started(_subject(run))
        yield recording
    except (BackupError, TransportError) as error:
        recording.message = str(error)
        raise
    finally:
        if recording.found is not None:
            history.add(run.id, recording.found)
        history.end(run.id, datetime.now(UTC), recording.result, recording.message)
        if found is not None and told is not None:
            publish(found, history, zone_of_told(), context.voice.warn)
            told.ended(_ended(run, recording))


def _subject(run: Run) -> str:
    return f"{run.kind.value} {run.job}"


def _ended(run: Run, recording: Recording) -> Ended:
    """What others are told; called while what has ended the run is on its way."""
    message = recording.message and f": {recording.message}"
    code = recording.code
    return Ended(
        subject=_subject(run),
        run=run.id,
        wrong=recording.result is not Result.OK,
        code=code_of(recording.result, sys.exception()) if code is None else code,
        lines=(f"{_subject(run)}: {recording.result.value}{message}",),
    )
