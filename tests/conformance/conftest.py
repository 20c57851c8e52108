"""What the stores of this suite share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import buckets
from tests.testbed.sshd import Sshd
from transports.store.rclone import Daemon


@pytest.fixture(scope="session")
def rclone(run_directory: Path) -> Iterator[Daemon]:
    """One rclone for all tests; stores on it do not end it."""
    daemon = Shared(str(buckets.program("rclone")))
    yield daemon
    Daemon.close(daemon)


class Shared(Daemon):
    """A daemon that outlives its stores."""

    def close(self) -> None:
        """Leave it to the next store."""


@pytest.fixture(scope="session")
def plain_sftp_server(run_directory: Path) -> Iterator[Sshd]:
    """One that knows SFTP as it was written down, and nothing of OpenSSH's additions."""
    denied = "fsync,hardlink,posix-rename,statvfs,fstatvfs,limits,lsetstat,expand-path"
    options = [f"ForceCommand internal-sftp -P {denied}"]
    with Sshd(run_directory, options=options) as host:
        yield host
