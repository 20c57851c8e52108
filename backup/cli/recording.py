"""Checks and prunes, written into the history like the runs of jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from backup.cli.context import Context, state_directory
from backup.errors import BackupError, ConfigError
from backup.history import History, Kind, Result, Run, SourceResult
from backup.job.run import new_run
from backup.job.runner import history_path
from transports.errors import TransportError


@dataclass(slots=True)
class Recording:
    """What a run comes to; as long as nobody says otherwise, it was interrupted."""

    result: Result = Result.FAILED
    message: str = "interrupted"
    found: SourceResult | None = None

    def end_well(self, message: str = "") -> None:
        """Say that all is well."""
        self.result, self.message = Result.OK, message


@contextmanager
def recording(context: Context, kind: Kind) -> Iterator[Recording]:
    """Write a run down, by the name of its repository in the configuration, or where that is.

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
    history.begin(run)
    try:
        yield recording
    except (BackupError, TransportError) as error:
        recording.message = str(error)
        raise
    finally:
        if recording.found is not None:
            history.add(run.id, recording.found)
        history.end(run.id, datetime.now(UTC), recording.result, recording.message)
