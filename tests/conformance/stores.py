"""The stores that must keep the promises of transports.store. A new kind joins HOMES."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from tests.memory_store import MemoryStore
from tests.testbed import buckets
from tests.testbed.gate import Gate
from tests.testbed.sshd import Sshd
from transports.ssh import Options
from transports.store import Settings, Store
from transports.store.file import FileStore
from transports.store.object import open_s3
from transports.store.place import parse_place
from transports.store.rclone import Daemon, RcloneStore
from transports.store.retrying import Retrying
from transports.store.sftp import SftpStore
from transports.store.throttled import Allowance, Throttled


@dataclass(frozen=True, slots=True)
class Home:
    """A store whose place is not there yet; `prepare` makes what its `create` does not."""

    store: Store
    prepare: Callable[[], object] = lambda: None


def in_bucket(server: buckets.BucketServer, directory: Path) -> Home:
    """A store in a bucket of a server."""
    bucket = f"bucket-{secrets.token_hex(6)}"
    return Home(through(server.port, bucket, directory), lambda: server.make(bucket))


def behind(gate: Gate, request: pytest.FixtureRequest, directory: Path) -> Home:
    """A store in a bucket of moto's, behind a gate that ends with the test."""
    request.addfinalizer(gate.close)
    bucket = f"bucket-{secrets.token_hex(6)}"
    moto = request.getfixturevalue("moto")
    return Home(through(gate.port, bucket, directory), lambda: moto.make(bucket))


def through(port: int, bucket: str, directory: Path) -> Store:
    """A store in a bucket of the server at a port, or behind it."""
    query = f"endpoint=http://127.0.0.1:{port}&region=us-east-1&profile=testbed"
    place = parse_place("s3", f"//{bucket}/some/prefix?{query}")
    return open_s3(place, Settings(environ=with_keys(directory)))


def with_keys(directory: Path) -> dict[str, str]:
    """An environment by which S3 clients find the test bed's keys, as the profile `testbed`."""
    file = directory / "credentials"
    keys = (buckets.ACCESS_KEY, buckets.SECRET_KEY)
    file.write_text("[testbed]\naws_access_key_id = {}\naws_secret_access_key = {}\n".format(*keys))
    return {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": "/nonexistent"}


def on_remote(daemon: Daemon, directory: Path) -> Home:
    """A store that rclone reaches: a directory of this machine."""
    return Home(RcloneStore(f"{directory}/far", daemon))


def on_host(host: Sshd, directory: Path, options: Options | None = None) -> Home:
    """A store in the home of who logs in at a host."""
    config = host.config_for(directory / "home")
    told = options or Options()
    place = f"store-{secrets.token_hex(6)}"
    return Home(SftpStore("ssh://far", f"{host.far.home}/{place}", replace(told, config=config)))


def patient(store: Store) -> Store:
    """The store with retries that do not wait."""
    return Retrying(store, on_retry=lambda _error, _wait_s: None, stop=Hasty())


class Hasty(threading.Event):
    """For whom no wait takes time."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def patiently(home: Home) -> Home:
    """The same, patiently."""
    return Home(patient(home.store), home.prepare)


def limited(store: Store) -> Store:
    """The store with limits that nothing reaches."""
    return Throttled(store, Allowance(1 << 40), Allowance(1 << 40))


HOMES: Final[dict[str, Callable[[pytest.FixtureRequest, Path], Home]]] = {
    "file": lambda _, directory: Home(FileStore(directory / "store")),
    "memory": lambda _request, _directory: Home(MemoryStore()),
    "object": lambda request, directory: in_bucket(request.getfixturevalue("moto"), directory),
    # it sends half of an object that is being written, and we say so: trying again helps
    "object-quirky": lambda request, directory: patiently(
        in_bucket(request.getfixturevalue("rclone_s3"), directory)
    ),
    "object-without-conditions": lambda request, directory: behind(
        Gate(request.getfixturevalue("moto").port, no_conditions=True), request, directory
    ),
    "object-without-ranges": lambda request, directory: behind(
        Gate(request.getfixturevalue("moto").port, no_ranges=True), request, directory
    ),
    "rclone": lambda request, directory: on_remote(request.getfixturevalue("rclone"), directory),
    "retrying": lambda request, directory: patiently(
        in_bucket(request.getfixturevalue("moto"), directory)
    ),
    "sftp": lambda request, directory: on_host(request.getfixturevalue("sftp_server"), directory),
    "sftp-plain": lambda request, directory: on_host(
        request.getfixturevalue("plain_sftp_server"), directory
    ),
    "throttled": lambda _, directory: Home(limited(FileStore(directory / "store"))),
}
