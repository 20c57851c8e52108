"""voltar copy, by the command line: which repository is which, whose password is whose."""

import json

import pytest

from backup.cli.app import run
from backup.repository import create, open_repository
from backup.repository.catalog import forget, history
from tests.saved import derive_cheaply, save
from tests.tars import END, header, padded
from transports.store import open_store

VARIABLES = [
    f"VOLTAR_{which}PASSWORD{how}" for which in ("", "FROM_") for how in ("", "_FILE", "_COMMAND")
]


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in (*VARIABLES, "VOLTAR_FROM_REPOSITORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("VOLTAR_CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setenv("VOLTAR_REPOSITORY", str(tmp_path / "second"))
    monkeypatch.setenv("VOLTAR_PASSWORD", "two")
    derive_cheaply(monkeypatch)


@pytest.fixture
def first(tmp_path):
    repository = create(open_store(str(tmp_path / "first")), "one")
    for number in range(3):
        tar = header(b"file%d" % number, size=5) + padded(b"hello") + END
        save(repository, [tar], number=number, source=f"volume:v{number}", tags=[f"t{number}"])
    (tmp_path / "one.txt").write_text("one\n")
    return repository


@pytest.fixture
def second(tmp_path):
    return create(open_store(str(tmp_path / "second")), "two")


@pytest.fixture
def told(capsys, first, second, tmp_path):
    """Run `voltar copy`; return its exit code, what it printed and what it complained of."""

    def told(*words):
        named = [
            "--from",
            str(tmp_path / "first"),
            "--from-password-file",
            str(tmp_path / "one.txt"),
        ]
        code = run(["copy", *named, *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return told


def sources(tmp_path):
    repository = open_repository(open_store(str(tmp_path / "second")), "two")
    return [each.snapshot.source for each in history(repository) if each.forgotten is None]


def test_all_snapshots_are_copied(told, tmp_path):
    code, printed, _ = told()

    assert code == 0
    assert sources(tmp_path) == ["volume:v0", "volume:v1", "volume:v2"]
    assert printed.count("->") == 3
    assert "copied 3 snapshots" in printed


def test_the_second_time_there_is_nothing_to_copy(told):
    told()

    code, printed, said = told()

    assert code == 0
    assert "copied before: 3 snapshots" in said
    assert "copied 0 snapshots" in printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--source", "volume:v1"], ["volume:v1"]),
        (["--tag", "t0", "--tag", "t2"], ["volume:v0", "volume:v2"]),
        (["--from-host", "elsewhere"], []),
        (["volume:v2", "v1"], ["volume:v1", "volume:v2"]),
    ],
)
def test_some_are_chosen(told, tmp_path, words, expected):
    assert told(*words)[0] == 0
    assert sources(tmp_path) == expected


def test_by_id(told, first, tmp_path):
    assert told(history(first)[1].id[:10])[0] == 0
    assert sources(tmp_path) == ["volume:v1"]


def test_snapshots_are_named_or_chosen_not_both(told, tmp_path):
    code, _, said = told("volume:v1", "--tag", "t1")

    assert code == 2
    assert "named" in said


def test_a_snapshot_that_was_forgotten_cannot_be_named(told, first):
    forget(first, [history(first)[0].id])

    code, _, said = told("volume:v0")

    assert code == 1
    assert "volume:v0" in said


def test_a_dry_run_copies_nothing(told, tmp_path):
    told("--source", "volume:v0")

    code, printed, _ = told("--dry-run")

    assert code == 0
    assert printed.count("would copy") == 2
    assert "copied before: 1" in printed
    assert sources(tmp_path) == ["volume:v0"]


def test_json(told, first):
    _, printed, _ = told("--json")

    summary = json.loads(printed.splitlines()[-1])
    assert summary["type"] == "summary"
    assert [each["original"] for each in summary["copied"]] == [each.id for each in history(first)]
    assert (summary["present"], summary["failed"], summary["dry_run"]) == ([], [], False)
    planned = json.loads(told("--json", "--dry-run")[1])
    assert (len(planned["present"]), planned["wanted"], planned["dry_run"]) == (3, [], True)


def test_snapshots_tells_what_is_a_copy(told, first, capsys):
    told()

    run(["snapshots", "--json"])

    shown = json.loads(capsys.readouterr().out)
    assert [each["original"] for each in shown] == [each.id for each in history(first)]


def test_damage_ends_with_its_code_and_a_name(told, first, tmp_path):
    damaged = history(first)[1].snapshot.manifest[0].chunk
    for info in list(first.store.list("packs")):
        if damaged in {blob.chunk for blob in blobs(first, info.name)}:
            path = tmp_path / "first" / info.name
            path.write_bytes(bytes(len(path.read_bytes())))

    code, _, said = told()

    assert code == 4
    assert "volume:v1" in said
    assert "was not copied" in said
    assert sources(tmp_path) == ["volume:v0", "volume:v2"]


def blobs(repository, name):
    table = repository.tables.table(name.partition("/")[2])
    return table.blobs if table else ()


def test_a_record_that_is_damaged_is_named_and_the_others_are_copied(told, first, tmp_path):
    name = f"snapshots/{history(first)[0].id}"
    (tmp_path / "first" / name).write_bytes(b"x")

    code, _, said = told()

    assert code == 4
    assert name[:20] in said
    assert sources(tmp_path) == ["volume:v1", "volume:v2"]


@pytest.mark.parametrize("how", ["", "_FILE", "_COMMAND"])
def test_the_other_password_has_variables_of_its_own(monkeypatch, first, second, tmp_path, how):
    given = {"": "one", "_FILE": str(tmp_path / "one.txt"), "_COMMAND": "echo one"}[how]
    monkeypatch.setenv(f"VOLTAR_FROM_PASSWORD{how}", given)
    monkeypatch.setenv("VOLTAR_FROM_REPOSITORY", str(tmp_path / "first"))

    assert run(["copy"]) == 0
    assert len(sources(tmp_path)) == 3


def test_the_other_password_may_be_a_credential(monkeypatch, first, second, tmp_path):
    (tmp_path / "voltar-from-password").write_text("one")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert run(["copy", "--from", str(tmp_path / "first")]) == 0


def test_the_own_password_does_not_open_the_other_one(first, second, tmp_path, capsys):
    assert run(["copy", "--from", str(tmp_path / "first")]) == 6
    assert "--from-password-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [([], 2, "--from"), (["--from", "/nowhere/at/all"], 6, "no repository")],
)
def test_the_other_repository_must_be_there(second, capsys, words, code, part):
    assert run(["copy", *words]) == code
    assert part in capsys.readouterr().err


def test_a_repository_is_not_copied_into_itself(second, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VOLTAR_FROM_PASSWORD", "two")

    assert run(["copy", "--from", str(tmp_path / "second")]) == 2
    assert "same repository" in capsys.readouterr().err
