"""What the suites of stores share."""

import os
from collections.abc import Iterator

import pytest

from tests.testbed import buckets
from transports.store.rclone import Daemon


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own AWS settings is seen."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


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
