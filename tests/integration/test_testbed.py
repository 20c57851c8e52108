"""The test bed itself: engines start, die and come back; nothing is left of them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testbed import images, leaks, seed, workspace
from tests.testbed.command import BedFailure, run
from tests.testbed.engine import KINDS, Engine, reachable
from tests.testbed.scratch import Scratch
from tests.testbed.walk import diff, snapshot

PROJECT = Path(__file__).parents[2]
RUN = """
import time
from tests.testbed import images
from tests.testbed.engine import Pool
from tests.testbed.workspace import Run
run = Run()
engine = Pool(run).engine()
engine.docker("run", "-d", "--name", "left", images.tools(engine), "sleep", "1000")
engine.docker("pause", "left")
print(run.directory, engine.daemon.pid(), flush=True)
time.sleep(600)
"""


def test_a_container_runs_pauses_and_stops(
    every_engine: Engine, scratch: Scratch, image: str
) -> None:
    volume = scratch.volume()
    name = scratch.running(
        image, "sleep", "1000", options=["-v", f"{volume}:/data", "--stop-signal", "KILL"]
    )

    every_engine.docker("exec", name, "sh", "-c", "echo kept >/data/file")
    every_engine.docker("pause", name)
    paused = every_engine.docker("inspect", "--format", "{{.State.Status}}", name)
    every_engine.docker("unpause", name)
    every_engine.docker("stop", name)
    every_engine.docker("start", name)

    assert paused == "paused"
    assert every_engine.docker("exec", name, "cat", "/data/file") == "kept"
    assert (every_engine.volume_directory(volume) / "file").read_text() == "kept\n"


def test_kinds_have_the_image_store_that_they_are_called_after(every_engine: Engine) -> None:
    driver = every_engine.docker("info", "--format", "{{.DriverStatus}}")

    assert every_engine.kind in (
        ["28.5-containerd", "given"]
        if "containerd" in driver
        else ["20.10", "28.5-classic", "given"]
    )


def test_images_are_saved_and_loaded(
    every_engine: Engine, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    copy = f"{scratch.name('image')}:1"
    scratch.claim(images=[copy])
    every_engine.docker("tag", image, copy)
    every_engine.docker("save", "--output", tmp_path / "image.tar", copy)
    every_engine.docker("rmi", copy)

    every_engine.docker("load", "--input", tmp_path / "image.tar")

    assert every_engine.docker("run", "--rm", copy, "echo", "runs") == "runs"


def test_a_fifo_in_the_run_directory_leads_out_of_a_container(
    every_engine: Engine, image: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(
        target=every_engine.docker,
        args=("run", "--rm", "-v", f"{tmp_path}:/x", image, "sh", "-c", "echo out >/x/fifo"),
    )

    writer.start()
    said = (tmp_path / "fifo").read_text()
    writer.join()

    assert said == "out\n"


@pytest.mark.private
def test_what_is_mounted_later_is_seen_by_the_engine(
    every_engine: Engine, image: str, tmp_path: Path
) -> None:
    run(["mount", "-t", "tmpfs", "tmpfs", tmp_path])
    try:
        (tmp_path / "file").write_text("on the tmpfs")
        said = every_engine.docker(
            "run", "--rm", "-v", f"{tmp_path}:/x:ro", image, "cat", "/x/file"
        )
    finally:
        run(["umount", tmp_path])

    assert said == "on the tmpfs"


@pytest.mark.parametrize("kind", ["20.10", "28.5-classic"])
def test_an_engine_that_shares_nothing_does_not_see_the_run_directory(
    kind: str, start_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    engine = start_engine(kind, shared=False)

    with Scratch(engine) as scratch:
        name = scratch.container(images.tools(engine), "ls", options=["-v", f"{tmp_path}:/x"])
        seen = engine.docker(
            "run", "--rm", "--volumes-from", name, images.tools(engine), "ls", "/x"
        )

    assert seen == ""


@pytest.mark.parametrize("kind", KINDS)
def test_only_dockerd_is_killed_and_comes_back(
    kind: str, start_engine: Callable[..., Engine]
) -> None:
    engine = start_engine(kind)
    options = ["-d", "--name", "lives", "--stop-signal", "KILL", "-v", "kept:/v"]
    engine.docker("run", *options, images.tools(engine), "sleep", "1000")
    inside = int(engine.docker("inspect", "--format", "{{.State.Pid}}", "lives"))

    engine.daemon.kill_dockerd()
    gone = engine.daemon.pid()
    lives = engine.daemon.inside("test", "-d", f"/proc/{inside}").returncode
    engine.daemon.start()

    assert gone is None
    assert lives == 0
    assert engine.docker("volume", "ls", "--quiet") == "kept"


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_killed_and_comes_back_with_its_data(
    kind: str, start_engine: Callable[..., Engine]
) -> None:
    engine = start_engine(kind)
    options = ["-d", "--name", "paused", "-v", "kept:/v"]
    engine.docker("run", *options, images.tools(engine), "sleep", "1000")
    engine.docker("pause", "paused")

    engine.daemon.kill()
    left = leaks.naming(engine.daemon.directory)
    engine.daemon.start()

    assert left == []
    assert engine.docker("volume", "ls", "--quiet") == "kept"


def test_an_engine_that_cannot_start_says_why(start_engine: Callable[..., Engine]) -> None:
    engine = start_engine()
    engine.daemon.kill()
    (engine.daemon.directory / "daemon.json").write_text('{"storage-driver": "no-such-driver"}')

    with pytest.raises(BedFailure, match=r"(?s)ended; its log ends:.*no-such-driver"):
        engine.daemon.start()


@pytest.fixture
def other_base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="vt-", dir="/var/tmp"))
    monkeypatch.setenv("VOLTAR_TESTBED_DIR", str(base))
    yield base
    shutil.rmtree(base)


@pytest.mark.private
def test_what_a_killed_run_leaves_is_removed_by_the_next(other_base: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, cwd=PROJECT
    ) as killed:
        assert killed.stdout
        directory, pid = killed.stdout.readline().decode().split()
        killed.send_signal(signal.SIGKILL)
    mounted = workspace.mounts_under(Path(directory))

    workspace.Run().close()

    assert mounted == [directory]
    assert workspace.mounts_under(other_base) == []
    assert list((other_base / "runs").iterdir()) == []
    assert workspace.started(int(pid)) == 0
    assert (
        list(Path("/sys/fs/cgroup").glob(f"*/{workspace.CGROUP_PARENT}/{Path(directory).name}"))
        == []
    )


def test_what_a_killed_run_had_paused_is_removed_too(other_base: Path) -> None:
    """What is frozen does not end when it is killed, and neither does the engine above it."""
    directory = other_base / "runs/dead"
    directory.mkdir(parents=True)
    frozen = workspace.CGROUPS / "freezer"
    cgroup = (frozen if frozen.is_dir() else workspace.CGROUPS) / workspace.cgroup_of(directory)
    cgroup.mkdir(parents=True)
    with subprocess.Popen(["sleep", "1000"]) as process:
        workspace.record(directory / "paused.process", process.pid)
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        if frozen.is_dir():
            (cgroup / "freezer.state").write_text("FROZEN")
        else:
            (cgroup / "cgroup.freeze").write_text("1")
        try:
            workspace.Run().close()

            assert workspace.started(process.pid) == 0
        finally:
            workspace.thaw(directory)
            process.kill()
    assert (directory.exists(), cgroup.exists()) == (False, False)


@pytest.mark.usefixtures("other_base")
def test_a_run_that_lives_is_left_alone() -> None:
    living = workspace.Run()

    workspace.Run().close()

    assert living.directory.is_dir()
    living.close()


def test_a_recorded_process_is_ended_only_if_it_is_still_that_process(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        (tmp_path / "other").write_text(f"{process.pid} 1\n")
        workspace.end(tmp_path / "other")
        lived = process.poll()
        workspace.record(tmp_path / "same", process.pid)
        workspace.end(tmp_path / "same")

    assert lived is None
    assert workspace.started(process.pid) == 0


def test_an_engine_that_was_expected_and_is_absent_is_a_failure() -> None:
    with pytest.raises(BedFailure, match="VOLTAR_TEST_ENGINE=unix:///nowhere: no engine answers"):
        reachable("unix:///nowhere")


def test_a_helper_that_is_left_is_noticed(engine: Engine, scratch: Scratch, image: str) -> None:
    before = leaks.on_engine(engine)

    scratch.container(image, "true", options=["--label", "voltar.helper=1"])

    assert len(leaks.on_engine(engine)) == len(before) + 1


def test_a_seeded_volume_has_the_same_content_every_time(engine: Engine, scratch: Scratch) -> None:
    first, second = seed.dbdata(scratch), seed.dbdata(scratch, named=True)

    found = snapshot(engine.volume_directory(first.volume))

    assert len(found) > 3000
    assert diff(found, snapshot(engine.volume_directory(second.volume))) == []
