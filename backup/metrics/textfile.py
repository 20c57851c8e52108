"""Metrics as text, and in a file that a node exporter reads whenever it likes."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backup.config import Config
from backup.errors import BackupError
from backup.history import History
from backup.metrics.families import chore_families, families, history_family
from backup.status import chores, gather, judge, judge_chore
from transports.store import replace_file


class Jobs(Collector):
    """Collects how the jobs are at the time when somebody asks."""

    def __init__(self, read: Callable[[], Config], history: History, zone: tzinfo) -> None:
        self._read = read
        self._history = history
        self._zone = zone

    def collect(self) -> list[Metric]:
        """Return the families now. Raises BackupError."""
        now = datetime.now(UTC)
        found = self._read()
        facts = gather(found, self._history, {}, zone=self._zone, now=now)
        beside = chores(found, self._history, zone=self._zone, now=now)
        return [
            *families([judge(each, now) for each in facts], now),
            *chore_families([judge_chore(each, now) for each in beside]),
            history_family(self._history.aside()),
        ]


def exposed(found: Config, history: History, zone: tzinfo) -> bytes:
    """Return the metrics as Prometheus reads them. Raises BackupError."""
    return generate_latest(Jobs(lambda: found, history, zone))


def publish(found: Config, history: History, zone: tzinfo) -> Path | None:
    """Write the file that the configuration names, if it names one, at once and whole.

    Raises BackupError.
    """
    if found.metrics is None or found.metrics.textfile is None:
        return None
    path = Path(found.metrics.textfile)
    text = exposed(found, history, zone)
    try:
        replace_file(path, text, is_public=True)
    except OSError as error:
        raise BackupError(
            f"cannot write the metrics to {path}: {error.strerror}",
            hint="metrics.textfile names a file in the directory that the node exporter reads",
        ) from error
    return path
