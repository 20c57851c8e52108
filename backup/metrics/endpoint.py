"""Metrics over HTTP, for as long as the daemon lives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo

from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backup.config import Config
from backup.errors import BackupError, ConfigError
from backup.history import History
from backup.metrics.textfile import Jobs


class _Patient(Collector):
    """What can be told while the history cannot be read: that."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> list[Metric]:
        text = "1 where the history could be read, 0 where nothing more is told."
        try:
            found = self._jobs.collect()
        except BackupError:
            return [GaugeMetricFamily("voltar_up", text, 0)]
        return [GaugeMetricFamily("voltar_up", text, 1), *found]


@contextmanager
def serving(
    address: str, read: Callable[[], Config], history: History, zone: tzinfo
) -> Iterator[int]:
    """Answer at an address, HOST:PORT, and yield the port; `read` gives the configuration by then.

    Raises ConfigError where the address cannot be had.
    """
    host, port = _divided(address)
    try:
        server, thread = start_http_server(port, host, registry=_Patient(Jobs(read, history, zone)))
    except OSError as error:
        raise ConfigError(
            f"metrics.listen: cannot listen on {address}: {error.strerror}",
            hint="choose another port, or end what listens there: `ss -ltnp` shows it",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _divided(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"metrics.listen: expected HOST:PORT, got {address!r}",
            hint='write "127.0.0.1:9898", or "[::1]:9898"',
        )
    return host, int(port)
