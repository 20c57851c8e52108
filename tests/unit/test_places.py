"""Who wins: the command line, the environment, the configuration."""

import os
from pathlib import Path

import pytest

from backup.cli.context import Context
from backup.cli.places import (
    Place,
    config_path,
    engine_place,
    new_config,
    password_of,
    repository_place,
)
from backup.errors import ConfigError, NotARepository
from transports.store.throttled import Throttled

ONE = "[repositories.main]\nlocation = '/srv/main'\nlimit-upload = '2M'\n"
TWO = f"{ONE}[repositories.nas]\nlocation = 'sftp://nas/x'\n"
HOST = "[hosts.web1]\nurl = 'ssh://me@web1'\nhelper-image = 'debian'\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in [each for each in os.environ if each.startswith(("VOLTAR_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("backup.cli.places._SYSTEM", tmp_path / "system.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def configured(home):
    def configured(text):
        file = home / "some.toml"
        file.write_text(text)
        return file

    return configured


@pytest.mark.parametrize("given", ["/srv/x", "./main", "sftp://nas/y", "s3://b/p"])
def test_what_can_be_no_name_reads_no_configuration(configured, given):
    assert repository_place(given, configured("broken")) == Place(given)


@pytest.mark.parametrize(("given", "location"), [("main", "/srv/main"), ("nas", "sftp://nas/x")])
def test_a_name_of_the_configuration_is_that_repository(configured, given, location):
    place = repository_place(given, configured(TWO))

    assert (place.name, place.location) == (given, location)


def test_a_name_that_is_not_configured_is_a_directory(configured, home):
    assert repository_place("other", configured(TWO)) == Place("other")
    assert repository_place("other", None) == Place("other")


def test_the_only_repository_of_the_configuration_needs_no_name(configured):
    place = repository_place(None, configured(ONE))

    assert place.location == "/srv/main"
    assert place.limits == (2 << 20, None)


def test_a_repository_has_the_speed_that_is_configured(configured):
    file = configured(ONE.replace("/srv/main", "store"))

    assert isinstance(Context(config=file).store(), Throttled)
    assert not isinstance(Context(repository="/x", config=file).store(), Throttled)


def test_of_several_one_must_be_named(configured):
    with pytest.raises(NotARepository) as caught:
        repository_place(None, configured(TWO))

    assert caught.value.hint == "say -r main or -r nas"


def test_without_anything_no_repository_is_named(configured):
    for option in (None, configured(HOST)):
        with pytest.raises(NotARepository, match="no repository is named"):
            repository_place(None, option)


def test_a_name_is_not_looked_up_in_a_configuration_that_is_wrong(configured):
    with pytest.raises(ConfigError):
        repository_place("main", configured("nope = 1"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, (None, None)),
        ("web1", ("ssh://me@web1", "debian")),
        ("web2", ("web2", None)),
        ("local", (None, None)),
        ("ssh://web1", ("ssh://web1", None)),
        ("web1:2375", ("web1:2375", None)),
    ],
)
def test_an_engine_is_named_by_its_url_or_its_name(configured, given, found):
    assert engine_place(given, configured(HOST)) == found


def test_without_a_configuration_no_name_is_known():
    assert engine_place("web1", None) == ("web1", None)
    assert engine_place("local", None) == ("local", None)


def test_the_configuration_is_the_first_that_is_named_or_there(home, monkeypatch):
    user, system = home / ".config/voltar/voltar.toml", home / "system.toml"
    with pytest.raises(ConfigError, match="there is no configuration"):
        config_path(None)

    system.write_text("")
    assert config_path(None) == system
    user.parent.mkdir(parents=True)
    user.symlink_to("/not/mounted")  # told, instead of taking the system's in silence
    assert config_path(None) == user
    user.unlink()
    user.write_text("")
    assert config_path(None) == user
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    assert config_path(None) == system
    monkeypatch.setenv("VOLTAR_CONFIG", "/named")
    assert config_path(None) == Path("/named")
    assert config_path(Path("/given")) == Path("/given")


def test_a_place_that_cannot_be_looked_into_has_no_configuration(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/" + "x" * 300)

    assert repository_place("main", None) == Place("main")


def test_a_new_configuration_goes_where_it_is_looked_for(home, monkeypatch):
    assert new_config(Path("/given")) == Path("/given")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert new_config(None) == home / "system.toml"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert new_config(None) == home / ".config/voltar/voltar.toml"


def test_the_environment_wins_over_the_configuration(configured, monkeypatch):
    context = Context(config=configured(ONE))
    assert Context(config=configured(ONE)).place().name == "main"

    monkeypatch.setenv("VOLTAR_REPOSITORY", "/srv/environment")

    assert context.place().location == "/srv/environment"
    assert Context(repository="main", config=configured(ONE)).place().location == "/srv/main"


def test_a_password_file_of_the_command_line_wins(configured, home, monkeypatch):
    (home / "one").write_text("configured")
    (home / "two").write_text("given")
    monkeypatch.setenv("VOLTAR_PASSWORD", "environment")
    file = configured(f"{ONE}password-file = 'one'\n")

    assert Context(config=file).given_password() == "configured"
    assert Context(config=file, password_file=home / "two").given_password() == "given"
    assert Context(repository="/x", config=file).given_password() == "environment"
    assert Context(config=configured(ONE)).given_password() == "environment"


def test_a_password_comes_from_a_command_or_a_credential(configured, home, monkeypatch):
    (home / "pass").write_text("sealed\n")
    by_command = configured(f"{ONE}password-command = ['echo', 'said']\n")
    assert password_of(repository_place("main", by_command)) == "said"

    place = repository_place("main", configured(f"{ONE}password-credential = 'pass'\n"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="no credentials of systemd"):
        password_of(place)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(home))
    assert password_of(place) == "sealed"
