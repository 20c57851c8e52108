"""What the suites of stores share."""

from collections.abc import Iterator

import pytest

from tests.testbed import buckets
from transports.store.rclone import Daemon


@pytest.fixture(scope="session")
def rclone() -> Iterator[Daemon]:
    """One rclone for all tests; stores on it do not end it."""
    daemon = Shared(str(buckets.program("rclone")))
    yield daemon
    Daemon.close(daemon)


class Shared(Daemon):
    """A daemon that outlives its stores."""

    def close(self) -> None:
        """Leave it to the next store."""
