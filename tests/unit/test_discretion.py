"""Texts without what is secret in them."""

import pytest

from backup.discretion import hidden, learn, learn_url, secrets_of


def test_what_was_learned_is_in_no_text() -> None:
    learn("correct horse", "-----BEGIN-----\nAAAAB3NzaC1\n-----END-----")

    assert hidden("a correct horse, b") == "a ***, b"
    assert hidden("http://x/?p=correct%20horse") == "http://x/?p=***"
    assert hidden("line AAAAB3NzaC1 of it") == "line *** of it"


def test_a_short_secret_is_hidden_where_it_stands_alone() -> None:
    learn("abc")

    assert hidden("abcdef, password=abc!") == "abcdef, password=***!"


def test_of_two_secrets_the_longer_goes_first() -> None:
    assert hidden("secret-word", ["secret", "secret-word"]) == "***"


def test_of_a_url_the_password_is_hidden_and_who_logs_in_by_ssh_is_not() -> None:
    shown = hidden("ssh://me@web1 sftp://me:geheim@nas/x https://me:geheim@far/y s3://key@b")

    assert shown == "ssh://me@web1 sftp://me:***@nas/x https://***@far/y s3://***@b"


def test_nothing_hides_nothing() -> None:
    learn("", "\n")

    assert hidden("a b\n\nc", [""]) == "a b\n\nc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "geheim"),
        ("PGPASSWORD", "geheim"),
        ("MYSQL_PWD", "geheim"),
        ("DB_PASS", "geheim"),
        ("RCLONE_CONFIG_FAR_PASS", "geheim"),
        ("AWS_SECRET_ACCESS_KEY", "geheim"),
        ("GITHUB_TOKEN", "geheim"),
        ("api_key", "geheim"),
        ("STRIPE_APIKEY", "geheim"),
        ("VOLTAR_FROM_PASSWORD", "geheim"),
        ("DATABASE_URL", "postgres://shop:geheim@db/shop"),
    ],
)
def test_an_environment_tells_by_its_names_what_is_secret(name: str, value: str) -> None:
    assert secrets_of({name: value}) == {"geheim"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PWD", "/root"),
        ("OLDPWD", "/root"),
        ("VOLTAR_PASSWORD_FILE", "/etc/voltar/password"),
        ("VOLTAR_PASSWORD_COMMAND", "pass show voltar"),
        ("CREDENTIALS_DIRECTORY", "/run/credentials"),
        ("ALLOW_EMPTY_PASSWORD", "yes"),
        ("MARIADB_RANDOM_ROOT_PASSWORD", "1"),
        ("KEYBOARD", "german"),
        ("COMPASS_DIR", "north"),
        ("MONKEY", "george"),
        ("PATH", "/usr/bin:/bin"),
    ],
)
def test_what_has_no_telling_name_is_none(name: str, value: str) -> None:
    assert secrets_of({name: value}) == frozenset()


def test_of_a_url_what_looks_random_is_learned_and_a_host_of_the_web_is_not() -> None:
    learn_url("https://hc-ping.com/0a1b2c3d-4e5f")
    learn_url("mailto://me:geheim99@example.org")
    learn_url("tgram://123456789:AAbbCC/backups")

    assert hidden("POST https://hc-ping.com/0a1b2c3d-4e5f") == "POST ***"
    assert (
        hidden("no answer of hc-ping.com for 0a1b2c3d-4e5f") == "no answer of hc-ping.com for ***"
    )
    assert hidden("login me/geheim99 failed") == "login me/*** failed"
    assert hidden("bot 123456789 in backups") == "bot *** in backups"
