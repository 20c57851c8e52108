"""What counts is shown, and no secret with it."""

import tomllib

import msgspec
import pytest

from backup.config import load
from backup.config.shown import effective, written
from tests.reference import example

SECRETS = """
[hosts.far]
url = "ssh://me@web1"
[repositories.main]
location = "sftp://me@nas/x"
password-command = ["echo", "hunter2"]
check-ping = "https://hunter2/check"
prune-ping = "https://hunter2/prune"
[jobs.a]
all = true
ping = "https://hunter2/x"
hooks = [{ when = "before", command = ["curl", "https://me:hunter2@x/y"] }]
[notify]
urls = ["mailto://me:hunter2@example.org", "slack://hunter2/x"]
ping = "https://hc-ping.com/hunter2"
"""


@pytest.fixture
def shown(tmp_path):
    def shown(text):
        file = tmp_path / "voltar.toml"
        file.write_text(text)
        return effective(load(file))

    return shown


def test_secrets_are_hidden(shown):
    text = written(shown(SECRETS))

    assert "hunter2" not in text
    assert 'urls = ["mailto://(hidden)", "slack://(hidden)"]' in text
    assert 'ping = "https://(hidden)"' in text
    assert 'password-command = ["echo", "(hidden)"]' in text
    assert 'url = "ssh://me@web1"' in text


def test_what_is_shown_is_toml_and_means_the_same(shown, tmp_path):
    first = shown(example())

    again = written(first).replace('ping = "https://(hidden)"', 'ping = "https://hidden"')
    second = shown(again)

    second["notify"]["ping"] = first["notify"]["ping"]
    second["repositories"]["nas"]["password-command"] = ["pass", "(hidden)"]
    assert second == first
    assert msgspec.json.encode(first)


def test_a_job_shows_the_only_repository_and_all_defaults(shown):
    found = tomllib.loads(written(shown("repositories.a.location='/x'\njobs.b.all=true")))

    assert found["jobs"]["b"]["repository"] == "a"
    assert found["jobs"]["b"]["host"] == "local"
    assert found["parallel"] == 1
