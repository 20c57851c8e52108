"""The command line as a parser, and as the place where errors become codes and words."""

import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import backup.archive
import backup.listing
import backup.tar.split
import transports.errors
from backup import cli, errors
from backup.cli.app import app, hoisted, run
from backup.cli.console import Listener, Voice, counted, seconds_text, size_text
from backup.report import Advanced, Finished, Noted, Started
from tests.saved import derive_cheaply

PROJECT = Path(__file__).parents[2]
EVIL = "\x1b[2J\x1b]0;owned\x07\r"
MODULES = (errors, transports.errors, backup.archive, backup.tar.split, backup.listing)
COMMANDS = [
    "init", "backup", "snapshots", "ls", "diff", "find", "restore", "export", "import", "check",
    "doctor", "stats", "forget", "unforget", "tag", "pin", "unpin", "prune", "copy", "capture",
]  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("VOLTAR_REPOSITORY", "VOLTAR_PASSWORD", "VOLTAR_PASSWORD_FILE", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VOLTAR_REPOSITORY", str(tmp_path / "repository"))
    assert run(["init", "--no-encryption", "-q"]) == 0
    capsys.readouterr()
    return tmp_path / "repository"


@pytest.fixture
def imported(repository, tmp_path, capsys):
    """A repository with a snapshot whose names would drive a terminal."""
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("plain", f"evil{EVIL}", "invalid\udcff"):
            info = tarfile.TarInfo(name)
            info.size = 5
            tar.addfile(info, io.BytesIO(b"hello"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, f"to{EVIL}"
        tar.addfile(link)
    assert run(["import", str(tmp_path / "x.tar"), "--as", "volume:data"]) == 0
    capsys.readouterr()
    return repository


def expected_errors():
    return {
        kind
        for module in MODULES
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, errors.BackupError | transports.errors.TransportError)
    }


def test_every_expected_error_has_an_exit_code():
    for kind in expected_errors():
        error = kind.__new__(kind)
        assert cli.exit_code(error) in {1, 2, 4, 5, 6, 7}, kind


def test_every_error_of_the_tree_stands_in_the_table_itself():
    tree = {kind for kind in expected_errors() if kind.__module__ == errors.__name__}

    assert tree <= set(cli.EXIT_CODES) | {transports.errors.TransportError}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.BackupError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.IntegrityError, 4),
        (errors.UnsafeArchive, 4),
        (errors.VerificationFailed, 4),
        (errors.InUse, 5),
        (errors.NotARepository, 6),
        (errors.WrongKey, 6),
        (errors.NoSuchSnapshot, 1),
        (transports.errors.OutOfSpace, 1),
        (backup.tar.split.TruncatedArchive, 1),
    ],
)
def test_exit_codes_are_those_of_the_documentation(kind, code):
    assert cli.exit_code(kind("x")) == code


def test_what_is_not_expected_is_a_bug():
    assert cli.exit_code(KeyError("x")) == 70


def test_subclasses_have_the_code_of_the_nearest_class():
    class Torn(errors.IntegrityError):
        pass

    assert cli.exit_code(Torn("x")) == 4


@pytest.mark.parametrize(
    ("words", "front", "rest"),
    [
        ("snapshots --json", "--json", "snapshots"),
        ("snapshots -r /x", "-r /x", "snapshots"),
        ("snapshots --repository /x", "--repository /x", "snapshots"),
        ("snapshots --repository=/x", "--repository=/x", "snapshots"),
        ("ls a -q b --host unix:///x", "-q --host unix:///x", "ls a b"),
        ("ls -v --helper-image i x", "-v --helper-image i", "ls x"),
        ("-q ls --password-file f x", "-q --password-file f", "ls x"),
        ("ls x -- --json", "", "ls x -- --json"),
        ("ls -q x -- -v -q", "-q", "ls x -- -v -q"),
        ("restore x --to y --verify full", "", "restore x --to y --verify full"),
        ("check -r", "-r", ""),
        ("", "", ""),
        ("backup x --ssh-binary", "--ssh-binary=ssh", "backup x"),
        ("--ssh-binary backup x", "--ssh-binary=ssh", "backup x"),
        ("backup --ssh-binary /a/ssh x", "--ssh-binary=/a/ssh", "backup x"),
        ("backup --ssh-binary=ssh2 x", "--ssh-binary=ssh2", "backup x"),
        ("ls x --host-key SHA256:y", "--host-key SHA256:y", "ls x"),
    ],
)
def test_global_options_may_stand_anywhere(words, front, rest):
    assert hoisted(words.split()) == (front.split(), rest.split())


def test_a_short_option_may_have_its_value_attached(repository, monkeypatch, capsys):
    monkeypatch.delenv("VOLTAR_REPOSITORY")

    assert run(["snapshots", f"-r{repository}"]) == 0


@pytest.mark.parametrize(
    "words", [["snapshots", "--json"], ["--json", "snapshots"]], ids=["behind", "in front"]
)
def test_json_is_one_document_on_stdout(imported, capsys, words):
    assert run(words) == 0

    out, err = capsys.readouterr()
    (snapshot,) = json.loads(out)
    assert (snapshot["source"], snapshot["entries"], err) == ("volume:data", 4, "")


def test_without_arguments_it_says_where_to_start(capsys):
    assert run([]) == 0

    assert "voltar init" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["-r /x", "--json", "check -r", "prune --password-file"])
def test_options_without_a_command_or_a_value_are_no_success(words, capsys):
    assert run(words.split()) == 2

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert run([command, "--help"]) == 0

    out = capsys.readouterr().out
    examples = re.search(r"\n  Examples?:\n((?:    .*\n)+)", out)
    assert examples
    assert f"voltar {command}" in examples[1] or f"voltar -r /srv/backup {command}" in examples[1]


@pytest.mark.parametrize("width", ["60", "100"])
def test_an_example_can_be_copied_whatever_the_width(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", width)
    assert run(["retention", "simulate", "--help"]) == 0

    assert (
        "\n    voltar retention simulate --imagined --every 6h --for 2y --keep-hourly 24 "
        "--keep-daily 30 --keep-yearly unlimited\n"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("command", [*COMMANDS, "key remove", "repair index"])
def test_help_has_no_words_of_python_and_no_switch_that_says_no(command, capsys):
    assert run([*command.split(), "--help"]) == 0

    out = capsys.readouterr().out
    for word in ("{", "<str>", "list[", "<path>", "--no-"):
        assert word not in out.replace("--no-encryption", "")


@pytest.mark.parametrize("width", ["60", "80"])
def test_the_list_of_commands_has_all_of_them_and_cuts_none_off(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", width)
    assert run(["--help"]) == 0

    listed = capsys.readouterr().out.partition("\nBackups:\n")[2]
    known = [str(each.name) for each in app.registered_commands]
    known += [str(each.name) for each in app.registered_groups]
    assert sorted(re.findall(r"^  (\w+)  ", listed, re.MULTILINE)) == sorted(known)
    assert "..." not in listed


@pytest.mark.parametrize("group", ["config", "image", "migrate", "systemd"])
def test_a_group_cuts_none_of_its_commands_off(monkeypatch, capsys, group):
    monkeypatch.setenv("COLUMNS", "60")
    assert run([group, "--help"]) == 0

    assert "..." not in capsys.readouterr().out.partition("\nCommands:\n")[2]


def test_usage_says_where_several_can_be_named(capsys):
    assert run(["restore", "--help"]) == 0

    assert " restore [OPTIONS] SNAPSHOT [PATH]...\n" in capsys.readouterr().out


def test_the_commands_are_those_of_the_contract():
    assert {command.name for command in app.registered_commands} >= set(COMMANDS)


def test_the_version_is_told(capsys):
    assert run(["--version"]) == 0

    assert re.fullmatch(r"voltar \d+\.\S+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["ls"], ["snapshots", "--nonsense"], ["restore", "x"], ["-r"]], ids=str
)
def test_a_wrong_command_line_is_told_in_words(words, capsys):
    assert run(words) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "error" in err.lower()
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["nonsense"], ["ls"], ["snapshots", "--nonsense"]], ids=str)
def test_a_wrong_command_line_is_told_in_json(words, capsys):
    assert run([*words, "--json"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["code"] == 2


def test_errors_are_json_on_stderr(tmp_path, capsys):
    assert run(["snapshots", "-r", str(tmp_path), "--json"]) == 6

    out, err = capsys.readouterr()
    told = json.loads(err)
    assert (out, told["type"], told["code"]) == ("", "error", 6)
    assert "voltar init" in told["hint"]


def test_json_behind_two_dashes_is_a_name(imported, capsys):
    assert run(["ls", "volume:data", "--", "--json"]) == 2

    assert capsys.readouterr().err.startswith("error: ")


def test_errors_are_words_with_a_hint(tmp_path, capsys):
    assert run(["snapshots", "-r", str(tmp_path)]) == 6

    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("error: there is no repository at")
    assert second.startswith("hint: ")


def test_no_repository_named_is_told(capsys):
    assert run(["snapshots"]) == 6
    assert "no repository is named" in capsys.readouterr().err


def test_a_repository_is_not_made_twice(repository, capsys):
    assert run(["init", "--no-encryption"]) == 5

    assert "there is a repository" in capsys.readouterr().err


def test_no_password_and_no_terminal_is_told(tmp_path, capsys):
    assert run(["init", "-r", str(tmp_path / "x")]) == 6
    told = capsys.readouterr().err
    assert "a password is needed" in told
    assert "VOLTAR_PASSWORD_COMMAND" in told


@pytest.mark.parametrize("command", ["add", "passwd"])
def test_a_new_password_that_is_missing_is_not_taken_for_the_old(
    tmp_path, monkeypatch, capsys, command
):
    derive_cheaply(monkeypatch)
    monkeypatch.setenv("VOLTAR_PASSWORD", "secret")
    assert run(["init", "-r", str(tmp_path / "x"), "-q"]) == 0
    capsys.readouterr()

    assert run(["key", command, "-r", str(tmp_path / "x")]) == 6

    told = capsys.readouterr().err
    assert "a new password is needed" in told
    for name in ("--new-password-file", "VOLTAR_NEW_PASSWORD_FILE", "VOLTAR_NEW_PASSWORD"):
        assert name in told
    assert " --password-file" not in told


def test_what_is_lost_of_a_repository_is_named(tmp_path, monkeypatch, imported, capsys):
    (imported / "voltar.json").rename(tmp_path / "voltar.json")
    assert run(["snapshots"]) == 6
    told = capsys.readouterr().err
    assert "no voltar.json" in told
    assert "put voltar.json back from a copy" in told
    assert "voltar init" not in told

    derive_cheaply(monkeypatch)
    monkeypatch.setenv("VOLTAR_PASSWORD", "secret")
    assert run(["init", "-r", str(tmp_path / "x"), "-q"]) == 0
    shutil.rmtree(tmp_path / "x" / "keys")
    capsys.readouterr()
    assert run(["snapshots", "-r", str(tmp_path / "x")]) == 6
    told = capsys.readouterr().err
    assert "has no keys left" in told
    assert "put keys/ back from a copy" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("find x --from-host nope", "there are no snapshots on nope\n"),
        ("find x --source volume:a --from-host nope", "there are no snapshots of volume:a on nope"),
        ("backup --all dbdata", "--all is everything: name no targets with it"),
        ("restore volume:data --to x --verify foo", "'--verify': 'foo' is not one of 'listing'"),
    ],
)
def test_complaints_are_of_what_was_said(imported, capsys, words, said):
    run(words.split())

    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VOLTAR_PASSWORD", "secret"),
        ("VOLTAR_PASSWORD_COMMAND", "echo secret"),
        ("VOLTAR_PASSWORD_FILE", "password"),
        ("CREDENTIALS_DIRECTORY", "."),
    ],
)
def test_the_password_comes_from_where_it_was_left(tmp_path, monkeypatch, variable, value):
    monkeypatch.chdir(tmp_path)
    for name in ("password", "voltar-password"):
        (tmp_path / name).write_text("secret\n")
    monkeypatch.setenv(variable, value)
    assert run(["init", "-r", "x", "-q"]) == 0
    monkeypatch.delenv(variable)
    monkeypatch.setenv("VOLTAR_PASSWORD", "secret")

    assert run(["snapshots", "-r", "x"]) == 0

    monkeypatch.setenv("VOLTAR_PASSWORD", "wrong")
    assert run(["snapshots", "-r", "x"]) == 6


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VOLTAR_PASSWORD", ""),
        ("VOLTAR_PASSWORD_COMMAND", "false"),
        ("VOLTAR_PASSWORD_COMMAND", "/no/such/program"),
        ("VOLTAR_PASSWORD_COMMAND", "'"),
        ("VOLTAR_PASSWORD_COMMAND", " "),
        ("VOLTAR_PASSWORD_COMMAND", r"printf '\377'"),
        ("VOLTAR_PASSWORD_FILE", "/no/such/file"),
    ],
)
def test_passwords_that_cannot_be_had_are_told(tmp_path, monkeypatch, capsys, variable, value):
    monkeypatch.setenv(variable, value)

    assert run(["init", "-r", str(tmp_path / "x")]) == 2

    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert not re.search(r"Command|returned|\[Errno", told)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "volume:data"],
        ["ls", "volume:data", "--json"],
        ["ls", "volume:data", f"nothing{EVIL}"],
        ["ls", f"volume:{EVIL}"],
        ["ls", f"volume:data@{EVIL}"],
        ["snapshots"],
        ["snapshots", f"volume:{EVIL}"],
        ["check"],
        ["import", f"/no/such/{EVIL}", "--as", "volume:x"],
        ["import", "/dev/null", "--as", f"x{EVIL}:y"],
        ["export", "volume:data", "-o", f"/no/such/{EVIL}.tar"],
        ["-r", f"/no/such/{EVIL}", "snapshots"],
        ["-r", f"odd{EVIL}:x", "snapshots"],
    ],
    ids=range(13),
)
def test_names_never_drive_the_terminal(imported, capsys, words):
    run(words)

    out, err = capsys.readouterr()
    assert {"\x1b", "\x07", "\r"}.isdisjoint(out + err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [["snapshots"], ["check"], ["ls", "-v", "{id}"], ["export", "{id}", "-o", "{out}"]],
    ids=str,
)
def test_sources_of_other_hosts_never_drive_the_terminal(imported, tmp_path, capsys, words):
    run(["import", str(tmp_path / "x.tar"), "--as", f"volume:{EVIL}", "--json"])
    done = json.loads(capsys.readouterr().out.splitlines()[-1])

    run([word.format(id=done.get("snapshot"), out=tmp_path / "out.tar") for word in words])

    out, err = capsys.readouterr()
    assert {"\x1b", "\x07", "\r"}.isdisjoint(out + err)


@pytest.mark.parametrize(
    "event",
    [
        Started("backup", f"volume:{EVIL}", 5, 2),
        Noted(f"volume:{EVIL}", b"a", "gone"),
        Noted("volume:a", b"a\x1b[2J\xff", "gone"),
        Noted("volume:a", b"a", f"gone{EVIL}"),
    ],
    ids=["started", "subject", "path", "text"],
)
def test_events_never_drive_the_terminal(capsys, event):
    listener = Listener(Voice())

    listener(event)

    assert {"\x1b", "\x07", "\r"}.isdisjoint(capsys.readouterr().err)


def test_what_counts_as_a_warning_looks_like_one(capsys):
    listener = Listener(Voice())

    listener(Noted("volume:a", b"a", "it changed"))
    listener(Noted("volume:a", b"s", "a socket", harmless=True))

    told = ["warning: volume:a: a: it changed", "note: volume:a: s: a socket"]
    assert capsys.readouterr().err.splitlines() == told


def test_events_are_lines_of_json(capsys):
    listener = Listener(Voice(as_json=True))

    for event in (
        Started("backup", "v", 9, 1),
        Advanced(9, 1),
        Noted("v", b"\xff", "x"),
        Finished("backup", "v"),
    ):
        listener(event)

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in told] == ["started", "note", "finished"]
    assert told[1]["path"] == r"\xff"


def test_quiet_tells_answers_and_what_is_wrong_but_no_report(imported, capsys):
    (snapshot,) = (imported / "snapshots").iterdir()
    for words in (["check"], ["prune"], ["forget", snapshot.name], ["forget", "--keep-last", "1"]):
        assert run([*words, "-q"]) == 0
        assert capsys.readouterr() == ("", ""), words
    for words in (["prune", "--dry-run"], ["snapshots", "--forgotten"]):
        assert run([*words, "-q"]) == 0
        assert capsys.readouterr().out
    snapshot.write_bytes(b"damaged")

    assert run(["check", "-q"]) == 4

    first, last = capsys.readouterr().out.splitlines()
    assert first == f"damaged: snapshots/{snapshot.name[:16]} is damaged: its id names other bytes"
    assert last.endswith(": 1 damage")


def test_a_store_that_deletes_nothing_is_no_failure(repository, monkeypatch, capsys):
    def refuse(_self: object, name: str) -> None:
        raise transports.errors.Refused(f"cannot delete {name}")

    def store() -> Any:
        run(["--json", "--host", "unix:///not/there.sock", "doctor"])
        found = {each["subject"]: each for each in json.loads(capsys.readouterr().out)}
        return found["store"]

    with monkeypatch.context() as patch:
        patch.setattr("transports.store.file.FileStore.delete", refuse)
        for _ in range(2):
            assert store()["state"] == "ok"
            assert "does not delete" in store()["text"]
            assert len(list((repository / "probe").iterdir())) == 1

    assert store()["text"].endswith("writes, reads, deletes")
    assert not list((repository / "probe").iterdir())


def test_numbers_say_what_is_forgotten_and_agree_with_their_nouns(imported, capsys):
    (snapshot,) = (imported / "snapshots").iterdir()
    assert run(["check"]) == 0
    assert capsys.readouterr().out.startswith("1 snapshot, 2 packs, ")
    assert run(["forget", snapshot.name]) == 0
    capsys.readouterr()

    assert run(["check"]) == 0
    assert "1 snapshot (1 forgotten), 2 packs, " in capsys.readouterr().out
    assert run(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["forgotten"] == 1
    assert run(["prune"]) == 0
    out, err = capsys.readouterr()
    assert ", by 1 snapshot, 1 of them forgotten; unused" in out
    assert err.splitlines() == ["prune snapshots: 1"]


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "entry", "1 entry"), (0, "entry", "0 entries"), (2, "index", "2 indexes"),
     (17, "pack", "17 packs"), (1, "pack", "1 pack")],
)  # fmt: skip
def test_nouns_have_the_number_that_is_said(number, noun, text):
    assert counted(number, noun) == text


def test_long_work_ends_with_a_summary(imported, capsys):
    assert run(["check", "--json"]) == 0

    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out.splitlines()[-1])["type"] == "summary"


def test_damage_has_its_own_exit_code(imported, capsys):
    for pack in (imported / "packs").iterdir():
        pack.write_bytes(pack.read_bytes()[:-1])

    assert run(["check"]) == 4
    assert run(["check", "--json"]) == 4
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["damages"]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst"])
def test_a_full_disk_behind_stdout_is_no_bug(imported, form):
    command = [
        sys.executable,
        "-c",
        "from backup.cli.app import main; main()",
        "-r",
        str(imported),
        "export",
        "volume:data",
    ]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "--format", form],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            check=False,
        )

    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"No space left" in done.stderr


@pytest.mark.parametrize("words", [["stats"], ["ls", "volume:data"], ["snapshots"]], ids=str)
def test_a_reader_that_has_seen_enough_is_no_error(imported, words):
    command = [sys.executable, "-c", "from backup.cli.app import main; main()", *words]
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            [*command, "-r", str(imported)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            check=False,
        )

    assert (done.returncode, b"error" in done.stderr, b"Trace" in done.stderr) == (0, False, False)


def test_work_goes_on_when_nobody_listens_on_the_way(imported):
    """A log that is closed says nothing about the answer, nor about the exit code."""
    command = [sys.executable, "-c", "from backup.cli.app import main; main()", "check"]
    reads, writes = os.pipe()
    os.close(reads)
    (damaged,) = (imported / "snapshots").iterdir()
    damaged.write_bytes(b"damaged")
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            [*command, "-r", str(imported)],
            stdout=subprocess.PIPE,
            stderr=pipe,
            cwd=PROJECT,
            check=False,
        )

    assert done.returncode == 4
    assert b"damaged: snapshots/" in done.stdout


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1 << 20, "1.0 MiB"), (150 << 20, "150 MiB"),
     (5 << 40, "5.0 TiB"), (5 << 60, "5242880.0 TiB")],
)  # fmt: skip
def test_sizes_are_short(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (3599.4, "59 min 59 s"),
     (3600, "1 h 00 min"), (90_000, "25 h 00 min")],
)  # fmt: skip
def test_times_are_short(seconds, text):
    assert seconds_text(seconds) == text
