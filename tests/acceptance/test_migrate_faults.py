"""Whatever ends a migration, and wherever: it is as if it had not begun, or it is done."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backup.engine import connect
from backup.errors import BackupError
from backup.migrate import journal, survey
from backup.migrate.apply import apply, recover
from backup.migrate.facts import Wishes
from backup.migrate.journal import Journal
from backup.migrate.making import fresh_id
from backup.migrate.plan import Plan, plan
from backup.migrate.step import AnyStep, CopyData
from backup.migrate.work import Engines, Work
from backup.report import ignore
from tests.acceptance.cli import Result, until
from tests.acceptance.migration import KILL, PAIRS, Pair, Service, begun, move, moved, paired
from tests.testbed import walk
from tests.testbed.engine import Pool

pytestmark = pytest.mark.private
UNPACKING = '"unpacking":true'


@pytest.fixture
def pair(pool: Pool, tmp_path: Path) -> Iterator[Pair]:
    """The older engine, and the newer one with the containerd store."""
    yield from paired(pool, PAIRS[0], tmp_path)


@pytest.fixture
def service(pair: Pair) -> Iterator[Service]:
    made = Service(pair)
    yield made
    made.remove()


class Cut(Journal):
    """A journal that cannot be written the n-th time that something was done or found out.

    What is only about to be done is not counted: then all is as it was at the line before.
    """

    def __init__(self, opened: Journal, at: int) -> None:
        super().__init__(opened.path, opened._handle, opened.record)
        self.left = at

    def _write(self, line: Any) -> None:
        self.left -= line.is_ != "begun" or bool(line.facts)
        if self.left == 0:
            raise BackupError("cut")
        super()._write(line)


def made_plan(engines: Engines, target: str) -> Plan:
    found = survey.origin(engines.source, target, "t")
    return plan(found, survey.ground(engines.target, found, "t"), Wishes())


def engines_of(pair: Pair) -> Engines:
    return Engines(pair.source.engine.url, pair.target.engine.url, connect)


def test_a_failure_at_any_moment_takes_all_of_it_back(
    pair: Pair, service: Service, tmp_path: Path
) -> None:
    """Fails when the first step is done but not written down, the second, … until it succeeds."""
    moved(pair.target.engine)
    pair.remember()
    failures = 0
    with engines_of(pair) as engines:
        made = made_plan(engines, service.target)
        assert not made.blocked
        while failing(engines, made, tmp_path / "journals", failures + 1):
            failures += 1
            assert service.is_as_before()
    # image, network, volume, create, stop, two copies, start, await
    assert failures > len(made.steps)
    assert service.has_moved()


def failing(engines: Engines, made: Plan, directory: Path, at: int) -> bool:
    """Perform a plan with a journal that fails at one line; tell whether it came to that."""
    with journal.opened(directory, made, fresh_id()) as opened:
        try:
            apply(Work(engines, Cut(opened, at), ignore))
        except BackupError as error:
            assert str(error) == "cut"  # noqa: PT017
            assert ["is taken back" in note for note in error.__notes__] == [True]  # noqa: PT017
            return True
    return False


def test_a_taking_back_that_fails_anywhere_is_ended_by_the_next(
    pair: Pair, service: Service, tmp_path: Path
) -> None:
    moved(pair.target.engine)
    pair.remember()
    with engines_of(pair) as engines:
        made = made_plan(engines, service.target)
        for at in (1, 4, 7):
            with (
                pytest.raises(BackupError, match="cut"),
                journal.opened(tmp_path / "journals", made, fresh_id()) as opened,
            ):
                apply(Work(engines, Stopping(opened, made.steps, at), ignore))
            with journal.reopened(opened.path) as again:
                recover(Work(engines, again, ignore))
            assert service.is_as_before()


class Stopping(Journal):
    """A journal that fails when the last copy is done, and again at the n-th line after that."""

    def __init__(self, opened: Journal, steps: tuple[AnyStep, ...], after: int) -> None:
        super().__init__(opened.path, opened._handle, opened.record)
        self.last = max(n for n, step in enumerate(steps) if isinstance(step, CopyData))
        self.after = after
        self.failed = False

    def _write(self, line: Any) -> None:
        if self.failed:
            self.after -= 1
            if self.after == 0:
                raise BackupError("cut again")
        elif line.step == self.last and line.is_ == "done":
            self.failed = True
            raise BackupError("cut")
        super()._write(line)


def ended_at(pair: Pair, target: str, moment: str, number: int) -> Result:
    """Start a migration, and give it a signal when its journal has begun a step of that kind."""
    known = set(pair.journals())
    with pair.voltar.start("migrate", target, *pair.to) as running:
        while not any(has_come_to(path, moment) for path in set(pair.journals()) - known):
            assert running.process.poll() is None, running.end()
            time.sleep(0.002)
        os.killpg(running.process.pid, number)
        return running.end()


def has_come_to(path: Path, moment: str) -> bool:
    return moment in begun(path) or moment in path.read_text().partition("\n")[2]


def killed_at(pair: Pair, service: Service, kind: str) -> None:
    ended_at(pair, service.target, kind, signal.SIGKILL)


def test_kill_nine_is_taken_back_and_the_next_run_succeeds(pair: Pair, service: Service) -> None:
    kinds = ("SendImage", "MakeVolume", "CreateContainer", "StopSource", "CopyData")
    for kind in kinds:
        killed_at(pair, service, kind)
        assert "taken back" in pair.voltar("recover", service.target).said
        assert service.is_as_before(), kind

    killed_at(pair, service, "CopyData")
    again = move(pair, service.target)

    assert any("taken back" in one.get("message", "") for one in again.events)
    assert service.has_moved()
    states = [one["state"] for one in pair.voltar.ask("migrate", "list")]
    assert states == ["taken back"] * (len(kinds) + 1) + ["moved"]


@pytest.mark.parametrize("moment", [UNPACKING, "MakeNetwork", "CreateContainer", "AwaitTarget"])
def test_an_interrupt_takes_back_what_the_engine_is_only_about_to_make(
    pair: Pair, service: Service, moment: str
) -> None:
    """A request that was given up is carried out all the same; to make a network takes a while."""
    ended = ended_at(pair, service.target, moment, signal.SIGINT)

    assert (ended.code, "take back" in ended.err) == (130, True)
    assert service.is_as_before()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_source_that_is_still_stopping_runs_again(
    pair: Pair, service: Service, number: int
) -> None:
    """Whoever only starts it, while it runs, finds it stopped a moment later."""
    code = "trap '' TERM; while sleep 0.1; do :; done"
    slow = ("--stop-timeout", "3", "--restart", "always")
    name = pair.source.running(service.image, "sh", "-c", code, options=slow)
    before = pair.inspect(pair.source, name)["State"]["StartedAt"]

    def is_touched() -> bool:
        return bool(pair.inspect(pair.source, name)["HostConfig"]["RestartPolicy"]["Name"] == "no")

    with pair.voltar.start("migrate", f"container:{name}", *pair.to) as running:
        until(is_touched)
        os.killpg(running.process.pid, number)
        running.end()
    pair.voltar("recover")

    after = pair.inspect(pair.source, name)
    assert (after["State"]["Running"], after["State"]["StartedAt"] > before) == (True, True)
    assert after["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert pair.left() == {}


def test_kill_nine_once_the_target_is_started_goes_on_to_the_end(
    pair: Pair, service: Service
) -> None:
    killed_at(pair, service, "AwaitTarget")
    assert not pair.inspect(pair.source, service.name)["State"]["Running"]

    said = pair.voltar("recover").said

    assert "is moved now" in said
    assert service.has_moved()
    assert "nothing was left half done" in pair.voltar("recover").text


def test_a_source_that_somebody_removed_meanwhile_is_told_and_the_rest_taken_back(
    pair: Pair, service: Service
) -> None:
    killed_at(pair, service, "CopyData")
    pair.source.engine.docker("rm", "--force", service.name)

    said = pair.voltar("recover").said

    assert "was removed from the source: nothing is started" in said
    assert pair.left() == {}
    assert walk.diff(service.content, pair.content(pair.source, service.volume)) == []
    assert [one["state"] for one in pair.voltar.ask("migrate", "list")] == ["taken back"]


def test_a_taking_back_that_is_killed_is_ended_by_the_next(pair: Pair, service: Service) -> None:
    killed_at(pair, service, "CopyData")
    (path,) = pair.journals()
    with pair.voltar.start("recover") as running:
        until(lambda: "undone" in path.read_text())
        running.kill()

    pair.voltar("recover")

    assert service.is_as_before()


def test_a_target_that_does_not_become_healthy_is_taken_back(pair: Pair, service: Service) -> None:
    """It fails when it is started a second time, wherever that is."""
    code = "echo begun; test -e /data/ran && sleep 1 && exit 7; touch /data/ran; sleep 1000"
    name = pair.source.running(
        service.image,
        *("sh", "-c", code),
        options=(*KILL, "-v", f"{pair.source.volume()}:/data", "--restart", "no"),
    )
    directory = next(
        Path(pair.source.engine.volume_directory(one["Name"]))
        for one in pair.inspect(pair.source, name)["Mounts"]
    )
    until((directory / "ran").exists)
    before = pair.inspect(pair.source, name)["State"]["StartedAt"]
    pair.remember()

    failed = move(pair, f"container:{name}", code=1)

    assert "ended with exit code 7 on the target" in failed.error["message"]
    said, became = failed.error["notes"]
    assert said == f"{name}: begun"
    assert "taken back: the source is as it was" in became
    assert pair.left() == {}
    assert pair.inspect(pair.source, name)["State"]["StartedAt"] > before


def test_a_port_that_is_taken_meanwhile_takes_all_of_it_back(pair: Pair, service: Service) -> None:
    moved(pair.target.engine)
    port = ("-p", "18097:80")
    slow = ("--stop-timeout", "2")  # it ignores SIGTERM
    name = pair.source.running(service.image, "sleep", "1000", options=(*slow, *port))
    pair.remember()
    thief = pair.target.container(service.image, "sleep", "1000", options=(*KILL, *port))
    with pair.voltar.start("--json", "migrate", f"container:{name}", *pair.to) as running:
        until(lambda: any("StopSource" in begun(path) for path in pair.journals()))
        pair.target.engine.docker("start", thief)
        failed = running.end()

    assert f"container {name!r}: it cannot be started" in failed.error["message"]
    assert "18097" in failed.error["message"]
    assert pair.left() == {"containers": {pair.inspect(pair.target, thief)["Id"]}}
    assert pair.inspect(pair.source, name)["State"]["Running"]


def test_of_two_at_once_one_moves_it_and_the_other_is_told(pair: Pair, service: Service) -> None:
    words = ("migrate", service.target, *pair.to)
    with pair.voltar.start(*words) as one, pair.voltar.start(*words) as other:
        ended = sorted((one.end(), other.end()), key=lambda each: each.code)

    assert [each.code for each in ended] == [0, 5]
    assert "being moved by another run" in ended[1].err or "nothing was touched" in ended[1].err
    assert service.has_moved()


def test_a_health_check_that_fails_is_waited_for_and_taken_back(
    pair: Pair, service: Service
) -> None:
    options = (*KILL, "--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1")
    name = pair.source.running(service.image, "sleep", "1000", options=options)
    pair.remember()

    failed = move(pair, f"container:{name}", "--health-timeout", "2", code=1)

    assert "healthy after 2 s on the target" in failed.error["message"]
    assert pair.left() == {}
    assert pair.inspect(pair.source, name)["State"]["Running"]


def test_somebody_who_writes_to_the_source_is_noticed(pair: Pair, service: Service) -> None:
    directory = pair.source.engine.volume_directory(service.volume)
    over = threading.Event()

    def write() -> None:
        count = 0
        while not over.wait(0.005):
            count += 1
            (directory / "written").write_text(str(count))

    with ExitStack() as stack:
        writer = threading.Thread(target=write)
        writer.start()
        stack.callback(writer.join)
        stack.callback(over.set)
        failed = move(pair, service.target, code=1)

    assert "written" in failed.error["message"]
    assert pair.left() == {}
    assert pair.inspect(pair.source, service.name)["State"]["Running"]


def test_a_target_that_dies_leaves_the_source_running(
    pair: Pair, service: Service, start_engine: Callable[..., Any]
) -> None:
    mortal = start_engine("28.5-classic")
    moved(mortal)
    command = ("migrate", service.target, "--to", mortal.url)
    with pair.voltar.start("--json", *command) as running:
        until(lambda: any("CopyData" in begun(path) for path in pair.journals()))
        mortal.daemon.kill()
        failed = running.end()

    assert failed.code == 1
    assert any("voltar recover" in note for note in failed.error["notes"])
    assert pair.inspect(pair.source, service.name)["State"]["Running"]
    mortal.daemon.start()
    pair.voltar("recover")
    assert mortal.docker("ps", "-aq") == mortal.docker("volume", "ls", "-q") == ""
