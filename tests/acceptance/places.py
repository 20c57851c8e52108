"""Repositories behind a proxy, for tests that need no engine: in a bucket, on a host, by rclone."""

import secrets
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.cli import Voltar
from tests.conformance.stores import with_keys
from tests.testbed import buckets
from tests.testbed.proxy import Proxy
from transports.ssh import Options
from transports.store import Settings, open_store


@dataclass(frozen=True)
class Place:
    """The command with a repository that is reached through a proxy."""

    kind: str
    voltar: Voltar
    proxy: Proxy


def put_there(made: Path, voltar: Voltar) -> None:
    """Put a repository that was made before where this one is to be."""
    settings = Settings(
        environ=voltar.environment, ssh=Options(config=voltar.home / ".ssh" / "config")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCLONE_CONFIG", voltar.environment.get("RCLONE_CONFIG", "/dev/null"))
        with closing(open_store(str(voltar.repository), settings)) as store:
            store.create()
            for file in made.rglob("*"):
                if file.is_file():
                    store.put(str(file.relative_to(made)), file.read_bytes())


def in_bucket(alone, moto, proxy, directory):
    bucket = f"bucket-{secrets.token_hex(6)}"
    moto.make(bucket)
    where = f"endpoint=http://127.0.0.1:{proxy.port}&region=us-east-1&profile=testbed"
    return alone.changed(repository=f"s3://{bucket}/one?{where}", more=with_keys(directory))


def on_host(alone, sshd, proxy, directory):
    sshd.config_for(alone.home, port=proxy.port)
    return alone.changed(repository=f"sftp://far/~/{secrets.token_hex(6)}")


def behind_rclone(alone, moto, proxy, directory):
    bucket = f"bucket-{secrets.token_hex(6)}"
    moto.make(bucket)
    (directory / "rclone.conf").write_text(
        "[far]\ntype = s3\nprovider = Other\nregion = us-east-1\nno_check_bucket = true\n"
        f"endpoint = http://127.0.0.1:{proxy.port}\naccess_key_id = {buckets.ACCESS_KEY}\n"
        f"secret_access_key = {buckets.SECRET_KEY}\n"
    )
    more = {"RCLONE_CONFIG": str(directory / "rclone.conf")}
    return alone.changed(repository=f"rclone:far:{bucket}", more=more)


REPOSITORIES = {"s3": in_bucket, "sftp": on_host, "rclone": behind_rclone}
