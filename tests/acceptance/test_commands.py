"""The commands as scripts and people use them: words, output, exit codes."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import COMMAND, PASSWORD, Voltar
from tests.acceptance.conftest import on
from tests.acceptance.files import fill
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

COMMANDS = (
    "init", "backup", "snapshots", "ls", "diff", "find", "restore", "export", "import", "check",
    "doctor", "stats", "forget", "unforget", "tag", "pin", "unpin", "prune",
)  # fmt: skip
EVIL = b"evil\x1b[31m\x1b]0;owned\x07\r"


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """A repository with two snapshots of one volume, and one of another; only to be read."""

    voltar: Voltar
    volume: str
    old: str
    new: str
    between: datetime
    other: str


@pytest.fixture(scope="module")
def seeded(
    engine: Engine, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    """Two snapshots of a volume with a second between them."""
    voltar = on(engine, made, tmp_path_factory.mktemp("seeded"))
    with Scratch(engine) as scratch:
        volume, other = scratch.volume(), scratch.volume()
        root = engine.volume_directory(volume)
        fill(root, {"etc/app/config": b"1\n", "etc/other": b"2", "data/x": b"3", "link": b"many"})
        (root / "data" / "link").hardlink_to(root / "link")
        (root / os.fsdecode(EVIL)).write_bytes(b"")
        (root / "to-config").symlink_to("etc/app/config")
        os.mkfifo(root / "fifo")
        (old,) = voltar.summary("backup", f"volume:{volume}")["snapshots"]
        between = datetime.now(UTC)
        time.sleep(1.1)
        fill(root, {"later": b"4"})
        made_now = voltar.summary("backup", f"volume:{volume}", f"volume:{other}")
        told = {each["id"]: each["source"] for each in voltar.ask("snapshots")}
        (new,) = (each for each in made_now["snapshots"] if told[each] == f"volume:{volume}")
        yield Seeded(voltar=voltar, volume=volume, old=old, new=new, between=between, other=other)


def paths(listed: list[dict[str, Any]]) -> set[str]:
    """The paths of `ls --json`."""
    return {entry["path"] for entry in listed}


# --- help and usage


def test_without_arguments_it_shows_where_to_start(voltar: Voltar) -> None:
    said = voltar().text

    assert all(word in said for word in ("init", "backup", "restore"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    engine: Engine, voltar: Voltar, command: str
) -> None:
    said = voltar(command, "--help").text

    assert "xample" in said
    assert re.search(rf"voltar .*{command}", said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_can_be_had(voltar: Voltar, shell: str) -> None:
    asked = voltar.changed(more={"_VOLTAR_COMPLETE": f"source_{shell}"})

    assert "voltar" in asked(code=(0, 1)).text


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["--no-such-option", "snapshots"],
        ["restore", "volume:x"],
        ["import", "x.tar"],
        ["ls"],
        ["restore", "volume:x", "--to", "y", "--verify=somewhat"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(voltar: Voltar, words: list[str]) -> None:
    assert voltar(*words, code=2).err.strip()


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["restore", "volume:x"], ["ls"]], ids=" ".join
)
def test_wrong_usage_with_json_is_told_in_json(voltar: Voltar, words: list[str]) -> None:
    assert voltar("--json", *words, code=2).error["code"] == 2


# --- init and the repository


def test_init_makes_a_repository_that_can_be_used_at_once(voltar: Voltar, tmp_path: Path) -> None:
    new = voltar.changed(repository=tmp_path / "new" / "deep" / "repository")

    new("init")

    assert new.ask("snapshots") == []
    new("check")


def test_init_twice_is_refused_and_changes_nothing(voltar: Voltar) -> None:
    before = tree(voltar.repository)

    refused = voltar.changed(password="another")("init", code=(1, 2, 5))

    assert "already" in refused.err
    assert tree(voltar.repository) == before
    assert voltar.ask("snapshots") == []


def test_init_into_a_directory_with_other_things_leaves_them(
    voltar: Voltar, tmp_path: Path
) -> None:
    fill(tmp_path / "mine", {"precious": b"mine"})

    voltar.changed(repository=tmp_path / "mine")("init", code=(0, 1, 2, 5))

    assert (tmp_path / "mine" / "precious").read_bytes() == b"mine"


def tree(directory: Path | None) -> dict[Path, bytes]:
    """The content of every file below a directory."""
    assert directory is not None
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_without_encryption_no_password_is_needed(
    voltar: Voltar,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    content: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    plain = voltar.changed(repository=tmp_path / "plain", password=None)
    volume, restored = filled({"a": b"some content that is readable"}), fresh()

    plain("init", "--no-encryption")
    plain("backup", volume)
    plain("restore", f"volume:{volume}", "--to", restored)
    plain("check")

    assert content(restored) == content(volume)


def test_an_encrypted_repository_shows_nothing_of_the_content(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled({"name-that-is-secret": b"content that is secret " * 1000})

    voltar("backup", volume)
    stored = b"".join(tree(voltar.repository).values())

    assert b"name-that-is-secret" not in stored
    assert b"content that is secret" not in stored
    assert volume.encode() not in stored
    assert PASSWORD.encode() not in stored


def test_what_is_not_a_repository_ends_with_6(voltar: Voltar, tmp_path: Path) -> None:
    fill(tmp_path / "other", {"file": b"1"})

    for repository in (tmp_path / "other", tmp_path / "not-there", None):
        assert voltar.changed(repository=repository)("snapshots", code=6).err.strip()


def test_a_repository_of_a_future_format_is_refused_and_named_so(voltar: Voltar) -> None:
    assert voltar.repository is not None
    marker = voltar.repository / "voltar.json"
    text = marker.read_text()
    marker.chmod(0o600)
    marker.write_text(re.sub(r'("(?:version|format)"\s*:\s*)1\b', r"\g<1>99", text))
    assert marker.read_text() != text

    assert "99" in voltar("snapshots", code=(1, 6)).err


# --- passwords


def test_the_password_is_read_from_each_of_its_places(seeded: Seeded, tmp_path: Path) -> None:
    file, credential = tmp_path / "password", tmp_path / "voltar-password"
    file.write_text(PASSWORD + "\n")
    credential.write_text(PASSWORD)
    bare = seeded.voltar.changed(password=None)
    places = (
        bare.changed(more={"VOLTAR_PASSWORD": PASSWORD}),
        bare.changed(more={"VOLTAR_PASSWORD_FILE": str(file)}),
        bare.changed(more={"VOLTAR_PASSWORD_COMMAND": f"cat {file}"}),
        bare.changed(more={"CREDENTIALS_DIRECTORY": str(tmp_path)}),
    )

    assert all(len(place.ask("snapshots")) == 3 for place in places)
    assert len(bare.ask("--password-file", file, "snapshots")) == 3


def test_the_option_beats_the_environment(seeded: Seeded, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong\n")

    seeded.voltar("--password-file", tmp_path / "wrong", "snapshots", code=6)


def test_a_wrong_password_ends_with_6(seeded: Seeded) -> None:
    refused = seeded.voltar.changed(password="wrong-password-xyz")("snapshots", code=6)

    assert "password" in refused.err


@pytest.mark.parametrize("value", ["", "\n"], ids=["empty", "newline"])
def test_an_empty_password_is_not_accepted(voltar: Voltar, tmp_path: Path, value: str) -> None:
    (tmp_path / "empty").write_text(value)
    new = voltar.changed(repository=tmp_path / "new", password=None)

    made = new("--password-file", tmp_path / "empty", "init", code=2)
    opened = voltar("--password-file", tmp_path / "empty", "snapshots", code=2)

    assert "the password is empty" in made.err
    assert "the password is empty" in opened.err


def test_without_a_password_and_a_terminal_it_ends_with_6_and_does_not_wait(
    seeded: Seeded,
) -> None:
    refused = seeded.voltar.changed(password=None)("snapshots", code=6)

    assert "VOLTAR_PASSWORD" in refused.err
    assert refused.seconds < 10


@pytest.mark.parametrize("command", ["false", "exec sleep 0; exit 3", "/does/not/exist", "true"])
def test_a_password_command_that_fails_is_an_error(seeded: Seeded, command: str) -> None:
    bare = seeded.voltar.changed(password=None, more={"VOLTAR_PASSWORD_COMMAND": command})

    bare("snapshots", code=(1, 2, 6))


def test_a_password_file_that_is_not_there_is_an_error_that_names_it(seeded: Seeded) -> None:
    bare = seeded.voltar.changed(password=None)

    assert "/not/there" in bare("--password-file", "/not/there", "snapshots", code=(1, 2, 6)).err


def test_the_password_is_asked_for_on_a_terminal_and_not_shown(seeded: Seeded) -> None:
    asked = seeded.voltar.changed(password=None)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND, [str(COMMAND), "snapshots"], asked.environment)

    said = read_until(terminal, b":")
    os.write(terminal, PASSWORD.encode() + b"\n")
    said += read_until(terminal, b"never")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)

    assert status == 0
    assert b"assword" in said
    assert PASSWORD.encode() not in said
    assert seeded.new[:8].encode() in said


def read_until(terminal: int, what: bytes, *, within_s: float = 20) -> bytes:
    """Read from a terminal until it says something or ends."""
    said, deadline = b"", time.monotonic() + within_s
    while what not in said and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            said += piece
    return said


# --- global options


def test_global_options_stand_before_or_after_the_command(seeded: Seeded, tmp_path: Path) -> None:
    repository = seeded.voltar.repository
    (tmp_path / "password").write_text(PASSWORD)
    bare = seeded.voltar.changed(repository=None, password=None)
    options = ["-r", str(repository), "--password-file", str(tmp_path / "password"), "--json"]

    before = bare(*options, "snapshots").document
    after = bare("snapshots", *options).document
    long = bare("snapshots", "--repository", f"file:{repository}", *options[2:]).document

    assert before == after == long
    assert len(before) == 3


def test_host_stands_before_or_after_the_command_and_beats_the_environment(
    voltar: Voltar, bed: Engine, filled: Callable[..., str]
) -> None:
    lost = voltar.changed(url="unix:///not/there.sock")
    volume = filled()

    lost("--host", bed.url, "backup", volume)
    lost("backup", volume, "--host", bed.url)

    assert len(voltar.ask("snapshots")) == 2


@pytest.mark.parametrize(
    "url", ["unix:///not/there.sock", "tcp://127.0.0.1:9", "tcp://[::1]:9", "nonsense://x"]
)
def test_an_engine_that_does_not_answer_is_a_clear_error(voltar: Voltar, url: str) -> None:
    refused = voltar.changed(url=url)("backup", "x", code=(1, 2))

    assert url in refused.err
    assert refused.seconds < 15


def test_the_current_docker_context_is_used(
    voltar: Voltar, bed: Engine, filled: Callable[..., str]
) -> None:
    volume = filled()
    more = {"DOCKER_HOST": "", "PATH": os.environ["PATH"]}
    context = voltar.changed(more=more)
    environment = {k: v for k, v in context.environment.items() if k != "DOCKER_HOST"}
    for words in (
        ["create", "there", "--docker", f"host={bed.url}"],
        ["use", "there"],
    ):
        subprocess.run(
            ["docker", "context", *words], env=environment, check=True, capture_output=True
        )

    done = subprocess.run(
        [COMMAND, "--json", "backup", volume], env=environment, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_quiet_says_less_and_verbose_does_not_break_json(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled()

    usual = voltar("backup", volume)
    quiet = voltar("-q", "backup", volume)
    loud = voltar("-v", "--json", "backup", volume)

    assert len(quiet.said) < len(usual.said)
    assert quiet.err == ""
    assert loud.summary["code"] == 0


# --- snapshots and ls


def test_snapshots_lists_all_and_those_of_one_source(seeded: Seeded) -> None:
    everything = seeded.voltar.ask("snapshots")
    one = seeded.voltar.ask("snapshots", f"volume:{seeded.volume}")

    assert len(everything) == 3
    assert [each["id"] for each in one] == [seeded.old, seeded.new]
    assert all(datetime.fromisoformat(each["time"]).tzinfo for each in everything)


def test_snapshots_for_people_has_a_line_for_each(seeded: Seeded) -> None:
    said = seeded.voltar("snapshots").text

    assert seeded.old[:8] in said
    assert seeded.new[:8] in said
    assert f"volume:{seeded.volume}" in said


def test_ls_lists_what_the_snapshot_holds(seeded: Seeded) -> None:
    listed = seeded.voltar.ask("ls", seeded.old)
    kinds = {entry["path"]: entry["type"] for entry in listed}

    assert {"etc/app/config", "etc/other", "data/x", "to-config", "fifo"} < set(kinds)
    assert "later" not in kinds
    assert (kinds["etc"], kinds["to-config"], kinds["fifo"]) == ("d", "l", "p")
    assert next(e for e in listed if e["path"] == "to-config")["link"] == "etc/app/config"


@pytest.mark.parametrize("path", ["etc/app", "etc/app/", "./etc/app", "/etc/app"])
def test_ls_of_a_path_lists_it_and_what_is_below(seeded: Seeded, path: str) -> None:
    assert paths(seeded.voltar.ask("ls", seeded.new, path)) == {"etc/app", "etc/app/config"}


def test_ls_of_a_path_that_is_not_there_is_an_error_that_names_it(seeded: Seeded) -> None:
    assert "no/such" in seeded.voltar("ls", seeded.new, "no/such", code=(1, 2)).err


def test_ls_never_prints_terminal_escapes(seeded: Seeded) -> None:
    said = seeded.voltar("ls", seeded.new)

    assert b"\x1b" not in said.out
    assert "evil" in said.text


def test_notes_tell_what_was_not_captured_as_it_should_be(voltar: Voltar, scratch: Scratch) -> None:
    volume = scratch.volume()
    root = scratch.engine.volume_directory(volume)
    subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).bind('s\\x1b[31m')"],
        cwd=root,
        check=True,
    )

    made = voltar("backup", volume)
    notes = voltar("ls", f"volume:{volume}", "--notes")
    told = voltar.ask("ls", f"volume:{volume}", "--notes")

    assert "socket" in notes.text
    assert "socket" in made.err
    assert len(told) == 1


# --- SNAPSHOT forms


def test_a_snapshot_is_named_by_id_prefix_source_and_time(seeded: Seeded) -> None:
    voltar, source = seeded.voltar, f"volume:{seeded.volume}"
    moment = seeded.between.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")

    def holds_later(name: str) -> bool:
        return "later" in paths(voltar.ask("ls", name))

    assert not holds_later(seeded.old)
    assert not holds_later(seeded.old[:10])
    assert holds_later(seeded.new[:10])
    assert holds_later(source)
    assert not holds_later(f"{source}@{moment}")
    assert holds_later(f"{source}@2999-01-01")


@pytest.mark.parametrize(
    "name",
    ["volume:not-there", "ffffffffff00", "", "volume:{volume}@2001-01-01", "volume:{volume}@soon",
     "not-there", "volume:", "@2020-01-01"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["ls", "export"])
def test_a_snapshot_that_does_not_exist_is_a_clear_error(
    seeded: Seeded, name: str, command: str
) -> None:
    refused = seeded.voltar(command, name.format(volume=seeded.volume), code=(1, 2))

    assert refused.err.strip()
    assert refused.out == b""


def test_a_time_without_a_zone_is_local_time(seeded: Seeded) -> None:
    abroad = seeded.voltar.changed(more={"TZ": "XXX+11"})
    local = seeded.between.timestamp() - 11 * 3600
    moment = datetime.fromtimestamp(local, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")

    listed = abroad.ask("ls", f"volume:{seeded.volume}@{moment}")

    assert "later" not in paths(listed)


# --- restore


def test_a_restore_into_a_new_volume_creates_it(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = fresh()

    told = seeded.voltar.summary("restore", seeded.new, "--to", f"volume:{target}")

    assert told["created"] is True
    assert content(target) == content(seeded.volume)


def test_an_older_snapshot_is_restored_as_it_was(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = fresh()

    seeded.voltar("restore", seeded.old, "--to", target, "--verify=full")

    assert set(content(seeded.volume)) - set(content(target)) == {b"later"}


def test_a_restore_into_an_empty_volume_fills_it(
    bed: Engine,
    voltar: Voltar,
    filled: Callable[..., str],
    scratch: Scratch,
    content: Callable[[str], Any],
) -> None:
    volume, target = filled({"a/b": b"1", "c": b"2"}), scratch.volume("--label", "mine=1")
    before = content(volume)

    voltar("backup", volume)
    told = voltar.summary("restore", f"volume:{volume}", "--to", target)

    assert told["created"] is False
    assert content(target) == before
    assert "mine" in bed.docker("volume", "inspect", target)


def test_a_restore_into_a_volume_that_is_not_empty_is_refused_and_leaves_it(
    seeded: Seeded, filled: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = filled({".hidden": b"mine"})
    before = content(target)

    refused = seeded.voltar("restore", seeded.new, "--to", target, code=5)

    assert target in refused.err
    assert "empty" in refused.err
    assert content(target) == before


def test_a_volume_with_only_lost_and_found_counts_as_empty_or_is_left_alone(
    seeded: Seeded, scratch: Scratch, content: Callable[[str], Any]
) -> None:
    target = scratch.volume()
    (scratch.engine.volume_directory(target) / "lost+found").mkdir(mode=0o700)

    result = seeded.voltar("restore", seeded.new, "--to", target, code=(0, 5))

    assert b"lost+found" in content(target)
    assert (b"later" in content(target)) == (result.code == 0)


def test_a_restore_into_a_volume_in_use_is_refused_with_what_to_do(
    seeded: Seeded, engine: Engine, scratch: Scratch, image: str, content: Callable[[str], Any]
) -> None:
    target = scratch.volume()
    options = ["-v", f"{target}:/v", "--stop-signal", "KILL"]
    user = scratch.running(image, "sleep", "1000", options=options)
    before = content(target)

    refused = seeded.voltar("--json", "restore", seeded.new, "--to", target, code=5).error

    assert user in refused["message"]
    assert "stop" in f"{refused['message']} {refused['hint']}"
    assert content(target) == before


def test_a_selected_path_is_restored_with_the_directories_above_it(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = fresh()

    seeded.voltar("restore", seeded.new, "--to", target, "etc/app", "--verify=full")
    here, there = content(target), content(seeded.volume)

    assert set(here) == {b"", b"etc", b"etc/app", b"etc/app/config"}
    assert here[b"etc/app/config"] == there[b"etc/app/config"]
    assert here[b"etc/app"] == there[b"etc/app"]


def test_several_paths_are_selected_at_once(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = fresh()

    seeded.voltar("restore", seeded.new, "--to", target, "later", "data/x", "fifo")

    assert set(content(target)) == {b"", b"later", b"data", b"data/x", b"fifo"}


@pytest.mark.parametrize("selected", ["data/link", "link"])
def test_a_hard_link_whose_other_name_is_not_selected_comes_with_its_content(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any], selected: str
) -> None:
    target = fresh()

    seeded.voltar("restore", seeded.new, "--to", target, selected, "--verify=full")
    found = content(target)[selected.encode()]

    assert found.content == content(seeded.volume)[selected.encode()].content
    assert found.size == 4
    assert found.names == ()


def test_both_names_of_a_hard_link_selected_are_one_file(
    seeded: Seeded, fresh: Callable[..., str], content: Callable[[str], Any]
) -> None:
    target = fresh()

    seeded.voltar("restore", seeded.new, "--to", target, "link", "data/link")

    assert content(target)[b"link"].names == (b"data/link", b"link")


def test_a_selected_path_that_is_not_there_is_an_error_and_makes_no_volume(
    seeded: Seeded, engine: Engine, fresh: Callable[..., str]
) -> None:
    target = fresh()

    refused = seeded.voltar("restore", seeded.new, "--to", target, "no/such", code=(1, 2))

    assert "no/such" in refused.err
    assert target not in engine.docker("volume", "ls", "--quiet").split()


def test_a_path_is_no_pattern(
    voltar: Voltar,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    volume, target = filled({"*": b"star", "a": b"1", "-x": b"2", "[a]": b"3"}), fresh()
    voltar("backup", volume)

    voltar("restore", f"volume:{volume}", "--to", target, "--", "*", "-x", "[a]")

    assert set(content(target)) == {b"", b"*", b"-x", b"[a]"}


def test_a_restore_to_a_container_goes_to_its_volume(
    voltar: Voltar,
    bed: Engine,
    scratch: Scratch,
    image: str,
    content: Callable[[str], Any],
) -> None:
    volume = scratch.volume()
    name = scratch.container(image, "true", options=["-v", f"{volume}:/dbdata"])
    root = bed.volume_directory(volume)
    fill(root, {"a": b"1", "b/c": b"2"})
    before = content(volume)
    voltar("backup", f"container:{name}")
    bed.docker("rm", name)
    bed.docker("volume", "rm", volume)
    scratch.claim(volumes=[volume])
    bed.docker("create", "--name", name, "-v", "/dbdata", image, "true")

    voltar("restore", f"volume:{volume}", "--to", f"container:{name}", "--verify=full")
    mounted = bed.docker("inspect", "--format", "{{(index .Mounts 0).Name}}", name)

    assert content(mounted) == before


def test_a_restore_never_writes_into_what_it_does_not_know(seeded: Seeded, engine: Engine) -> None:
    before = engine.docker("volume", "ls", "--quiet")

    for target in ("a b", "-x", "../x", "a/b", "path:/tmp/x", "container:not-there", ""):
        seeded.voltar("restore", seeded.new, f"--to={target}", code=(1, 2))

    assert engine.docker("volume", "ls", "--quiet") == before


# --- json and progress


def test_long_work_tells_events_that_end_with_a_summary(
    voltar: Voltar, filled: Callable[..., str], fresh: Callable[..., str], tmp_path: Path
) -> None:
    volume = filled({"a": b"1"})

    backup = voltar.summary("backup", volume)
    restore = voltar.summary("restore", f"volume:{volume}", "--to", fresh())
    export = voltar.summary("export", f"volume:{volume}", "-o", tmp_path / "x.tar")
    imported = voltar.summary("import", tmp_path / "x.tar", "--as", "volume:imported")
    check = voltar.summary("check")

    assert len(backup["snapshots"]) == 1
    assert restore["source"] == f"volume:{volume}"
    assert export["file"].endswith("x.tar")
    assert imported["source"] == "volume:imported"
    assert check["damages"] == []


def test_an_error_is_told_in_json_on_stderr(seeded: Seeded) -> None:
    failed = seeded.voltar("--json", "ls", "volume:not-there", code=1)

    assert failed.out == b""
    assert failed.error["type"] == "error"
    assert failed.error["code"] == 1
    assert "not-there" in failed.error["message"]


def test_on_a_terminal_there_is_a_progress_bar_and_plain_lines_without_one(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled({f"{n}": os.urandom(64 << 20) for n in range(5)})
    pid, terminal = pty.fork()
    if pid == 0:
        environment = voltar.environment | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        os.execve(COMMAND, [str(COMMAND), "backup", volume], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    said = read_until(terminal, b"never", within_s=60)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)

    plain = voltar("backup", volume)

    assert status == 0
    assert b"\r" in said
    assert b"/s" in said
    assert "\x1b" not in plain.said


def test_stdout_that_is_closed_early_makes_no_traceback(seeded: Seeded) -> None:
    for command in ("snapshots", f"ls {seeded.new}", f"export {seeded.new}", "--help"):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {COMMAND} {command} | head -c 1 >/dev/null"],
            env=seeded.voltar.environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert b"Exception ignored" not in done.stderr, done.stderr


# --- doctor


def test_doctor_says_what_works(every_engine: Engine, voltar: Voltar) -> None:
    told = voltar.ask("doctor")
    subjects = " ".join(each["subject"] for each in told)

    assert all(word in subjects for word in ("engine", "helper", "data plane", "store"))
    assert {each["state"] for each in told} <= {"ok", "warning", "note"}


def test_doctor_says_what_does_not_work_and_what_to_do(voltar: Voltar, tmp_path: Path) -> None:
    for broken in (
        voltar.changed(url="unix:///not/there.sock"),
        voltar.changed(repository=tmp_path / "not-there"),
        voltar.changed(password="wrong"),
        voltar.changed(more={"VOLTAR_HELPER_IMAGE": "not/there:1"}),
    ):
        result = broken("--json", "doctor", code=(0, 1, 3, 6))
        bad = [each for each in result.document if each["state"] != "ok"]
        assert bad, result
        assert all(each["hint"] or each["text"] for each in bad)


def test_doctor_follows_the_forced_data_plane(voltar: Voltar) -> None:
    for plane in ("attach", "fifo"):
        told = voltar.changed(more={"VOLTAR_DATA_PLANE": plane}).ask("doctor")
        (line,) = (each for each in told if each["subject"] == "data plane")
        assert plane in json.dumps(line)


def test_doctor_leaves_nothing_in_the_repository_or_on_the_engine(
    voltar: Voltar, bed: Engine
) -> None:
    helpers = ("ps", "-aq", "--filter", "label=voltar.helper")
    before = tree(voltar.repository), bed.docker(*helpers)

    voltar("doctor")

    assert (tree(voltar.repository), bed.docker(*helpers)) == before


# --- check


def test_a_sound_repository_passes_the_check(seeded: Seeded) -> None:
    told = seeded.voltar.summary("check")

    assert told["snapshots"] == 3
    assert told["damages"] == []


def flip(pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)


def truncate(pack: Path) -> None:
    pack.chmod(0o600)
    os.truncate(pack, pack.stat().st_size // 2)


def empty(pack: Path) -> None:
    pack.chmod(0o600)
    os.truncate(pack, 0)


@pytest.mark.parametrize("damage", [flip, truncate, empty, Path.unlink], ids=lambda d: d.__name__)
def test_a_damaged_pack_is_found_and_named_with_the_snapshots_it_hurts(
    voltar: Voltar,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    bed: Engine,
    damage: Callable[[Path], None],
) -> None:
    assert voltar.repository is not None
    good = filled({"small": b"1"})
    voltar("backup", good)
    sound = set((voltar.repository / "packs").iterdir())
    hurt = filled({"d/large": os.urandom(3 << 20), "small": b"1"})
    (snapshot,) = voltar.summary("backup", hurt)["snapshots"]
    new = set((voltar.repository / "packs").rglob("*")) - sound
    pack = max((path for path in new if path.is_file()), key=lambda path: path.stat().st_size)
    damage(pack)

    told = voltar("check", code=4)
    as_json = voltar("--json", "check", code=4)
    target = fresh()
    voltar("restore", f"volume:{hurt}", "--to", target, code=(1, 4))
    voltar("restore", f"volume:{good}", "--to", fresh())
    voltar("restore", snapshot, "small", "--to", fresh())

    assert pack.name[:8] in told.said
    assert "d/large" in told.said
    assert "small cannot" not in told.said
    assert snapshot[:8] in told.said or hurt in told.said
    assert pack.name[:8] in as_json.said
    assert target not in bed.docker("volume", "ls", "--quiet").split()


@pytest.mark.parametrize("area", ["snapshots", "index", "keys"])
def test_every_other_damaged_object_is_found(
    voltar: Voltar, filled: Callable[..., str], area: str
) -> None:
    assert voltar.repository is not None
    voltar("backup", filled())
    victim = next(p for p in sorted((voltar.repository / area).rglob("*")) if p.is_file())
    flip(victim)

    assert voltar("check", code=(4, 6)).err.strip()


def test_a_volume_whose_options_lead_to_the_captured_data_is_not_restored_into(
    voltar: Voltar, scratch: Scratch, run_directory: Path
) -> None:
    """A new volume with the options of the old one is the old one's data under another name."""
    place = run_directory / "precious"
    place.mkdir()
    (place / "only-copy").write_bytes(b"data")
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={place}")
    volume, again = scratch.volume(*options), scratch.name("again")

    voltar("backup", f"volume:{volume}")
    done = voltar("restore", f"volume:{volume}", "--to", again, code=5)

    assert "not empty" in done.err
    assert [path.name for path in place.iterdir()] == ["only-copy"]
    assert (place / "only-copy").read_bytes() == b"data"
    assert again not in scratch.engine.docker("volume", "ls", "--quiet").split()
