"""A container as evidence: complete, hashed, and the container as it was."""

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.acceptance.cli import until
from tests.testbed.engine import Engine
from tests.testbed.proxy import Proxy

ALWAYS = {
    "top.json", "inspect.json", "diff.json", "logs/stdout.log", "logs/stderr.log", "image.tar",
    "base-image.json", "engine/version.json", "engine/info.json", "image.json",
    "inspect-after.json", "manifest.json",
}  # fmt: skip
TALKS = "echo said; echo complained >&2; echo changed > /changed; exec sleep 600"


@pytest.fixture
def busy(scratch, image, filled):
    """A running container with a volume, which has talked and changed a file."""
    volume = filled({"data/file": b"in the volume\n"})
    name = scratch.running(image, "sh", "-c", TALKS, options=("-v", f"{volume}:/data"))
    until(lambda: "complained" in logs(scratch.engine, name), what="the log")
    return name


def logs(engine: Engine, name: str) -> str:
    return engine.attempt("logs", name).stderr.decode()


def state(engine: Engine, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(engine.docker("inspect", name))[0]["State"]
    return found


def without_ps(engine: Engine, name: str) -> bool:
    return b'"ps": executable file not found' in engine.attempt("top", name).stderr


def images(engine: Engine) -> str:
    return engine.docker("images", "--quiet", "voltar-evidence")


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def assert_sums(directory: Path) -> None:
    """All digests are right, by the tool that everybody has, and every file has one."""
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory, check=True
    )
    listed = {
        line.split("  ", 1)[1] for line in (directory / "SHA256SUMS").read_text().splitlines()
    }
    assert listed == names(directory) - {"SHA256SUMS"}


def assert_complete(engine: Engine, directory: Path, container: str) -> None:
    """All is there. Processes are what `ps` says where the engine runs, if there is one."""
    assert_sums(directory)
    (mount,) = (directory / "mounts").iterdir()
    missing = {"top.json"} - names(directory) if without_ps(engine, container) else set()
    assert names(directory) == {*ALWAYS, "SHA256SUMS", f"mounts/{mount.name}"} - missing
    assert (directory / "logs/stdout.log").read_text().endswith("Z said\n")
    assert (directory / "logs/stderr.log").read_text().endswith("Z complained\n")
    assert {"Path": "/changed", "Kind": 1} in json.loads((directory / "diff.json").read_text())
    if not missing:
        assert "sleep 600" in (directory / "top.json").read_text()
    inspected = json.loads((directory / "inspect.json").read_text())
    assert inspected["Name"] == f"/{container}"
    with tarfile.open(mount) as tar:
        file = tar.extractfile("data/file")
        assert file is not None
        assert file.read() == b"in the volume\n"
    manifest = json.loads((directory / "manifest.json").read_text())
    assert [each["about"] for each in manifest["missing"]] == ["processes"] * len(missing)
    assert manifest["container"]["name"] == container
    assert manifest["started"]["engine"] < manifest["ended"]["engine"]
    assert manifest["started"]["here"] < manifest["ended"]["here"]
    assert (manifest["program"].split()[0], bool(manifest["engine"]["version"])) == ("voltar", True)


def assert_loads(engine: Engine, archive: Path) -> None:
    """The engine takes the image back, and the changed file is in it."""
    said = engine.docker("load", "--input", archive).rpartition(": ")[2].strip()
    try:
        changed = engine.docker("run", "--rm", said, "cat", "/changed")
        assert changed == "changed"
    finally:
        engine.docker("rmi", "--force", said)


@pytest.fixture
def where(every_engine, voltar, tmp_path):
    return every_engine, voltar, tmp_path / "evidence"


def test_a_running_container_becomes_a_directory_and_is_left_alone(where, busy):
    engine, voltar, output = where
    before = state(engine, busy)

    done = voltar("capture", busy, "-o", output, code=3 if without_ps(engine, busy) else 0)

    assert_complete(engine, output, busy)
    sums = hashlib.sha256((output / "SHA256SUMS").read_bytes()).hexdigest()
    assert done.text.splitlines()[-1].endswith(sums)
    assert state(engine, busy) == before
    assert images(engine) == ""
    assert_loads(engine, output / "image.tar")
    assert [path.name for path in output.parent.glob(".voltar*")] == []


def test_it_is_never_paused_unless_that_is_asked_for(scratch, voltar, busy, tmp_path):
    since = scratch.engine.docker("info", "--format", "{{.SystemTime}}")

    voltar("capture", busy, "-o", tmp_path / "one")
    quiet = events(scratch.engine, busy, since)
    voltar("capture", busy, "--pause", "-o", tmp_path / "two")

    assert "pause" not in quiet
    paused = [each for each in events(scratch.engine, busy, since) if "pause" in each]
    assert paused == ["pause", "unpause"]
    assert state(scratch.engine, busy)["Status"] == "running"
    told = json.loads((tmp_path / "two" / "manifest.json").read_text())["paused"]
    assert told["from"]["engine"] < told["until"]["engine"]
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["paused"] is None


def events(engine: Engine, name: str, since: str) -> list[str]:
    until_now = engine.docker("info", "--format", "{{.SystemTime}}")
    words = ["events", "--since", since, "--until", until_now, "--filter", f"container={name}"]
    return engine.docker(*words, "--format", "{{.Action}}").splitlines()


@pytest.mark.parametrize("ending", [".tar", ".tar.zst"])
def test_a_tar_file(voltar, scratch, busy, tmp_path, ending):
    output = tmp_path / f"evidence{ending}"

    voltar("capture", busy, "-o", output)

    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", output, "-C", unpacked], check=True)
    assert_complete(scratch.engine, unpacked, busy)


def test_the_repository_keeps_it_as_one_snapshot(voltar, scratch, busy, tmp_path):
    done = voltar.summary("capture", busy, "--tag", "case-17")

    (found,) = voltar.ask("snapshots", f"evidence:{busy}")
    assert (found["id"], found["tags"]) == (done["snapshot"], ["case-17"])
    voltar("export", found["id"], "-o", tmp_path / "evidence.tar")
    unpacked = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "evidence.tar") as tar:
        tar.extractall(unpacked, filter="data")
    assert_complete(scratch.engine, unpacked, busy)
    sums = hashlib.sha256((unpacked / "SHA256SUMS").read_bytes()).hexdigest()
    assert done["sha256"] == sums
    voltar("check", "--read-data")


def test_a_container_that_is_paused_stays_paused(voltar, scratch, busy, tmp_path):
    scratch.engine.docker("pause", busy)

    voltar("capture", busy, "--pause", "-o", tmp_path / "evidence", code=(0, 3))

    assert state(scratch.engine, busy)["Paused"] is True
    assert_sums(tmp_path / "evidence")


def test_of_a_stopped_container_there_is_all_but_processes(voltar, scratch, busy, tmp_path):
    scratch.engine.docker("stop", "--time", "0", busy)

    target = f"container:{busy}"
    done = voltar("capture", target, "--pause", "-o", tmp_path / "evidence", code=3)

    assert "processes" in done.err
    assert names(tmp_path / "evidence") >= ALWAYS - {"top.json"}
    assert_sums(tmp_path / "evidence")
    missing = json.loads((tmp_path / "evidence" / "manifest.json").read_text())["missing"]
    assert {each["about"] for each in missing} == {"processes", "a pause"}


def test_of_a_terminal_the_log_is_one(voltar, scratch, image, tmp_path):
    name = scratch.running(image, "sh", "-c", TALKS, options=("--tty",))
    until(lambda: "complained" in scratch.engine.docker("logs", name), what="the log")

    voltar("capture", name, "-o", tmp_path / "evidence")

    said = (tmp_path / "evidence/logs/stdout.log").read_text()
    assert "Z said" in said
    assert "Z complained" in said
    assert (tmp_path / "evidence/logs/stderr.log").read_text() == ""


def test_a_container_that_is_not_there(voltar, tmp_path):
    done = voltar("capture", "nothing-of-that-name", "-o", tmp_path / "evidence", code=1)

    assert "no container 'nothing-of-that-name'" in done.err
    assert not (tmp_path / "evidence").exists()


def test_nothing_is_replaced(voltar, busy, tmp_path):
    (tmp_path / "evidence").mkdir()

    done = voltar("capture", busy, "-o", tmp_path / "evidence", code=2)

    assert "replaces nothing" in done.err


def slow(scratch, image, filled) -> str:
    """A running container with so much in its volume that a capture takes a while."""
    volume = filled({"large": os.urandom(1 << 20) * 200})
    name: str = scratch.running(image, "sleep", "600", options=("-v", f"{volume}:/data"))
    return name


@pytest.fixture
def heavy(scratch, image, filled):
    return slow(scratch, image, filled)


@pytest.mark.parametrize("again", ["backup", "recover"])
def test_after_a_kill_the_next_run_makes_it_good(again, voltar, scratch, image, filled, tmp_path):
    name = slow(scratch, image, filled)
    with voltar.start("capture", name, "--pause", "-o", tmp_path / "evidence") as running:
        until(lambda: list(tmp_path.glob(".voltar*/mounts/*.tar")), what="the mount")
        assert state(scratch.engine, name)["Paused"] is True
        running.kill()

    done = voltar(*(("recover",) if again == "recover" else ("backup", name)))

    assert f"a capture of {name} was killed" in done.err
    assert state(scratch.engine, name)["Status"] == "running"
    assert images(scratch.engine) == ""
    assert [path.name for path in tmp_path.glob(".voltar*")] == []
    assert not (tmp_path / "evidence").exists()
    assert "was killed" not in voltar("backup", name).err


def test_a_journal_that_cannot_be_read_is_told_by_every_run(voltar, busy, tmp_path):
    journals = Path(voltar.environment["VOLTAR_STATE_DIRECTORY"]) / "captures"
    journals.mkdir(parents=True)
    (journals / "abcd.json").write_bytes(b"\0" * 100)

    said = voltar("capture", busy, "-o", tmp_path / "evidence").err + voltar("recover").err

    assert said.count("abcd.json, cannot be read") == 2
    assert "voltar-evidence:abcd" in said


def test_a_container_that_fails_again_and_again(voltar, scratch, image, tmp_path):
    """It may run, or wait for its next start: whatever there is, is kept; it is left alone."""
    name = scratch.running(image, "false", options=("--restart", "always"))
    until(lambda: state(scratch.engine, name)["Restarting"], what="a restart")

    done = voltar("--json", "capture", name, "--pause", "-o", tmp_path / "evidence", code=(0, 3))

    assert_sums(tmp_path / "evidence")
    kept = names(tmp_path / "evidence")
    assert {"inspect.json", "image.tar", "logs/stdout.log", "diff.json"} <= kept
    assert (done.code == 3) == bool(done.summary["missing"])
    assert (
        scratch.engine.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", name)
        == "always"
    )
    assert not state(scratch.engine, name)["Paused"]


def test_what_somebody_uses_meanwhile_is_left_to_them(voltar, scratch, image, filled, tmp_path):
    name = slow(scratch, image, filled)
    with voltar.start("capture", name, "-o", tmp_path / "evidence") as running:
        until(lambda: list(tmp_path.glob(".voltar*/mounts/*.tar")), what="the mount")
        running.kill()
    used = images(scratch.engine)
    scratch.claim(images=[used])
    user = scratch.running(used, "sleep", "600")

    done = voltar("backup", name)

    assert f"a capture of {name} was killed" in done.err
    assert state(scratch.engine, user)["Status"] == "running"
    assert images(scratch.engine) == ""
    assert "was killed" not in voltar("backup", name).err


def test_one_that_is_at_work_is_left_alone(voltar, scratch, image, filled, tmp_path):
    name = slow(scratch, image, filled)
    with voltar.start("capture", name, "--pause", "-o", tmp_path / "evidence") as running:
        until(lambda: images(scratch.engine), what="the image")
        done = voltar("backup", name)
        result = running.end()

    assert "was killed" not in done.err
    assert result.code == 0, str(result)
    assert_sums(tmp_path / "evidence")


def test_an_interrupt_takes_everything_back(voltar, scratch, image, filled, tmp_path):
    name = slow(scratch, image, filled)
    with voltar.start("capture", name, "--pause", "-o", tmp_path / "evidence") as running:
        until(lambda: images(scratch.engine), what="the image")
        running.process.terminate()
        result = running.end()

    assert result.code == 130
    assert state(scratch.engine, name)["Status"] == "running"
    assert images(scratch.engine) == ""
    assert [path.name for path in tmp_path.iterdir() if "evidence" in path.name] == []
    assert [path.name for path in tmp_path.glob(".voltar*")] == []
    assert "was killed" not in voltar("recover").err


def test_over_ssh_it_is_the_same(voltar, ssh_host, engine, busy, tmp_path):
    ssh_host.config_for(voltar.home)

    voltar.changed(url=ssh_host.url)("capture", busy, "--pause", "-o", tmp_path / "evidence")

    assert_complete(engine, tmp_path / "evidence", busy)
    assert state(engine, busy)["Status"] == "running"


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_link_that_is_cut_leaves_no_container_paused(
    voltar, ssh_host, scratch, heavy, tmp_path, comes_back
):
    with Proxy(ssh_host.port) as proxy:
        ssh_host.config_for(voltar.home, port=proxy.port)
        afar = voltar.changed(url=f"ssh://{ssh_host.user}@127.0.0.1:{proxy.port}")
        proxy.slow(20 << 20)
        with afar.start("capture", heavy, "--pause", "-o", tmp_path / "evidence") as running:
            until(lambda: list(tmp_path.glob(".voltar*/mounts/*.tar")), what="the mount")
            if not comes_back:
                proxy.refuse()
            proxy.cut_now()
            done = running.end()
        if not comes_back:
            assert state(scratch.engine, heavy)["Paused"]
            assert "may stand paused" in done.err
            proxy.accept()
            afar("recover")

    assert done.code == 1
    assert state(scratch.engine, heavy)["Status"] == "running"
    assert images(scratch.engine) == ""


def test_a_full_disk_leaves_nothing(voltar, scratch, busy, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
    try:
        done = voltar("capture", busy, "--pause", "-o", small / "evidence", code=1)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)

    assert "No space left" in done.err
    assert state(scratch.engine, busy)["Status"] == "running"
    assert images(scratch.engine) == ""


def test_a_container_that_goes_away_meanwhile_leaves_what_there_was(
    voltar, scratch, image, filled, tmp_path
):
    name = slow(scratch, image, filled)
    with voltar.start("capture", name, "-o", tmp_path / "evidence") as running:
        until(lambda: list(tmp_path.glob(".voltar*/inspect.json")), what="the inspect")
        scratch.engine.docker("rm", "--force", name)
        result = running.end()

    assert result.code == 3, str(result)
    assert_sums(tmp_path / "evidence")
    manifest = json.loads((tmp_path / "evidence/manifest.json").read_text())
    assert "inspect, at the end" in {each["about"] for each in manifest["missing"]}
    assert json.loads((tmp_path / "evidence/inspect.json").read_text())["Name"] == f"/{name}"
