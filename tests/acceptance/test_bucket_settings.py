"""What docs/hosts.md says of buckets: where keys, regions, endpoints and certificates come from."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli import COMMAND, Voltar
from tests.testbed import buckets
from tests.testbed.certificates import certificate, issued
from tests.testbed.command import attempt
from tests.testbed.gate import Portal
from tests.testbed.metadata import Metadata

KEYS = {"AWS_ACCESS_KEY_ID": buckets.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": buckets.SECRET_KEY}
IN_FILE = (
    f"aws_access_key_id = {buckets.ACCESS_KEY}\naws_secret_access_key = {buckets.SECRET_KEY}\n"
)
CONTAINER = "token-of-a-container"


@pytest.fixture
def alone(tmp_path: Path) -> Voltar:
    """The command of somebody who has no engine, no repository and no keys."""
    (home := tmp_path / "home").mkdir()
    return Voltar(url="unix:///nonexistent", repository=None, home=home)


@pytest.fixture
def bucket(moto: buckets.BucketServer) -> str:
    """A new bucket of moto's."""
    name = f"bucket-{secrets.token_hex(6)}"
    moto.make(name)
    return name


@pytest.fixture
def sent(alone: Voltar) -> Callable[..., dict[str, str]]:
    """sent(environment, "?profile=x"): the headers by which voltar would ask for a bucket."""

    def sent(
        environment: dict[str, str], query: str = "", *, at: str = "endpoint={}"
    ) -> dict[str, str]:
        with Portal(b"") as portal:
            url = f"http://127.0.0.1:{portal.port}"
            where = f"s3://bucket/x?{at.format(url)}{query}"
            alone.changed(repository=where, more=environment)("init", code=1)
            return portal.seen[0]

    return sent


def files(alone: Voltar, config: str, credentials: str) -> None:
    """Write the shared files of the AWS tools."""
    (alone.home / ".aws").mkdir()
    (alone.home / ".aws" / "config").write_text(config)
    (alone.home / ".aws" / "credentials").write_text(credentials)


def test_keys_come_from_where_the_aws_tools_look_in_their_order(alone, sent):
    files(
        alone,
        "[default]\nregion = eu-west-1\n[profile work]\nregion = eu-north-1\n",
        "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = s\n"
        "[work]\naws_access_key_id = AKWORK\naws_secret_access_key = s\naws_session_token = tok\n",
    )
    environment = {"AWS_ACCESS_KEY_ID": "AKENVIRON", "AWS_SECRET_ACCESS_KEY": "s"}

    default = sent({})
    chosen = sent({"AWS_PROFILE": "work"})
    variables = sent(environment | {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "other"})
    named = sent(environment | {"AWS_SESSION_TOKEN": "other"}, "&profile=work&region=us-west-2")

    assert scope(default) == ("AKDEFAULT", "eu-west-1")
    assert (scope(chosen), chosen["x-amz-security-token"]) == (("AKWORK", "eu-north-1"), "tok")
    assert scope(variables) == ("AKENVIRON", "eu-north-1")
    assert variables["x-amz-security-token"] == "other"
    assert (scope(named), named["x-amz-security-token"]) == (("AKWORK", "us-west-2"), "tok")


def scope(headers: dict[str, str]) -> tuple[str, str]:
    """Whose key signed a request, and for which region."""
    key, _, region, *_ = headers["authorization"].partition("Credential=")[2].split("/")
    return key, region


@pytest.mark.parametrize("who", ["instance", "container"])
def test_keys_come_from_the_machine_where_nothing_else_has_any(alone, sent, who, tmp_path):
    (tmp_path / "token").write_text(CONTAINER)
    with Metadata("AKMACHINE", "s", "tok", authorization=CONTAINER) as service:
        environment = {
            "instance": {"AWS_METADATA_ENDPOINT": service.url},
            "container": {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
            },
        }[who]

        headers = sent(environment, "&region=us-east-1")

    assert scope(headers) == ("AKMACHINE", "us-east-1")
    assert headers["x-amz-security-token"] == "tok"


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_token_that_no_request_can_carry_is_said_so(alone, where, tmp_path):
    (tmp_path / "token").write_text("token\n")
    more = {
        "file": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
        },
        "variable": {**KEYS, "AWS_SESSION_TOKEN": "token\n"},
    }[where]
    where = "s3://bucket/x?endpoint=http://127.0.0.1:1&region=us-east-1"

    result = alone.changed(repository=where, more=more)("init", code=1)

    assert "the client for buckets cannot make the request" in result.err
    assert "hint: is there a line end" in result.err


@pytest.fixture(scope="module")
def protected(
    tmp_path_factory: pytest.TempPathFactory, pool: object
) -> Iterator[buckets.BucketServer]:
    """An S3 server that speaks TLS; an authority of its own has signed for it."""
    directory = tmp_path_factory.mktemp("protected")
    authority, own, key = issued(directory, "127.0.0.1")
    with buckets.moto(directory, (own, key, authority)) as server:
        yield server


def test_a_private_authority_is_trusted_when_it_is_named(alone, protected, tmp_path):
    protected.make("bucket-private")
    own = protected.log.parent / "authority.pem"
    (tmp_path / "other").mkdir()
    other, *_ = issued(tmp_path / "other", "127.0.0.1")
    voltar = alone.changed(
        repository="s3://bucket-private/x", more={**KEYS, "AWS_ENDPOINT_URL": protected.endpoint}
    )

    for bundle in ({}, {"AWS_CA_BUNDLE": str(other)}):
        refused = voltar.changed(more=bundle)("--json", "init", code=1)

        assert refused.error["message"].endswith("the server's certificate is not trusted")
        assert "AWS_CA_BUNDLE" in refused.error["hint"]
        assert refused.seconds < 10

    voltar.changed(more={"AWS_CA_BUNDLE": str(own)})("init")


def test_a_server_that_shows_the_certificate_of_an_authority_is_refused(alone, tmp_path):
    """What `openssl req -x509` makes where nothing else is said; the client takes none of these."""
    pair = certificate(tmp_path, "127.0.0.1")
    with buckets.moto(tmp_path, (*pair, pair[0])) as server:
        where = f"s3://bucket/x?endpoint={server.endpoint}&region=us-east-1"
        more = {**KEYS, "AWS_CA_BUNDLE": str(pair[0])}

        result = alone.changed(repository=where, more=more)("--json", "init", code=1)

    assert "the certificate of an authority" in result.error["message"]
    assert "CA:FALSE" in result.error["hint"]


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["none", "empty", "text"])
def test_a_bundle_without_certificates_is_refused(alone, tmp_path, content):
    if content is not None:
        (tmp_path / "bundle").write_bytes(content)
    more = {**KEYS, "AWS_CA_BUNDLE": str(tmp_path / "bundle")}
    voltar = alone.changed(repository="s3://bucket/x?endpoint=https://127.0.0.1:1", more=more)

    result = voltar("--json", "init", code=1)

    assert str(tmp_path / "bundle") in result.error["message"]
    assert "AWS_CA_BUNDLE" in result.error["message"]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_only_the_url_may_name_an_endpoint_without_tls(alone, moto, bucket, variable):
    more = {**KEYS, variable: moto.endpoint, "AWS_REGION": "us-east-1"}
    voltar = alone.changed(repository=f"s3://{bucket}/x", more=more)

    refused = voltar("--json", "init", code=1)

    assert "plain http" in refused.error["message"]
    assert "?endpoint=http://" in refused.error["hint"]
    voltar.changed(repository=f"s3://{bucket}/x?endpoint={moto.endpoint}")("init")


def test_a_bucket_may_be_in_the_name_of_the_host(alone, moto, bucket, tmp_path):
    url = f"s3://{bucket}/x?endpoint=http://objects.example:{moto.port}&region=us-east-1"
    voltar = alone.changed(repository=f"{url}&path-style=false", more=KEYS)
    (tmp_path / "hosts").write_text(f"127.0.0.1 {bucket}.objects.example\n")
    known = f'mount --bind "$0" /etc/hosts && exec {COMMAND} init'

    done = attempt(
        ["unshare", "--mount", "sh", "-c", known, tmp_path / "hosts"], env=voltar.environment
    )

    assert done.returncode == 0, done
    found = voltar.changed(repository=f"s3://{bucket}/x?endpoint={moto.endpoint}")
    assert found.ask("snapshots") == []
