"""Who we are to a registry, as docker's own configuration has it. Helpers are real programs."""

import base64
import json

import pytest

from backup.engine.credentials import ANONYMOUS, credential
from backup.errors import BackupError, ConfigError

HOST = "registry.example:5000"
SECRET = "correct horse"


@pytest.fixture
def home(tmp_path):
    """A home directory with a place for programs."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / "bin").mkdir()
    return tmp_path


def configured(home, config):
    text = config if isinstance(config, str) else json.dumps(config)
    (home / ".docker/config.json").write_text(text)
    return {"HOME": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin"}


def helper(home, name, script):
    path = home / "bin" / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def packed(user="u", secret=SECRET):
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


def answer(user="u", secret=SECRET):
    return json.dumps({"ServerURL": HOST, "Username": user, "Secret": secret})


def told(found):
    header = found.headers["X-Registry-Auth"]
    assert SECRET not in repr(found)
    return json.loads(base64.urlsafe_b64decode(header))


KNOWN = {"username": "u", "password": SECRET, "serveraddress": HOST}


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"http://{HOST}/v1/"])
def test_the_configuration_itself_may_hold_it(home, key):
    environ = configured(home, {"auths": {"other": {}, key: {"auth": packed()}}})

    assert told(credential(HOST, environ)) == KNOWN


def test_docker_config_names_another_directory(home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/config.json").write_text(
        json.dumps({"auths": {HOST: {"auth": packed()}}})
    )
    environ = configured(home, {}) | {"DOCKER_CONFIG": str(tmp_path / "elsewhere")}

    assert told(credential(HOST, environ)) == KNOWN


def test_docker_hub_has_a_key_of_its_own(home):
    hub = "https://index.docker.io/v1/"
    environ = configured(home, {"auths": {hub: {"auth": packed()}}})

    assert told(credential("docker.io", environ)) == KNOWN | {"serveraddress": hub}


def test_a_token_takes_the_place_of_a_password(home):
    environ = configured(home, {"auths": {HOST: {"auth": packed(), "identitytoken": "t"}}})

    assert told(credential(HOST, environ)) == {"identitytoken": "t", "serveraddress": HOST}


@pytest.mark.parametrize(
    "config",
    [{}, {"auths": {}}, {"auths": {"other:5000": {"auth": packed()}}}, {"auths": {HOST: {}}}],
)
def test_nothing_known_is_nobody(home, config):
    assert credential(HOST, configured(home, config)) == ANONYMOUS
    assert told(ANONYMOUS) == {}


def test_no_configuration_is_nobody(tmp_path):
    assert credential(HOST, {"HOME": str(tmp_path), "PATH": "/bin"}) is ANONYMOUS


def test_a_store_is_asked_for_one_registry(home):
    helper(home, "pass", f'read -r host; [ "$1 $host" = "get {HOST}" ] && echo \'{answer()}\'')
    environ = configured(home, {"credsStore": "pass", "auths": {HOST: {}}})

    assert told(credential(HOST, environ)) == KNOWN


def test_a_helper_of_that_registry_goes_before_the_store_of_all(home):
    helper(home, "pass", "echo not me >&2; exit 7")
    helper(home, "own", f"echo '{answer()}'")
    environ = configured(home, {"credsStore": "pass", "credHelpers": {HOST: "own"}})

    assert told(credential(HOST, environ)) == KNOWN


def test_a_helper_may_answer_with_a_token(home):
    helper(home, "own", f"echo '{answer(user='<token>')}'")
    environ = configured(home, {"credHelpers": {HOST: "own"}})

    assert told(credential(HOST, environ)) == {"identitytoken": SECRET, "serveraddress": HOST}


@pytest.mark.parametrize(
    "script",
    [
        "echo credentials not found in native keychain; exit 1",
        f"echo '{answer(user='', secret='')}'",
    ],
)
def test_what_a_helper_does_not_know_may_be_in_the_configuration(home, script):
    helper(home, "pass", script)
    environ = configured(home, {"credsStore": "pass", "auths": {HOST: {"auth": packed()}}})

    assert told(credential(HOST, environ)) == KNOWN


def test_a_helper_that_is_not_there_is_named(home):
    environ = configured(home, {"credsStore": "gone"})

    with pytest.raises(ConfigError, match=f"docker-credential-gone for {HOST}"):
        credential(HOST, environ)


def test_a_helper_that_fails_is_named_with_what_it_says(home):
    helper(home, "pass", "echo pass is not initialized; exit 3")
    environ = configured(home, {"credsStore": "pass"})

    with pytest.raises(BackupError, match=r"docker-credential-pass .*status 3: pass is not init"):
        credential(HOST, environ)


@pytest.mark.parametrize(
    "answered", [f"no JSON {SECRET}", f'{{"secret": "{SECRET}"', f'["{SECRET}"]']
)
def test_an_answer_that_cannot_be_read_is_not_shown(home, answered):
    helper(home, "pass", f"echo '{answered}'")
    environ = configured(home, {"credsStore": "pass"})

    with pytest.raises(BackupError, match="not of its protocol") as failed:
        credential(HOST, environ)

    assert SECRET not in str(failed.value)
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        {"auths": ["x"]},
        {"auths": {HOST: "x"}},
        {"auths": {HOST: {"auth": "no base 64 " + SECRET}}},
        {"auths": {HOST: {"auth": base64.b64encode(SECRET.encode()).decode()}}},
        {"credsStore": 1},
        {"credHelpers": {HOST: [1]}},
    ],
)
def test_a_configuration_that_cannot_be_used_is_named_and_not_shown(home, config):
    environ = configured(home, config)

    with pytest.raises(ConfigError, match=r"\.docker/config\.json") as refused:
        credential(HOST, environ)

    assert SECRET not in str(refused.value)


def test_a_configuration_that_cannot_be_read_is_named(home):
    environ = configured(home, {})
    (home / ".docker/config.json").unlink()
    (home / ".docker/config.json").mkdir()

    with pytest.raises(ConfigError, match="cannot read"):
        credential(HOST, environ)
