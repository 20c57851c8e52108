"""Killed, paused, interrupted, full: a clear error soon, and things are left as they were."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Running, Voltar, until
from tests.acceptance.conftest import on
from tests.acceptance.files import fill
from tests.testbed.command import run
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch
from tests.testbed.walk import Facts, diff, snapshot

MIB = 1 << 20
SIZE = 320 * MIB
GIVEN = os.environ.get("VOLTAR_TEST_ENGINE")
ATTACH = {"VOLTAR_DATA_PLANE": "attach"}
WAYS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "20.10": ("20.10", {}),
    "20.10-attach": ("20.10", ATTACH),
    "28.5-classic": ("28.5-classic", {}),
    "28.5-containerd-attach": ("28.5-containerd", ATTACH),
}


def helpers(engine: Engine, *options: str) -> list[str]:
    """Helper containers, all of them or only those of a status."""
    return engine.docker(
        "ps", "--all", "--quiet", "--filter", "label=voltar.helper", *options
    ).split()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A large volume, a small one that is backed up, and the command; `kept` is the small one.

    What was killed before it was started is left alone for a while: `earlier` are such helpers, of
    tests before this one.
    """

    engine: Engine
    scratch: Scratch
    voltar: Voltar
    large: str
    small: str
    earlier: frozenset[str]
    runs: list[Running] = field(default_factory=list)

    def start(self, *words: str) -> Running:
        """Start the command; `close` ends it if the test did not."""
        self.runs.append(self.voltar.start("--json", *words))
        return self.runs[-1]

    def close(self) -> None:
        """End what still runs."""
        for running in self.runs:
            running.__exit__()

    def helpers(self, *options: str) -> list[str]:
        """Helper containers, all of them or only those of a status."""
        return [one for one in helpers(self.engine, *options) if one not in self.earlier]

    def running(self) -> list[str]:
        """Helper containers that run or are paused."""
        return self.helpers("--filter", "status=running") + self.helpers(
            "--filter", "status=paused"
        )

    def content(self, volume: str) -> dict[bytes, Facts]:
        """What is in a volume."""
        return snapshot(self.engine.volume_directory(volume))

    def volumes(self) -> list[str]:
        """The volumes on the engine."""
        return self.engine.docker("volume", "ls", "--quiet").split()

    def name(self) -> str:
        """A name for a new volume."""
        name = self.scratch.name("restored")
        self.scratch.claim(volumes=[name])
        return name

    def begin_backup(self) -> Running:
        """Start a backup of the large volume, and wait until data flow."""
        packs = self.stored()
        running = self.start("backup", self.large)
        await_while(running, lambda: self.stored() > packs + 4 * MIB and self.running())
        return running

    def begin_restore(self, target: str, *, at_least: int = 8 * MIB) -> Running:
        """Start a restore of the large volume, and wait until data are in the target."""
        running = self.start("restore", f"volume:{self.large}", "--to", target)
        await_while(running, lambda: self.filled(target) > at_least)
        return running

    def stored(self) -> int:
        """The bytes in the repository."""
        assert self.voltar.repository is not None
        return sum(path.stat().st_size for path in files(self.voltar.repository))

    def filled(self, target: str) -> int:
        """The bytes in a volume that may not exist yet."""
        if self.engine.attempt("volume", "inspect", target).returncode:
            return 0
        root = self.engine.volume_directory(target)
        return sum(path.stat().st_blocks * 512 for path in files(root))

    def assert_sound(self) -> None:
        """Demand that nothing is left, check is clean, and the earlier snapshot restores."""
        target = self.name()
        self.voltar("restore", f"volume:{self.small}", "--to", target, "--verify=full")
        told = self.voltar.summary("check")

        assert self.content(target) == self.content(self.small)
        assert told["damages"] == []
        assert self.helpers() == []

    def sources(self) -> set[str]:
        """What has a snapshot."""
        return {each["source"] for each in self.voltar.ask("snapshots")}


def files(directory: Path) -> Iterator[Path]:
    """Every file below a directory, while others come and go."""
    for parent, _, names in os.walk(directory):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def await_while(running: Running, true: Callable[[], Any]) -> None:
    """Wait until something is true; the command must not have ended before."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if true():
                return
        except FileNotFoundError:
            pass
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"ended before it was disturbed: {running.end(within_s=1)}")
        time.sleep(0.02)


@dataclass(kw_only=True)
class Stock:
    """What the tests on one engine share: volumes, and repositories to copy; only to be read."""

    voltar: Voltar
    large: str
    small: str
    with_small: Path

    @cached_property
    def with_large(self) -> Path:
        """A repository with snapshots of both volumes, made when first asked for."""
        assert self.voltar.repository is not None
        self.voltar("backup", self.large)
        return self.voltar.repository


class Stage:
    """The stock of each engine, made when first asked for."""

    def __init__(self, made: Path, directory: Path) -> None:
        self.made = made
        self.directory = directory
        self.scratches: list[Scratch] = []
        self.stocks: dict[str, Stock] = {}

    def on(self, engine: Engine) -> Stock:
        """The stock of an engine."""
        if engine.url not in self.stocks:
            self.scratches.append(Scratch(engine))
            self.stocks[engine.url] = self.stock(engine, self.scratches[-1])
        return self.stocks[engine.url]

    def stock(self, engine: Engine, scratch: Scratch) -> Stock:
        """Make volumes, and a snapshot of the small one."""
        directory = self.directory / engine.kind
        directory.mkdir()
        voltar = on(engine, self.made, directory)
        assert voltar.repository is not None
        large, small = make_large(scratch), make_small(scratch)
        voltar("backup", small)
        link_tree(voltar.repository, directory / "with-small")
        return Stock(voltar=voltar, large=large, small=small, with_small=directory / "with-small")

    def close(self) -> None:
        """Remove the volumes."""
        for scratch in self.scratches:
            scratch.__exit__(None, None, None)


def link_tree(source: Path, target: Path) -> None:
    """Copy a repository by hard links: its objects are never changed."""
    run(["cp", "-al", source, target])


def make_large(scratch: Scratch) -> str:
    """A volume that takes seconds to back up."""
    volume = scratch.volume()
    root = scratch.engine.volume_directory(volume)
    for number in range(SIZE // (64 * MIB)):
        (root / f"{number}").write_bytes(os.urandom(64 * MIB))
    return volume


def make_small(scratch: Scratch) -> str:
    """A volume that is backed up at once."""
    volume = scratch.volume()
    fill(scratch.engine.volume_directory(volume), {"a": b"1", "b/c": b"2" * 9000})
    return volume


@pytest.fixture(scope="module")
def stage(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stock of shared engines."""
    stage = Stage(made, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@pytest.fixture
def scene(
    pool: Pool, stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """The small volume has a snapshot; the parameter says on what engine and how."""
    kind, more = WAYS[getattr(request, "param", "20.10")]
    stock = stage.on(pool.engine(kind))
    with (
        Scratch(pool.engine(kind)) as scratch,
        closing(set_up(scratch, stock, stock.with_small, tmp_path, more)) as scene,
    ):
        yield scene


@pytest.fixture
def backed_up(
    pool: Pool, stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """The same, and the large volume has a snapshot too."""
    kind, more = WAYS[getattr(request, "param", "20.10")]
    stock = stage.on(pool.engine(kind))
    with (
        Scratch(pool.engine(kind)) as scratch,
        closing(set_up(scratch, stock, stock.with_large, tmp_path, more)) as scene,
    ):
        yield scene


def set_up(
    scratch: Scratch, stock: Stock, repository: Path, directory: Path, more: Mapping[str, str]
) -> Scene:
    """A scene with a repository of its own."""
    link_tree(repository, directory / "repository")
    (directory / "home").mkdir()
    voltar = Voltar(
        url=scratch.engine.url,
        repository=directory / "repository",
        home=directory / "home",
        more=more,
    )
    return Scene(
        engine=scratch.engine,
        scratch=scratch,
        voltar=voltar,
        large=stock.large,
        small=stock.small,
        earlier=frozenset(helpers(scratch.engine)),
    )


HERE = ["20.10", "20.10-attach"] if GIVEN else list(WAYS)
every_way = pytest.mark.parametrize("scene", HERE, indirect=True)
both_planes = pytest.mark.parametrize("scene", ["20.10", "20.10-attach"], indirect=True)


# --- voltar itself is killed


@every_way
def test_a_backup_killed_midway_leaves_no_running_helper_and_no_snapshot(scene: Scene) -> None:
    running = scene.begin_backup()

    running.kill()

    until(lambda: not scene.running(), within_s=15, what="the end of the helper")
    scene.voltar("backup", scene.small)
    assert scene.helpers() == []
    assert scene.sources() == {f"volume:{scene.small}"}
    scene.assert_sound()


@pytest.mark.parametrize("backed_up", HERE, indirect=True)
def test_a_restore_killed_midway_is_taken_back_by_the_next_run(backed_up: Scene) -> None:
    target = backed_up.name()
    running = backed_up.begin_restore(target)

    running.kill()

    until(lambda: not backed_up.running(), within_s=15, what="the end of the helper")
    backed_up.voltar("backup", backed_up.small)
    assert target not in backed_up.volumes()
    assert backed_up.helpers() == []


@pytest.mark.parametrize("backed_up", ["20.10", "20.10-attach"], indirect=True)
def test_an_empty_volume_is_empty_again_after_a_restore_into_it_was_killed(
    backed_up: Scene,
) -> None:
    target = backed_up.scratch.volume()
    root = backed_up.engine.volume_directory(target)
    os.chown(root, 70, 71)
    root.chmod(0o2750)
    os.utime(root, ns=(1, 1_234_567_891))
    before = backed_up.content(target)
    running = backed_up.begin_restore(target)

    running.kill()

    until(lambda: not backed_up.running(), within_s=15, what="the end of the helper")
    recovered = backed_up.voltar("--json", "recover")
    assert f"a restore into volume '{target}' was killed" in recovered.said
    assert recovered.summary["restores"] == [target]
    assert diff(before, backed_up.content(target)) == []
    assert backed_up.helpers() == []


def write_at_the_top(root: Path) -> None:
    (root / "mine").write_bytes(b"precious")


def delete_at_the_top(root: Path) -> None:
    """Somebody who tidies up uses the volume, too."""
    next(path for path in files(root)).unlink()


def change_in_place(root: Path) -> None:
    path = next(path for path in files(root) if path.is_file() and not path.is_symlink())
    path.write_bytes(b"precious")


@pytest.mark.parametrize(
    ("is_new", "use"),
    [
        (True, write_at_the_top),
        (True, change_in_place),
        (False, write_at_the_top),
        (False, delete_at_the_top),
    ],
)
def test_what_somebody_has_used_since_the_kill_is_left_alone(
    backed_up: Scene, use: Callable[[Path], None], is_new: bool
) -> None:
    target = backed_up.name() if is_new else backed_up.scratch.volume()
    running = backed_up.begin_restore(target)
    root = backed_up.engine.volume_directory(target)
    until(
        lambda: any(path.is_file() for path in files(root)), within_s=30, what="files in the target"
    )
    running.kill()
    until(lambda: not backed_up.running(), within_s=15, what="the end of the helper")
    use(root)
    before = backed_up.content(target)

    done = backed_up.voltar("backup", backed_up.small)

    assert f"{target!r} was killed" in done.err
    assert "left as it is" in done.err
    assert diff(before, backed_up.content(target)) == []
    assert backed_up.helpers() == []


def test_of_two_restores_into_one_volume_none_touches_what_the_other_wrote(
    backed_up: Scene,
) -> None:
    target = backed_up.scratch.volume()
    sources = (backed_up.large, backed_up.small)

    with ThreadPoolExecutor(2) as both:
        done = list(
            both.map(
                lambda source: backed_up.voltar(
                    "restore", f"volume:{source}", "--to", target, code=(0, 5)
                ),
                sources,
            )
        )

    restored = [source for source, one in zip(sources, done, strict=True) if one.code == 0]
    assert len(restored) <= 1
    content = backed_up.content(target)
    assert content == backed_up.content(restored[0]) if restored else set(content) == {b""}
    assert backed_up.helpers() == []


@pytest.mark.private
def test_the_same_restore_run_again_at_once_after_a_kill_succeeds(backed_up: Scene) -> None:
    """An engine that has much to do takes its time to see that the helper has ended."""
    target = backed_up.name()
    running = backed_up.begin_restore(target)
    (late,) = backed_up.running()
    words = ("restore", f"volume:{backed_up.large}", "--to", target)

    with stopped(shim(late)):
        running.kill()
        again = backed_up.start(*words)
        with suppress(subprocess.TimeoutExpired):
            again.process.wait(2.5)
    result = again.end(within_s=40)

    assert result.code == 0, result
    assert f"a restore into volume '{target}' was killed" in result.said
    assert backed_up.content(target) == backed_up.content(backed_up.large)


def test_a_second_run_leaves_the_helpers_of_a_living_one_alone(scene: Scene) -> None:
    running = scene.begin_backup()

    scene.voltar("backup", scene.small)

    result = running.end(within_s=120)
    assert result.code == 0, result
    assert f"volume:{scene.large}" in scene.sources()


# --- the helper is disturbed


@pytest.mark.parametrize("disturbance", ["kill", "pause", "rm --force"])
@both_planes
def test_a_backup_whose_helper_is_disturbed_fails_soon_and_makes_no_snapshot(
    scene: Scene, disturbance: str
) -> None:
    running = scene.begin_backup()
    began = time.monotonic()

    scene.engine.docker(*disturbance.split(), *scene.running())
    result = running.end(within_s=40)

    assert time.monotonic() - began < 25
    assert result.code == 1, result
    assert result.said.strip()
    assert scene.sources() == {f"volume:{scene.small}"}
    assert scene.helpers() == []


@pytest.mark.parametrize("disturbance", ["kill", "pause", "rm --force"])
def test_a_restore_whose_helper_is_disturbed_fails_soon_and_leaves_no_volume(
    backed_up: Scene, disturbance: str
) -> None:
    target = backed_up.name()
    running = backed_up.begin_restore(target)

    backed_up.engine.docker(*disturbance.split(), *backed_up.running())
    result = running.end(within_s=40)

    assert result.code == 1, result
    assert target not in backed_up.volumes()
    assert backed_up.helpers() == []


@pytest.mark.private
def test_a_helper_that_the_engine_does_not_remove_keeps_nobody_from_a_backup(scene: Scene) -> None:
    running = scene.begin_backup()
    (stuck,) = scene.running()
    scene.engine.docker("pause", stuck)
    running.kill()

    with stopped(shim(stuck)):
        told = scene.voltar("--json", "backup", scene.small)
        assert len(scene.helpers()) == 1

    assert b"of a killed run is not removed" in told.out
    assert scene.helpers("--filter", f"id={stuck}")
    scene.voltar("backup", scene.small)
    scene.assert_sound()


def shim(container: str) -> int:
    """The pid, on this machine, of the process between the engine and a container."""
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_bytes().split(b"\0")
            if b"shim" in words[0] and any(word.startswith(container.encode()) for word in words):
                return int(directory.name)
    raise AssertionError("the container has no shim")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@both_planes
def test_a_backup_whose_tar_is_killed_fails_and_makes_no_snapshot(scene: Scene) -> None:
    running = scene.begin_backup()

    (helper,) = scene.running()
    top = scene.engine.docker("top", helper, "-eo", "pid,comm")
    (tar,) = re.findall(r"(\d+)\s+tar\b", top)
    scene.engine.daemon.inside("kill", "-KILL", tar)
    result = running.end(within_s=30)

    assert result.code == 1, result
    assert scene.sources() == {f"volume:{scene.small}"}
    assert scene.helpers() == []


@pytest.mark.parametrize("whole", [False, True], ids=["dockerd", "everything"])
def test_a_backup_whose_engine_is_killed_fails_soon_and_the_next_run_is_sound(
    start_engine: Callable[..., Engine], made: Path, tmp_path: Path, whole: bool
) -> None:
    engine = start_engine()
    with Scratch(engine) as scratch:
        stock = Stage(made, tmp_path).stock(engine, scratch)
        scene = set_up(scratch, stock, stock.with_small, tmp_path, {})
        running = scene.begin_backup()

        if whole:
            engine.daemon.kill()
        else:
            engine.daemon.kill_dockerd()
        result = running.end(within_s=40)
        sources = scene.sources()
        engine.daemon.start()
        scene.voltar("backup", scene.small)

        assert result.code == 1, result
        assert "engine" in result.said.lower() or "docker" in result.said.lower()
        assert sources == {f"volume:{scene.small}"}
        scene.assert_sound()


# --- no space


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", directory])
    yield directory
    run(["umount", "--lazy", directory])


def test_a_full_repository_is_a_clear_error_and_earlier_snapshots_stay_sound(
    scene: Scene, small_disk: Path
) -> None:
    full = scene.voltar.changed(repository=small_disk / "repository")
    full("init")
    full("backup", scene.small)

    failed = full("backup", scene.large, code=1)
    target = scene.name()
    full("restore", f"volume:{scene.small}", "--to", target, "--verify=full")

    assert "space" in failed.err.lower() or "full" in failed.err.lower()
    assert scene.content(target) == scene.content(scene.small)
    assert full.summary("check")["damages"] == []
    assert [each["source"] for each in full.ask("snapshots")] == [f"volume:{scene.small}"]
    assert scene.helpers() == []


def bound(scene: Scene, directory: Path) -> str:
    """A volume whose content is a directory of the host."""
    options = {"type": "none", "o": "bind", "device": str(directory)}
    words = [word for item in options.items() for word in ("--opt", "=".join(item))]
    return scene.scratch.volume(*words)


def test_a_full_target_is_a_clear_error_and_the_target_is_put_back(
    backed_up: Scene, small_disk: Path
) -> None:
    target = bound(backed_up, small_disk)
    small_disk.chmod(0o750)
    os.utime(small_disk, ns=(1, 1_234_567_891))
    before = snapshot(small_disk)

    failed = backed_up.voltar("restore", f"volume:{backed_up.large}", "--to", target, code=(1, 4))

    assert "space" in failed.err.lower() or "full" in failed.err.lower()
    assert diff(before, snapshot(small_disk)) == []
    assert target in backed_up.volumes()
    assert backed_up.helpers() == []


def test_a_volume_of_a_driver_option_that_is_too_small_is_a_clear_error(backed_up: Scene) -> None:
    options = ["type=tmpfs", "device=tmpfs", "o=size=5m"]
    target = backed_up.scratch.volume(*(word for each in options for word in ("--opt", each)))

    failed = backed_up.voltar("restore", f"volume:{backed_up.large}", "--to", target, code=(1, 4))

    assert failed.err.strip()
    assert target in backed_up.volumes()


def test_a_target_that_is_read_only_is_a_clear_error(scene: Scene, small_disk: Path) -> None:
    target = bound(scene, small_disk)
    run(["mount", "-o", "remount,ro", small_disk])

    failed = scene.voltar("restore", f"volume:{scene.small}", "--to", target, code=(1, 4, 5))

    assert "read-only" in failed.err.lower()
    assert scene.helpers() == []


@pytest.fixture
def without_attributes(tmp_path: Path) -> Iterator[Path]:
    """A file system that has no extended attributes, and says so."""
    directory = tmp_path / "ramfs"
    directory.mkdir()
    run(["mount", "-t", "ramfs", "ramfs", directory])
    yield directory
    run(["umount", "--lazy", directory])


@pytest.fixture
def without_nanoseconds(tmp_path: Path) -> Iterator[Path]:
    """A file system that takes times in whole seconds up to 2038, and says nothing."""
    directory, image = tmp_path / "ext4", tmp_path / "image"
    directory.mkdir()
    with image.open("wb") as file:
        file.truncate(40 * MIB)
    run(["mkfs.ext4", "-q", "-I", "128", image])
    run(["mount", "-o", "loop", image, directory])
    (directory / "lost+found").rmdir()
    yield directory
    run(["umount", "--lazy", directory])


def test_attributes_that_the_file_system_refuses_are_a_failure_that_names_paths(
    scene: Scene, without_attributes: Path
) -> None:
    volume = make_small(scene.scratch)
    os.setxattr(scene.engine.volume_directory(volume) / "a", "user.name", b"x" * 2000)
    scene.voltar("backup", volume)
    target = bound(scene, without_attributes)

    words = ["restore", f"volume:{volume}", "--to", target, "--verify=full"]
    failed = scene.voltar(*words, code=(1, 4))

    assert re.search(r"\ba\b", failed.err)
    assert list(without_attributes.iterdir()) == []


def test_times_that_the_file_system_silently_cuts_are_a_failure_that_names_paths(
    scene: Scene, without_nanoseconds: Path
) -> None:
    volume = make_small(scene.scratch)
    path = scene.engine.volume_directory(volume) / "b" / "c"
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    scene.voltar("backup", volume)
    target = bound(scene, without_nanoseconds)

    failed = scene.voltar("restore", f"volume:{volume}", "--to", target, code=4)

    assert "b/c" in failed.err
    assert list(without_nanoseconds.iterdir()) == []


# --- interrupted


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
@both_planes
def test_an_interrupted_backup_ends_soon_and_leaves_nothing(
    scene: Scene, signal_number: signal.Signals
) -> None:
    running = scene.begin_backup()

    running.process.send_signal(signal_number)
    result = running.end(within_s=20)

    assert result.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal_number] or (
        signal_number == signal.SIGTERM and result.code in (130, -signal.SIGTERM)
    )
    assert scene.helpers() == []
    assert scene.sources() == {f"volume:{scene.small}"}


def test_an_interrupted_restore_leaves_no_volume(backed_up: Scene) -> None:
    target = backed_up.name()
    running = backed_up.begin_restore(target)

    running.process.send_signal(signal.SIGINT)
    result = running.end(within_s=30)

    assert result.code == 130
    assert target not in backed_up.volumes()
    assert backed_up.helpers() == []


# --- a volume that changes under the backup


def test_files_that_vanish_or_grow_during_the_backup_end_with_3_and_all_others_are_right(
    scene: Scene,
) -> None:
    volume, target = scene.scratch.volume(), scene.name()
    root = scene.engine.volume_directory(volume)
    fill(root, {f"d/{number:04}": b"%d" % number for number in range(500)})
    for name in ("a-grows", "b-large"):
        (root / name).write_bytes(os.urandom(160 * MIB))
    fill(root, {f"z/{number:04}": b"%d" % number for number in range(500)})
    before = scene.content(volume)
    ended = threading.Event()
    packs = scene.stored()
    running = scene.start("backup", volume)
    await_while(running, lambda: scene.stored() > packs + 4 * MIB)

    writer = threading.Thread(target=grow, args=(root / "a-grows", ended))
    writer.start()
    for number in range(0, 500, 7):
        (root / "z" / f"{number:04}").unlink()
    result = running.end(within_s=120)
    ended.set()
    writer.join()
    scene.voltar("restore", f"volume:{volume}", "--to", target, "--verify=full", code=(0, 3))
    after = scene.content(target)

    changed = {b"", b"z", b"a-grows"} | {
        path for path in before if path.startswith(b"z/") and int(path[2:]) % 7 == 0
    }
    assert result.code == 3, result
    assert "a-grows" in result.said or "z/" in result.said
    lines = diff(
        {p: f for p, f in before.items() if p not in changed},
        {p: f for p, f in after.items() if p not in changed},
    )
    assert lines == []


def test_what_becomes_something_else_during_the_backup_is_told_and_all_others_are_right(
    scene: Scene,
) -> None:
    """Shorter, another file, a directory, a link: while it is read, and before."""
    volume, target = scene.scratch.volume(), scene.name()
    root = scene.engine.volume_directory(volume)
    for name in ("a-shrinks", "b-large"):
        (root / name).write_bytes(os.urandom(160 * MIB))
    small = {f"z/{name}": name.encode() * 9 for name in ("directory", "link", "other", "same")}
    fill(root, small | {"y/inside": b"y", "y/more": b"z", "z/tree/inside": b"t"})
    before = scene.content(volume)
    packs = scene.stored()
    running = scene.start("backup", volume)
    await_while(running, lambda: scene.stored() > packs + 4 * MIB)

    os.truncate(root / "a-shrinks", 1000)
    become(root / "y", lambda path: path.write_bytes(b"a file now"))
    become(root / "z/directory", lambda path: fill(path, {"never": b"seen"}))
    become(root / "z/link", lambda path: path.symlink_to("same"))
    become(root / "z/other", lambda path: path.write_bytes(b"whole"))
    result = running.end(within_s=120)
    notes = {note["path"] for note in scene.voltar.ask("ls", "--notes", f"volume:{volume}")}
    scene.voltar("restore", f"volume:{volume}", "--to", target, "--verify=full")
    after = scene.content(target)

    assert result.code == 3, result
    assert {"a-shrinks", "y", "y/inside", "y/more", "z/directory", "z/link"} <= notes
    assert notes <= {*map(os.fsdecode, before), "z/directory"} - {"b-large", "z/same"}
    assert (scene.engine.volume_directory(target) / "z/other").read_bytes() == b"whole"
    right = {b"b-large", b"z/same", b"z/tree", b"z/tree/inside"}
    assert {path: after.get(path) for path in right} == {path: before[path] for path in right}


def become(path: Path, make: Callable[[Path], Any]) -> None:
    """Let a name mean something else."""
    aside = path.with_name(f"{path.name}-aside")
    path.rename(aside)
    make(path)
    run(["rm", "-r", aside])


def test_what_the_disk_does_not_give_is_told_each_time_and_all_others_are_right(
    scene: Scene, bad_disk: "BadDisk"
) -> None:
    volume, target = bound(scene, bad_disk.directory), scene.scratch.volume()
    good = scene.voltar.summary("backup", volume)
    bad_disk.break_files()

    told = [scene.voltar("--json", "backup", volume, code=3) for _ in range(2)]

    assert good["code"] == 0
    for each in told:
        (snapshot,) = (event for event in each.events if event["type"] == "snapshot")
        assert snapshot["warnings"] == 2
        notes = {note["path"] for note in scene.voltar.ask("ls", "--notes", snapshot["id"])}
        assert notes == {bad_disk.lost.replace("\n", "\\n"), "unreadable"}
    scene.voltar("restore", f"volume:{volume}", "--to", target, "--verify=full")
    assert {"good", "unreadable"} <= {os.fsdecode(path) for path in scene.content(target)}
    assert (scene.engine.volume_directory(target) / "good").read_bytes() == b"good"


@dataclass(frozen=True, slots=True)
class BadDisk:
    """A file system with files of which one will not be found, and one not be read to its end."""

    image: Path
    directory: Path
    lost: str = "it's lost\nfor ever"

    def make(self) -> None:
        features = "^has_journal,^metadata_csum,^extent,^64bit"
        with self.image.open("wb") as file:
            file.truncate(8 * MIB)
        run(["mkfs.ext4", "-q", "-b", "1024", "-O", features, self.image])
        self.mount()
        (self.directory / "lost+found").rmdir()
        fill(self.directory, {"good": b"good", self.lost: b"x", "unreadable": os.urandom(60_000)})

    def mount(self) -> None:
        run(["mount", "-o", "loop,errors=continue", self.image, self.directory])

    def break_files(self) -> None:
        """Spoil the inode of one file, and of the other where its blocks are."""
        inode = (self.directory / self.lost).stat().st_ino
        run(["umount", self.directory])
        # as long as an ended helper's mount is there, a new one is of what was read before
        until(
            lambda: not run(["losetup", "--associated", self.image]), what="the end of all mounts"
        )
        blocks = run(["debugfs", "-R", "stat /unreadable", self.image]).decode()
        (at,) = re.findall(r"\(IND\):(\d+)", blocks)
        with self.image.open("r+b") as file:
            file.seek(int(at) * 1024)
            file.write(b"\xff" * 1024)
        run(["debugfs", "-w", "-R", f"set_inode_field <{inode}> mode 0", self.image])
        self.mount()


@pytest.fixture
def bad_disk(tmp_path: Path) -> Iterator[BadDisk]:
    """One that is good until it is broken."""
    disk = BadDisk(tmp_path / "bad-image", tmp_path / "bad")
    disk.directory.mkdir()
    disk.make()
    yield disk
    run(["umount", "--lazy", disk.directory])


def grow(path: Path, ended: threading.Event) -> None:
    """Append to a file until told to stop."""
    with path.open("ab") as file:
        while not ended.wait(0.01):
            file.write(b"more" * 1000)
            file.flush()
