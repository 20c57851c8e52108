"""Servers that the stores of this suite share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.sshd import Sshd


@pytest.fixture(scope="session")
def sftp_server(run_directory: Path) -> Iterator[Sshd]:
    """An sshd on this machine."""
    with Sshd(run_directory) as host:
        yield host


@pytest.fixture(scope="session")
def plain_sftp_server(run_directory: Path) -> Iterator[Sshd]:
    """One that knows SFTP as it was written down, and nothing of OpenSSH's additions."""
    denied = "fsync,hardlink,posix-rename,statvfs,fstatvfs,limits,lsetstat,expand-path"
    options = [f"ForceCommand internal-sftp -P {denied}"]
    with Sshd(run_directory, options=options) as host:
        yield host
