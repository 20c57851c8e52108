"""Where the engine is looked for, and in which order."""

import hashlib
import json
from pathlib import Path

import pytest

from backup.engine.address import DEFAULT_SOCKET, locate
from backup.errors import ConfigError, EngineUnavailable


def context(directory: Path, name: str, host: str, *, current: bool = True) -> dict[str, str]:
    """A docker configuration with one context; returns the environment that names it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts/meta" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    if current:
        (directory / "config.json").write_text(json.dumps({"currentContext": name}))
    return {"DOCKER_CONFIG": str(directory)}


def certificates(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in ("ca", "cert", "key"):
        (directory / f"{name}.pem").write_text("pem")
    return directory


def test_a_given_url_comes_before_everything(tmp_path: Path) -> None:
    environ = context(tmp_path, "far", "tcp://far:1") | {"DOCKER_HOST": "tcp://env:2"}

    found = locate("unix:///x/y", environ)

    assert (found.url, found.origin) == ("unix:///x/y", "the given url")


def test_docker_host_comes_before_the_context(tmp_path: Path) -> None:
    environ = context(tmp_path, "far", "tcp://far:1") | {"DOCKER_HOST": "tcp://env:2"}

    found = locate(None, environ)

    assert (found.url, found.origin) == ("tcp://env:2", "DOCKER_HOST")


def test_the_current_context_is_used(tmp_path: Path) -> None:
    found = locate(None, context(tmp_path, "far", "unix:///far/s"))

    assert found.url == "unix:///far/s"
    assert found.origin == "the current docker context 'far'"


def test_docker_context_comes_before_the_current_one(tmp_path: Path) -> None:
    environ = context(tmp_path, "far", "unix:///far/s", current=False)
    (tmp_path / "config.json").write_text('{"currentContext": "other"}')

    found = locate(None, environ | {"DOCKER_CONTEXT": "far"})

    assert found.url == "unix:///far/s"


def test_a_context_brings_its_certificates(tmp_path: Path) -> None:
    environ = context(tmp_path, "far", "tcp://far:2376")
    digest = hashlib.sha256(b"far").hexdigest()
    files = certificates(tmp_path / "contexts/tls" / digest / "docker")

    found = locate(None, environ)

    assert found.tls is not None
    assert found.tls.verify
    assert found.tls.ca == files / "ca.pem"


@pytest.mark.parametrize("config", [None, "{}", '{"currentContext": "default"}'])
def test_without_anything_the_default_socket_is_used(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)

    found = locate(None, {"DOCKER_CONFIG": str(tmp_path)})

    assert (found.url, found.tls) == (DEFAULT_SOCKET, None)


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "lost"}

    with pytest.raises(EngineUnavailable, match="no docker context 'lost'") as caught:
        locate(None, environ)

    assert "docker context ls" in str(caught.value.hint)


@pytest.mark.parametrize("config", ["not json", "[]"])
def test_a_broken_configuration_is_named(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(ConfigError, match=r"cannot read .*config\.json"):
        locate(None, {"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize("meta", ["not json", "{}", '{"Endpoints": {"kubernetes": {}}}'])
def test_a_broken_context_is_named(tmp_path: Path, meta: str) -> None:
    environ = context(tmp_path, "far", "unix:///far/s")
    next(tmp_path.glob("contexts/meta/*/meta.json")).write_text(meta)

    with pytest.raises(ConfigError, match="cannot read the docker context 'far'"):
        locate(None, environ)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("tcp://host", "tcp://host:2375"),
        ("host:1234", "tcp://host:1234"),
        ("/run/other.sock", "unix:///run/other.sock"),
        ("http://host:80/", "tcp://host:80"),
        ("unix://", DEFAULT_SOCKET),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
    ],
)
def test_addresses_are_brought_into_one_form(url: str, expected: str) -> None:
    assert locate(url, {}).url == expected


def test_tls_has_a_port_of_its_own(tmp_path: Path) -> None:
    files = certificates(tmp_path / "certs")

    found = locate("tcp://host", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(files)})

    assert found.url == "tcp://host:2376"
    assert found.tls is not None
    assert found.tls.verify


def test_a_certificate_path_alone_means_tls_without_verification(tmp_path: Path) -> None:
    files = certificates(tmp_path / "certs")

    found = locate("tcp://host", {"DOCKER_CERT_PATH": str(files)})

    assert found.tls is not None
    assert not found.tls.verify


def test_a_certificate_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        locate("tcp://host", {"DOCKER_CERT_PATH": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("url", "login", "path"),
    [
        ("ssh://me@host", "ssh://me@host", ""),
        ("ssh://host:2222/", "ssh://host:2222", ""),
        ("ssh://me@[::1]:22", "ssh://me@[::1]:22", ""),
        ("ssh://me@host/run/user/1000/docker.sock", "ssh://me@host", "/run/user/1000/docker.sock"),
    ],
)
def test_a_login_over_ssh_may_name_the_socket_there(url: str, login: str, path: str) -> None:
    found = locate(url, {})

    assert (found.scheme, found.login, found.path) == ("ssh", login, path)


def test_a_context_may_lead_over_ssh(tmp_path: Path) -> None:
    found = locate(None, context(tmp_path, "far", "ssh://me@host"))

    assert (found.url, found.origin) == ("ssh://me@host", "the current docker context 'far'")


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="no place for secrets") as caught:
        locate("ssh://me:hunter2@host", {})

    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("url", ["ssh://", "ssh://me@", "ssh://host:0", "ssh://h:x", "ssh://h?a=b"])
def test_an_impossible_login_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="the given url names"):
        locate(url, {})


@pytest.mark.parametrize("url", ["ftp://host", "tcp://host:port", "tcp://:1", "npipe:////./pipe/x"])
def test_impossible_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="the given url names"):
        locate(url, {})
