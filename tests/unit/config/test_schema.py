"""What editors are told: it takes what voltar takes, and refuses what is wrong in form."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from backup.config import examine
from backup.config.schema import schema
from tests.reference import example

EXAMPLE = example()

VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_example_of_the_documentation_is_right(tmp_path: Path):
    file = tmp_path / "voltar.toml"
    file.write_text(EXAMPLE)

    assert not examine(file).mistakes
    assert not examine(file).doubts
    assert not list(VALIDATOR.iter_errors(tomllib.loads(EXAMPLE)))


@pytest.mark.parametrize(
    "text",
    [
        "paralel = 2",
        "parallel = 17",
        "parallel = '2'",
        "[jobs.'a b']",
        "[jobs.a]\nvolumes = 'db'",
        "[jobs.a]\nvolumes = ['*']",
        "[jobs.a]\nquiesce = 'Stop'",
        "[jobs.a]\nkeep.daily = -1",
        "[jobs.a]\nkeep.within = '7 days'",
        "[jobs.a]\ngrace = '5m'",
        "[jobs.a]\nexclude-larger-than = 'big'",
        "[jobs.a]\nhooks = [{ when = 'before' }]",
        "[jobs.a]\nhooks = [{ when = 'before', command = [] }]",
        "[repositories.a]",
        "[notify]\nping = 'ftp://x'",
        "[metrics]\ntextfile = '/x.txt'",
    ],
)
def test_what_voltar_refuses_for_its_form_the_schema_refuses_too(tmp_path, text):
    file = tmp_path / "voltar.toml"
    file.write_text(text)

    assert examine(file).mistakes
    assert list(VALIDATOR.iter_errors(tomllib.loads(text)))


def test_every_key_is_explained():
    for name, table in schema()["$defs"].items():
        for key, facts in table.get("properties", {}).items():
            assert facts.get("description"), f"{name}.{key}"
