"""What can be backed up: volumes, all that containers mount, several at once, and everything."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Result, Voltar
from tests.acceptance.files import fill
from tests.testbed import images
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch
from tests.testbed.seed import volume_at

SLEEP = ("sleep", "1000")
KILL = ("--stop-signal", "KILL")


def captured(voltar: Voltar, result: Result) -> dict[str, set[str]]:
    """What each snapshot of a backup holds: source → paths of what is not a directory."""
    made = [event for event in result.events if event["type"] == "snapshot"]
    found: dict[str, set[str]] = {}
    for event in made:
        assert event["source"] not in found, "captured twice"
        listed = voltar.ask("ls", event["id"])
        found[event["source"]] = {entry["path"] for entry in listed if entry["type"] != "d"}
    return found


def back_up(voltar: Voltar, *targets: str, code: int = 0) -> dict[str, set[str]]:
    """Back up and see what was captured."""
    return captured(voltar, voltar("--json", "backup", *targets, code=code))


def write(engine: Engine, volume: str, *names: str) -> None:
    """Put files into a volume."""
    fill(engine.volume_directory(volume), {name: name.encode() for name in names})


def test_a_volume_is_backed_up_by_its_plain_name(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled({"a": b"1"})

    assert back_up(voltar, volume) == {f"volume:{volume}": {"a"}}


def test_a_container_gives_its_named_anonymous_bind_and_read_only_mounts(
    voltar: Voltar, every_engine: Engine, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    fill(tmp_path, {"bound/in-bind": b"1", "read-only/in-ro": b"2", "single": b"3"})
    named, read_only = scratch.volume(), scratch.volume()
    mounts = {
        f"{named}:/named": "",
        "/anonymous": "",
        f"{read_only}:/read-only:ro": "",
        f"{tmp_path}/bound:/bound": "",
        f"{tmp_path}/read-only:/bound-ro:ro": "",
        f"{tmp_path}/single:/etc/single": "",
    }
    options = [word for mount in mounts for word in ("-v", mount)]
    name = scratch.running(image, *SLEEP, options=[*options, *KILL])
    anonymous = volume_at(every_engine, name, "/anonymous")
    write(every_engine, named, "in-named", "below/in-named")
    write(every_engine, anonymous, "in-anonymous")
    write(every_engine, read_only, "in-volume-ro")

    found = back_up(voltar, f"container:{name}")

    assert found.pop(f"volume:{named}") == {"in-named", "below/in-named"}
    assert found.pop(f"volume:{anonymous}") == {"in-anonymous"}
    assert found.pop(f"volume:{read_only}") == {"in-volume-ro"}
    assert sorted(map(sorted, found.values())) == [["in-bind"], ["in-ro"], ["single"]]


def test_the_bound_file_comes_back(
    voltar: Voltar,
    scratch: Scratch,
    image: str,
    tmp_path: Path,
    fresh: Callable[..., str],
    content: Callable[[str], Any],
) -> None:
    single = tmp_path / "single"
    single.write_bytes(b"content of the single file")
    single.chmod(0o4640)
    os.utime(single, ns=(1, 1_234_567_891))
    name = scratch.container(image, "true", options=["-v", f"{single}:/etc/single"])
    restored = fresh()

    made = voltar.summary("backup", f"container:{name}")
    voltar("restore", made["snapshots"][0][:12], "--to", restored, "--verify=full")

    (path,) = set(content(restored)) - {b""}
    facts = content(restored)[path]
    assert (path, facts.mode, facts.mtime_ns, facts.size) == (
        b"single",
        0o4640,
        1_234_567_891,
        26,
    )


def test_what_a_container_inherits_from_another_is_captured(
    voltar: Voltar, bed: Engine, scratch: Scratch, image: str
) -> None:
    first = scratch.volume()
    of_first = scratch.container(image, "true", options=["-v", f"{first}:/one", "-v", "/two"])
    second = scratch.container(image, "true", options=["--volumes-from", of_first, "-v", "/three"])
    two, three = volume_at(bed, second, "/two"), volume_at(bed, second, "/three")
    write(bed, first, "a")
    write(bed, two, "b")
    write(bed, three, "c")

    found = back_up(voltar, f"container:{second}")

    assert found == {f"volume:{first}": {"a"}, f"volume:{two}": {"b"}, f"volume:{three}": {"c"}}


@pytest.fixture(params=["running", "never-ran"])
def nested(
    scratch: Scratch, image: str, request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, dict[str, set[str]]]:
    """A container with mounts inside mounts, and what each holds."""
    outer, inner, innermost = (scratch.volume() for _ in range(3))
    bound = tmp_path / "bound"
    fill(bound, {"in-bound": b"1"})
    places = {outer: "/v", inner: "/v/sub/inner", innermost: "/v/sub/inner/x", bound: "/v/bound"}
    options = [word for source, at in places.items() for word in ("-v", f"{source}:{at}")]
    make = scratch.running if request.param == "running" else scratch.container
    name = make(image, *SLEEP, options=[*options, *KILL])
    write(scratch.engine, outer, "in-outer", "sub/beside")
    write(scratch.engine, inner, "in-inner")
    write(scratch.engine, innermost, "in-innermost")
    held = {
        f"volume:{outer}": {"in-outer", "sub/beside"},
        f"volume:{inner}": {"in-inner"},
        f"volume:{innermost}": {"in-innermost"},
        f"path:{bound}": {"in-bound"},
    }
    return name, held


def test_mounts_inside_mounts_are_each_captured_once_and_alone(
    voltar: Voltar, nested: tuple[str, dict[str, set[str]]]
) -> None:
    name, held = nested

    assert back_up(voltar, f"container:{name}") == held


def test_volumes_at_usr_lib_bin_and_etc_are_captured(
    voltar: Voltar, bed: Engine, scratch: Scratch, image: str
) -> None:
    places = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/run", "/tmp", "/root")
    volumes = {place: scratch.volume() for place in places}
    hostile = b"/nowhere/evil.so\n"
    for volume in volumes.values():
        root = bed.volume_directory(volume)
        fill(root, {"ld.so.preload": hostile, "tar": b"#!/bin/false\n", "libc.so.6": b"not ELF"})
        (root / "tar").chmod(0o755)
    options = [word for place, volume in volumes.items() for word in ("-v", f"{volume}:{place}")]
    name = scratch.container(image, "true", options=options)

    found = back_up(voltar, f"container:{name}")

    held = {"ld.so.preload", "tar", "libc.so.6"}
    assert found == {f"volume:{volume}": held for volume in volumes.values()}


def test_the_same_volume_at_two_places_of_a_container_is_captured_once(
    voltar: Voltar, bed: Engine, scratch: Scratch, image: str
) -> None:
    volume = scratch.volume()
    options = ["-v", f"{volume}:/one", "-v", f"{volume}:/two:ro"]
    name = scratch.container(image, "true", options=options)
    write(bed, volume, "a")

    assert back_up(voltar, f"container:{name}") == {f"volume:{volume}": {"a"}}


def test_several_targets_make_one_snapshot_for_each_source(
    voltar: Voltar, bed: Engine, scratch: Scratch, filled: Callable[..., str], image: str
) -> None:
    one, two, shared = filled({"1": b"1"}), filled({"2": b"2"}), filled({"3": b"3"})
    name = scratch.container(image, "true", options=["-v", f"{shared}:/s", "-v", f"{one}:/o"])

    found = back_up(voltar, f"volume:{two}", f"container:{name}", one)

    assert found == {f"volume:{one}": {"1"}, f"volume:{two}": {"2"}, f"volume:{shared}": {"3"}}


def test_all_takes_every_volume_and_what_containers_mount(
    voltar: Voltar,
    bed: Engine,
    scratch: Scratch,
    filled: Callable[..., str],
    image: str,
    tmp_path: Path,
) -> None:
    alone, mounted = filled({"1": b"1"}), filled({"2": b"2"})
    fill(tmp_path / "bound", {"3": b"3"})
    scratch.container(image, "true", options=["-v", f"{mounted}:/m", "-v", f"{tmp_path}/bound:/b"])

    found = back_up(voltar, "--all")

    assert found.items() >= {f"volume:{alone}": {"1"}, f"volume:{mounted}": {"2"}}.items()
    assert found[f"path:{tmp_path}/bound"] == {"3"}


def test_one_target_that_does_not_exist_keeps_no_other_from_being_saved(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume, gone, twice = filled(), "volume:not-there", "planet:mars"

    told = voltar("backup", gone, volume, twice, code=3)
    summary = voltar("--json", "backup", volume, gone, code=3)
    voltar("backup", gone, twice, code=1)

    assert "warning: volume:not-there was not backed up: no volume 'not-there'" in told.err
    assert "backed up: 1 of 3 sources" in told.err
    assert (len(summary.summary["snapshots"]), summary.summary["failed"]) == (1, 1)
    assert [each["source"] for each in voltar.ask("snapshots")] == [f"volume:{volume}"] * 2


def test_a_name_of_both_a_volume_and_a_container_is_refused_and_both_are_named(
    voltar: Voltar, bed: Engine, scratch: Scratch, image: str
) -> None:
    name = scratch.container(image, "true")
    scratch.volume(name=name)
    write(bed, name, "a")

    refused = voltar("backup", name, code=(1, 2))

    assert f"volume:{name}" in refused.err
    assert f"container:{name}" in refused.err
    assert back_up(voltar, f"volume:{name}") == {f"volume:{name}": {"a"}}


@pytest.mark.parametrize("target", ["nobody", "volume:nobody", "container:nobody"])
def test_a_target_that_does_not_exist_is_an_error_that_names_it(
    voltar: Voltar, target: str
) -> None:
    assert "nobody" in voltar("backup", target, code=1).err
    assert voltar.ask("snapshots") == []


@pytest.mark.parametrize("target", ["volume:", "planet:mars", "", "a/b", "../x"])
def test_a_target_that_makes_no_sense_is_refused(voltar: Voltar, target: str) -> None:
    assert voltar("backup", target, code=(1, 2)).err.strip()


def test_a_backup_of_nothing_is_a_usage_error(voltar: Voltar) -> None:
    voltar("backup", code=2)


def test_backing_up_does_not_create_the_volume_that_is_missing(voltar: Voltar, bed: Engine) -> None:
    voltar("backup", "volume:never-made", code=1)

    assert "never-made" not in bed.docker("volume", "ls", "--quiet").split()


def test_a_container_without_mounts_is_said_to_have_none(
    voltar: Voltar, scratch: Scratch, image: str
) -> None:
    name = scratch.container(image, "true")

    result = voltar("backup", f"container:{name}", code=(0, 1, 2))

    assert "mount" in result.said or "volume" in result.said


def test_a_tmpfs_of_a_container_is_said_to_be_left_out(
    voltar: Voltar, bed: Engine, scratch: Scratch, image: str
) -> None:
    volume = scratch.volume()
    name = scratch.container(image, "true", options=["--tmpfs", "/memory", "-v", f"{volume}:/v"])
    write(bed, volume, "a")

    result = voltar("backup", f"container:{name}")

    assert "/memory" in result.said


def test_a_container_is_not_touched_by_its_backup(
    voltar: Voltar, bed: Engine, scratch: Scratch, filled: Callable[..., str], image: str
) -> None:
    volume = filled({"a": b"1"})
    name = scratch.running(image, *SLEEP, options=["-v", f"{volume}:/v", *KILL])
    state = "{{json .State}} {{.RestartCount}} {{json .Mounts}}"
    before = bed.docker("inspect", "--format", state, name)

    voltar("backup", f"container:{name}")

    assert bed.docker("inspect", "--format", state, name) == before
    assert bed.docker("exec", name, "cat", "/v/a") == "1"


def test_a_paused_container_is_backed_up_and_stays_paused(
    voltar: Voltar, bed: Engine, scratch: Scratch, filled: Callable[..., str], image: str
) -> None:
    volume = filled({"a": b"1"})
    name = scratch.running(image, *SLEEP, options=["-v", f"{volume}:/v", *KILL])
    bed.docker("pause", name)

    found = back_up(voltar, f"container:{name}")
    status = bed.docker("inspect", "--format", "{{.State.Status}}", name)
    bed.docker("unpause", name)

    assert found == {f"volume:{volume}": {"a"}}
    assert status == "paused"


def test_a_new_volume_gets_driver_options_and_labels_of_the_one_backed_up(
    voltar: Voltar, every_engine: Engine, scratch: Scratch, fresh: Callable[..., str]
) -> None:
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.volume": "data",
        "com.docker.compose.version": "2.24.0",
        "equals": "a=b c",
    }
    words = [word for item in labels.items() for word in ("--label", "=".join(item))]
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=20m,mode=1770"}
    words += [word for item in options.items() for word in ("--opt", "=".join(item))]
    volume, restored = scratch.volume(*words), fresh()
    image = images.tools(every_engine)
    fill_it = ["run", "--rm", "-v", f"{volume}:/v", image, "sh", "-c", "echo 1 >/v/a"]
    every_engine.docker(*fill_it)

    voltar("backup", f"volume:{volume}")
    voltar("restore", f"volume:{volume}", "--to", restored)
    made = json.loads(every_engine.docker("volume", "inspect", restored))[0]

    assert made["Driver"] == "local"
    assert made["Options"] == options
    assert made["Labels"].items() >= labels.items()


def test_snapshots_tell_driver_labels_container_and_place(
    voltar: Voltar, scratch: Scratch, image: str
) -> None:
    volume = scratch.volume("--label", "com.docker.compose.project=shop")
    name = scratch.container(image, "true", options=["-v", f"{volume}:/place"])

    voltar("backup", f"container:{name}")
    (told,) = voltar.ask("snapshots")

    assert told["source"] == f"volume:{volume}"
    assert told["driver"] == "local"
    assert told["labels"]["com.docker.compose.project"] == "shop"
    assert told["container"] == name
    assert told["destination"] == "/place"


def test_a_snapshot_holds_the_definition_of_the_container(
    voltar: Voltar, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    plain = voltar.changed(repository=tmp_path / "plain", password=None)
    plain("init", "--no-encryption")
    words = ["-e", "GREETING=marker-in-environment", "--memory", "77m", "--restart", "on-failure:7"]
    volume = scratch.volume("--opt", "type=tmpfs", "--opt", "device=marker-in-options")
    other = scratch.volume()
    name = scratch.container(image, "marker-of-command", options=[*words, "-v", f"{other}:/v"])

    plain("backup", f"container:{name}")
    written = b"".join(map(readable, sorted((tmp_path / "plain").rglob("*"))))

    assert volume
    for marker in (b"marker-in-environment", b"marker-of-command", b"on-failure", image.encode()):
        assert marker in written
    assert str(77 << 20).encode() in written


def readable(path: Path) -> bytes:
    """The content of an object of an unencrypted repository; zstd or as it is."""
    if not path.is_file():
        return b""
    unpacked = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=False)
    return unpacked.stdout + path.read_bytes()


def test_a_container_that_is_gone_has_its_snapshots_restored(
    voltar: Voltar,
    bed: Engine,
    scratch: Scratch,
    image: str,
    content: Callable[[str], Any],
) -> None:
    volume = scratch.volume()
    name = scratch.container(image, "true", options=["-v", f"{volume}:/v"])
    write(bed, volume, "a", "b/c")
    before = content(volume)
    voltar("backup", f"container:{name}")
    bed.docker("rm", name)
    bed.docker("volume", "rm", volume)

    voltar("restore", f"volume:{volume}", "--to", f"volume:{volume}", "--verify=full")

    assert content(volume) == before


@pytest.mark.parametrize("how", ["all of it", "a part of it"])
def test_a_volume_that_leads_to_the_repository_is_not_saved_into_it(
    voltar: Voltar, scratch: Scratch, how: str
) -> None:
    assert voltar.repository is not None
    other = scratch.volume()
    device = voltar.repository if how == "all of it" else voltar.repository / "keys"
    options = {"type": "none", "o": "bind", "device": str(device)}
    itself = scratch.volume(
        *(word for item in options.items() for word in ("--opt", "=".join(item)))
    )

    result = voltar("backup", f"volume:{itself}", f"volume:{other}")

    assert f"skipped volume:{itself}" in result.err
    kept = json.loads(voltar("--json", "snapshots").out)
    assert [each["source"] for each in kept] == [f"volume:{other}"]
