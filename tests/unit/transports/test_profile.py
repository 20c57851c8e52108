"""Profiles of the AWS tools: which keys are taken, from where, and what is said of those that
cannot be."""

from datetime import UTC, datetime

import pytest

from transports.errors import Refused
from transports.store import Settings, open_store
from transports.store.object.profile import find_profile

CREDENTIALS = """
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key = default-secret

[work]
aws_access_key_id = AKWORK
aws_secret_access_key = work-secret
aws_session_token = work-token

[half]
aws_access_key_id = AKHALF
"""
CONFIG = """
[default]
region = eu-central-1

[profile work]
region = us-west-2
endpoint_url = https://s3.example.org
s3 =
    addressing_style = path

[profile sso]
sso_session = corp
sso_account_id = 1

[profile program]
credential_process = /bin/keys

[profile nothing]
region = x
"""


@pytest.fixture
def environ(tmp_path):
    """Somebody's home with both files."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws/config").write_text(CONFIG)
    return {"HOME": str(tmp_path)}


def keys(profile):
    assert profile.provider is not None
    return profile.provider()["access_key_id"], profile.provider().get("token")


@pytest.mark.parametrize(
    ("named", "more", "key", "region"),
    [
        (None, {}, "AKDEFAULT", "eu-central-1"),
        ("work", {}, "AKWORK", "us-west-2"),
        (None, {"AWS_PROFILE": "work"}, "AKWORK", "us-west-2"),
        ("default", {"AWS_PROFILE": "work"}, "AKDEFAULT", "eu-central-1"),
        ("work", {"AWS_ACCESS_KEY_ID": "AKENV"}, "AKWORK", "us-west-2"),
    ],
)
def test_the_profile_that_was_named_is_taken(environ, named, more, key, region):
    profile = find_profile(named, environ | more)

    assert keys(profile)[0] == key
    assert profile.region == region


def test_keys_of_the_environment_go_before_a_profile_of_the_environment(environ):
    profile = find_profile(None, environ | {"AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "work"})

    assert profile.provider is None
    assert profile.region == "us-west-2"


def test_a_session_token_comes_with_its_keys_and_no_other_does(environ):
    assert keys(find_profile("work", environ)) == ("AKWORK", "work-token")
    assert keys(find_profile("default", environ)) == ("AKDEFAULT", None)


def test_renewed_keys_are_read_again(environ, tmp_path):
    profile = find_profile("work", environ)
    assert profile.provider is not None
    until = profile.provider()["expires_at"]
    file = tmp_path / ".aws/credentials"

    file.write_text(CREDENTIALS.replace("AKWORK", "AKRENEWED"))

    assert keys(profile)[0] == "AKRENEWED"
    assert until is not None
    assert until > datetime.now(UTC)


def test_without_files_and_profile_the_client_looks_itself(tmp_path):
    profile = find_profile(None, {"HOME": str(tmp_path)})

    assert (profile.provider, profile.region, profile.endpoint) == (None, None, None)


@pytest.mark.parametrize(
    ("named", "said", "hint"),
    [
        ("nobody", "there is no profile 'nobody'", "list-profiles"),
        ("half", "no aws_secret_access_key", "None"),
        ("sso", "sso_session, which voltar does not ask", "export-credentials --profile sso"),
        ("program", "credential_process", "export-credentials --profile program"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(environ, named, said, hint):
    with pytest.raises(Refused, match=said) as refused:
        find_profile(named, environ)

    assert hint in str(refused.value.hint)


@pytest.mark.parametrize("text", ["secret-without-a-section", "[a]\nsecret-line", "[a\nsecret = 1"])
def test_a_file_that_is_none_is_refused_without_showing_it(tmp_path, text):
    file = tmp_path / "credentials"
    file.write_text(text)

    with pytest.raises(Refused, match=r"line \d+ is not NAME = VALUE") as refused:
        find_profile(None, {"AWS_SHARED_CREDENTIALS_FILE": str(file)})

    assert "secret" not in str(refused.value)


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(Refused, match="Is a directory"):
        find_profile(None, {"AWS_CONFIG_FILE": str(tmp_path)})


def test_no_secret_is_shown(environ):
    settings = Settings(environ=environ | {"AWS_SECRET_ACCESS_KEY": "env-secret"})
    profile = find_profile("work", environ)
    store = open_store("s3://bucket?profile=work", settings)

    assert "secret" not in repr(settings) + repr(profile) + repr(vars(store)) + store.url
    assert "token" not in repr(profile)


def test_plain_http_must_be_said_in_the_url(environ):
    settings = Settings(environ=environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})

    with pytest.raises(Refused, match="plain http") as refused:
        open_store("s3://bucket", settings)

    assert "?endpoint=http://" in str(refused.value.hint)
    assert open_store("s3://bucket?endpoint=http://127.0.0.1:1", settings).url
