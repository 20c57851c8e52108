"""What happens to containers in a window, seen from within, on a real engine."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from backup.config import Hook, OnError, Quiesce, When
from backup.engine import connect
from backup.errors import BackupError
from backup.quiesce import recovery
from backup.quiesce.plan import Order
from backup.quiesce.window import Window, Windows, quiesced
from backup.selection.resolve import Treatment
from backup.targets import plan
from tests.acceptance.cli import until
from tests.fault.quiet_victim import setting
from tests.testbed import images
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch

QUICK = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
STOP = Treatment(quiesce=Quiesce.STOP)
LONG = f"{os.getpid()}.25"
"""Seconds that no other worker's processes have on their command lines."""


class Scene:
    """One volume and its users."""

    def __init__(self, scratch: Scratch, image: str, directory: Path) -> None:
        self.scratch, self.engine, self.image = scratch, scratch.engine, image
        self.volume = scratch.volume()
        self.directory = directory / "quiesce"

    def user(self, *options: str, command: tuple[str, ...] = QUICK) -> str:
        given = ["-v", f"{self.volume}:/v", *options]
        return self.scratch.running(self.image, *command, options=given)

    def inspect(self, name: str) -> Any:
        return json.loads(self.engine.docker("inspect", "--type", "container", name))[0]

    def status(self, name: str) -> str:
        return str(self.inspect(name)["State"]["Status"])

    @contextmanager
    def quiet(self, order: Order | None = None) -> Iterator[tuple[Windows, Window]]:
        """Keep the volume's users quiet, by default stopped."""
        order = order or Order(treatments={}, otherwise=STOP)
        with connect(self.engine.url) as reached:
            wanted = plan(reached, [f"volume:{self.volume}"], everything=False, keep_out=[])
            with (
                quiesced(
                    reached, setting(self.engine.url, self.directory), wanted, order, tuple
                ) as all_,
                all_.window(all_.units[0]) as window,
            ):
                yield all_, window

    def hooked(self, *hooks: Hook) -> Order:
        return Order(treatments={}, hooks=hooks)

    def recover(self) -> list[recovery.Recovered]:
        with connect(self.engine.url) as reached:
            return recovery.make_good(reached, setting(self.engine.url, self.directory))

    @property
    def journals(self) -> list[Path]:
        return list(self.directory.glob("*.jsonl"))


@pytest.fixture
def scene(scratch: Scratch, image: str, tmp_path: Path) -> Scene:
    return Scene(scratch, image, tmp_path)


def compose(service: str, needs: str = "", number: str = "1") -> list[str]:
    """The labels of a compose project."""
    labels = {
        "project": "shop",
        "service": service,
        "container-number": number,
        "depends_on": f"{needs}:service_healthy:true" if needs else "",
    }
    return [f"--label=com.docker.compose.{key}={text}" for key, text in labels.items()]


def test_dependents_stop_first_and_start_last_and_no_policy_starts_them_meanwhile(
    scene: Scene,
) -> None:
    database = scene.user(*compose("db"), "--restart", "always")
    web = scene.user(*compose("web", "db"), "--restart", "unless-stopped")
    sidecar = scene.scratch.running(scene.image, *QUICK, options=["--network", f"container:{web}"])

    with scene.quiet() as (windows, window):
        during = [scene.inspect(name)["State"] for name in (sidecar, web, database)]

    after = [scene.inspect(name)["State"] for name in (sidecar, web, database)]
    assert [each["Status"] for each in during] == ["exited"] * 3
    stopped = [each["FinishedAt"] for each in during]
    started = [each["StartedAt"] for each in after]
    assert stopped == sorted(stopped)
    assert started == sorted(started, reverse=True)
    assert [each["Status"] for each in after] == ["running"] * 3
    assert [each.container for each in window.downtimes] == [sidecar, web, database]
    assert all(0 < each.seconds < 30 for each in window.downtimes)
    assert (windows.warnings, windows.failures, scene.journals) == ([], [], [])


def test_a_paused_one_goes_on_where_it_was(scene: Scene) -> None:
    name = scene.user()
    before = scene.inspect(name)["State"]
    order = Order(treatments={}, otherwise=Treatment(quiesce=Quiesce.PAUSE))

    with scene.quiet(order):
        assert scene.status(name) == "paused"

    after = scene.inspect(name)["State"]
    assert (after["Status"], after["StartedAt"]) == ("running", before["StartedAt"])


def test_one_that_somebody_else_has_unpaused_meanwhile_is_told_of(scene: Scene) -> None:
    name = scene.user()
    with scene.quiet(Order(treatments={}, otherwise=Treatment(quiesce=Quiesce.PAUSE))) as (all_, _):
        scene.engine.docker("unpause", name)

    assert all_.warnings == [f"{name} went on already: somebody else has unpaused it"]


def test_one_that_does_not_stop_in_its_time_is_killed_and_told_of(scene: Scene) -> None:
    name = scene.user("--stop-timeout", "1", command=STUBBORN)

    with scene.quiet() as (windows, _):
        assert scene.inspect(name)["State"]["ExitCode"] == 137

    assert windows.warnings == [f"{name} did not stop within 1 s and was killed (137)"]
    assert scene.status(name) == "running"


def test_one_that_was_created_anew_meanwhile_is_started_by_its_place_in_the_project(
    scene: Scene,
) -> None:
    name = scene.user(*compose("db"))

    with scene.quiet():
        scene.engine.docker("rm", name)
        options = ["-v", f"{scene.volume}:/v", *compose("db")]
        new = scene.scratch.container(scene.image, *QUICK, options=options)

    assert scene.status(new) == "running"


def test_one_that_was_created_anew_meanwhile_is_started_by_its_name(scene: Scene) -> None:
    name = scene.user()

    with scene.quiet():
        scene.engine.docker("rm", name)
        scene.engine.docker("create", "--name", name, scene.image, *QUICK)

    assert scene.status(name) == "running"


def test_one_that_was_removed_meanwhile_is_told_of(scene: Scene) -> None:
    name = scene.user()

    with scene.quiet() as (windows, _):
        scene.engine.docker("rm", name)

    assert len(windows.warnings) == 1
    assert "somebody removed it" in windows.warnings[0]
    assert scene.journals == []


def test_what_somebody_else_starts_meanwhile_is_told_of(scene: Scene) -> None:
    name = scene.user()

    with scene.quiet() as (windows, _):
        other = scene.user()
        scene.engine.docker("start", name)

    assert f"{other} was started while what it uses was read" in windows.warnings
    assert f"{name} runs already: somebody else has started it" in windows.warnings


def test_one_that_cannot_start_is_a_failure_keeps_no_other_and_is_left_to_recover(
    scene: Scene, tmp_path: Path
) -> None:
    (place := tmp_path / "place").mkdir()
    first = scene.user("--mount", f"type=bind,source={place},target=/p", *compose("db"))
    second = scene.user(*compose("web", "db"))

    with scene.quiet() as (windows, _):
        place.rmdir()

    assert (scene.status(first), scene.status(second)) == ("exited", "running")
    assert [f"container {first!r} was stopped by this run" in str(e) for e in windows.failures] == [
        True
    ]
    assert len(scene.journals) == 1
    (again,) = scene.recover()
    assert again.left
    assert len(scene.journals) == 1
    place.mkdir()
    (again,) = scene.recover()
    assert (again.left, again.containers) == ((), (first,))
    assert (scene.status(first), scene.journals) == ("running", [])


def test_the_journal_of_a_run_that_lives_is_left_alone(scene: Scene) -> None:
    name = scene.user()

    with scene.quiet():
        assert scene.recover() == []
        assert scene.status(name) == "exited"


def test_a_second_run_waits_until_the_first_has_let_all_run_again(scene: Scene) -> None:
    name = scene.user()
    seen: list[str] = []

    def second() -> None:
        with scene.quiet() as (_, window):
            seen.append(scene.status(name))
        seen.extend(each.container for each in window.downtimes)

    with scene.quiet():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.5)
        assert seen == []
    waiting.join(60)

    assert seen == ["exited", name]
    assert scene.status(name) == "running"


BEFORE, AFTER = When.BEFORE, When.AFTER


def hook(when: When, *command: str, **more: Any) -> Hook:
    return Hook(when=when, command=list(command), **more)


def test_hooks_run_as_whom_and_where_they_are_told_with_what_the_container_has(
    scene: Scene, tmp_path: Path
) -> None:
    name = scene.user("--env", "PLACE=here")
    text = 'echo "$(id -u) $(pwd) $PLACE" > /v/said'
    before = hook(BEFORE, "sh", "-c", text, container=name, user="65534", directory="/tmp")
    after = hook(AFTER, "sh", "-c", f"pwd > {tmp_path}/here", directory=str(tmp_path))
    scene.engine.docker("exec", name, "chmod", "777", "/v")

    with scene.quiet(scene.hooked(before, after)) as (windows, _):
        said = scene.engine.docker("exec", name, "cat", "/v/said")
        assert not (tmp_path / "here").exists()

    assert said == "65534 /tmp here"
    assert (tmp_path / "here").read_text() == f"{tmp_path}\n"
    assert windows.warnings == []


@pytest.mark.parametrize("inside", [True, False], ids=["in a container", "on this machine"])
def test_a_hook_that_takes_too_long_is_killed_with_all_that_it_began(
    scene: Scene, inside: bool
) -> None:
    name = scene.user()
    command = ["sh", "-c", f"echo begun; sleep {LONG} & sleep {LONG}"]
    long = hook(
        BEFORE,
        *command,
        container=name if inside else None,
        timeout="1s",
        on_error=OnError.WARN,
    )

    with scene.quiet(scene.hooked(long)) as (windows, _):
        """It is over by now."""

    until(lambda: LONG.encode() not in running(), within_s=5, what="the end of all it began")
    (said,) = windows.warnings
    assert "took longer than 1s, and was killed: begun" in said


def test_a_hook_that_fails_ends_the_run_before_anything_stops_and_those_after_run_still(
    scene: Scene, tmp_path: Path
) -> None:
    name = scene.user()
    started = scene.inspect(name)["State"]["StartedAt"]
    fails = hook(BEFORE, "sh", "-c", "echo because; exit 3", container=name)
    after = hook(AFTER, "touch", str(tmp_path / "after"))
    order = Order(treatments={}, otherwise=STOP, hooks=(fails, after))

    with pytest.raises(BackupError, match="failed with status 3: because"):
        scene.quiet(order).__enter__()

    assert (tmp_path / "after").exists()
    assert scene.inspect(name)["State"]["StartedAt"] == started
    assert scene.journals == []


def test_a_hook_may_leave_the_sources_out(scene: Scene) -> None:
    name = scene.user()
    own = hook(BEFORE, "false", container=name, on_error=OnError.SKIP)
    order = Order(treatments={name: Treatment(quiesce=Quiesce.STOP, hooks=(own,))})

    with scene.quiet(order) as (_, window):
        assert window.skipped is not None
        assert scene.status(name) == "running"


@pytest.mark.parametrize("down", ["stop", "pause", "rm --force"])
def test_a_hook_whose_container_is_down_is_an_error_before_anything_stops(
    scene: Scene, down: str
) -> None:
    user, other = scene.user(), scene.scratch.running(scene.image, *QUICK)
    scene.engine.docker(*down.split(), other)
    order = Order(treatments={}, otherwise=STOP, hooks=(hook(AFTER, "true", container=other),))

    with pytest.raises(BackupError, match="cannot run: the container"):
        scene.quiet(order).__enter__()

    assert scene.status(user) == "running"


def test_who_cannot_be_stopped_keeps_its_unit_from_being_touched(scene: Scene) -> None:
    name, other = scene.user("--rm"), scene.user()

    with pytest.raises(BackupError, match="--rm"):
        scene.quiet().__enter__()

    assert (scene.status(name), scene.status(other)) == ("running", "running")


def test_an_engine_that_restarts_in_the_middle_has_all_running_again(
    start_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = start_engine()
    with Scratch(engine) as scratch:
        scene = Scene(scratch, images.tools(engine), tmp_path)
        names = [scene.user("--restart", policy) for policy in ("no", "always", "unless-stopped")]

        with scene.quiet() as (windows, _):
            engine.daemon.kill()
            engine.daemon.start()

        assert [scene.status(name) for name in names] == ["running"] * 3
        assert windows.failures == []
        assert scene.journals == []


def test_a_newer_engine_is_no_different(pool: Pool, tmp_path: Path) -> None:
    engine = pool.engine("28.5-containerd")
    with Scratch(engine) as scratch:
        scene = Scene(scratch, images.tools(engine), tmp_path)
        stopped, paused = scene.user("--restart", "always"), scene.user()
        long = hook(BEFORE, "sleep", LONG, container=stopped, timeout="1s", on_error=OnError.WARN)
        pause = Treatment(quiesce=Quiesce.PAUSE)
        order = Order(treatments={paused: pause}, otherwise=STOP, hooks=(long,))

        with scene.quiet(order) as (windows, _):
            assert (scene.status(stopped), scene.status(paused)) == ("exited", "paused")

        assert (scene.status(stopped), scene.status(paused)) == ("running", "running")
        assert ["took longer than 1s, and was killed" in each for each in windows.warnings] == [
            True
        ]
        assert LONG.encode() not in running()


def running() -> bytes:
    """All command lines of this machine: the engines' processes are among them."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += path.read_bytes()
    return found
