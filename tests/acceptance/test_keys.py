"""Several passwords for one repository, by the command line."""

import shutil
from pathlib import Path

import pytest

from tests.acceptance.cli import Voltar

SECOND = "a second password"


@pytest.fixture
def alone(made: Path, tmp_path: Path) -> Voltar:
    """The command with a repository; keys need no engine."""
    shutil.copytree(made, tmp_path / "repository")
    return Voltar(url="unix:///nowhere", repository=tmp_path / "repository", home=tmp_path)


def test_passwords_are_added_listed_changed_and_removed(alone: Voltar, tmp_path: Path):
    file = tmp_path / "second"
    file.write_text(f"{SECOND}\n")

    alone("key", "add", "--new-password-file", file)

    second = alone.changed(password=SECOND)
    assert second.ask("snapshots") == []
    listed = second.ask("key", "list")
    assert [key["current"] for key in listed] == [False, True]

    second.changed(more={"VOLTAR_NEW_PASSWORD": "third"})("key", "passwd")

    assert second("snapshots", code=6).err
    third = alone.changed(password="third")
    (current,) = (key["id"] for key in third.ask("key", "list") if key["current"])
    assert "in use" in third("key", "remove", current[:12], code=5).err
    third("key", "remove", listed[0]["id"])
    assert alone("snapshots", code=6).err
    assert third.ask("snapshots") == []
    assert third.summary("check")["damages"] == []


def test_the_last_password_cannot_be_removed(alone: Voltar):
    (only,) = alone.ask("key", "list")

    refused = alone("key", "remove", only["id"], code=5)

    assert "in use" in refused.err
    assert alone.ask("key", "list") == [only]


def test_what_is_wrong_with_a_new_password_changes_nothing(alone: Voltar, tmp_path: Path):
    before = alone.ask("key", "list")

    assert alone.changed(more={"VOLTAR_NEW_PASSWORD": ""})("key", "add", code=2).err
    assert alone("key", "passwd", "--new-password-file", tmp_path / "none", code=2).err
    assert alone("key", "remove", "ffff", code=1).err

    assert alone.ask("key", "list") == before
