"""`voltar recover` where there is no engine, and where journals are not what they were."""

from pathlib import Path

import pytest

from tests.acceptance.cli import Voltar


@pytest.fixture
def alone(tmp_path: Path) -> Voltar:
    """The command where no engine is."""
    return Voltar(url="unix:///nowhere.sock", repository=None, home=tmp_path)


def test_without_an_engine_there_may_still_be_journals(alone: Voltar) -> None:
    said = alone("recover")

    assert "killed restores and captures were not looked for" in said.err
    assert "cannot reach the Docker engine at unix:///nowhere.sock" in said.err
    assert "nothing was left half done" in said.text + said.err


def test_an_engine_that_was_asked_for_must_be_there(alone: Voltar) -> None:
    failed = alone("--json", "--host", "unix:///other.sock", "recover", code=1)

    assert "cannot reach the Docker engine at unix:///other.sock" in failed.error["message"]


def test_a_journal_that_cannot_be_read_is_told(alone: Voltar) -> None:
    journals = alone.home / "state/migrations"
    journals.mkdir(parents=True)
    (journals / "spoilt.jsonl").write_bytes(b"{}\n")

    for words in (("recover",), ("recover", "spoilt"), ("migrate", "list")):
        failed = alone("--json", *words, code=1)
        assert "spoilt.jsonl cannot be read" in failed.error["message"]
        assert "move it away" in failed.error["hint"]
