"""What goes wrong with a helper ends in a clear error within seconds, and leaves nothing behind.

A stream that was cut short must never be taken for a whole one, and nothing may wait for ever.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.engine import (
    RUN_LABEL,
    Access,
    Attached,
    Engine,
    VolumesFrom,
    connect,
    containers,
    helper,
    orphans,
    remove,
    sweep,
    tools,
    users,
)
from backup.engine import private as shared
from backup.engine.machine import Machine
from backup.errors import EngineError, EngineUnavailable, HelperFailed, NotOnEngine
from tests.integration.engine_side import (
    PLANES,
    TAR,
    UNTAR,
    WAYS,
    awaited,
    by_way,
    connected,
    endless,
    helpers,
    processes,
)
from tests.testbed import engine as testbed
from tests.testbed import images
from tests.testbed.scratch import Scratch

WITHIN_S = 12


@pytest.fixture(params=WAYS)
def voltar(engine: testbed.Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A connection by each way for bulk data."""
    with by_way(engine, request.param, request) as connection:
        yield connection


@pytest.fixture
def volume(scratch: Scratch) -> str:
    """A volume with a file that is too large for any buffer on the way."""
    return with_big(scratch.engine, scratch.volume())


def with_big(bed: testbed.Engine, volume: str) -> str:
    with (bed.volume_directory(volume) / "big").open("wb") as file:
        file.truncate(4 << 30)
    return volume


@contextmanager
def soon(within_s: float = WITHIN_S) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < within_s


@contextmanager
def happening(bed: testbed.Engine, *words: str) -> Iterator[None]:
    """A docker command that runs while voltar is at work, as somebody else's would."""
    with subprocess.Popen(
        [testbed.docker_command(), *words], env=bed.environment, stdout=subprocess.DEVNULL
    ):
        yield


def kill(container_id: str, command: str) -> None:
    """Kill -9 a process of a container, by its pid on this machine."""
    for pid in awaited(lambda: processes(container_id, command)):
        os.kill(pid, signal.SIGKILL)


def test_a_killed_tar_is_not_taken_for_the_end(voltar: Engine, volume: str) -> None:
    mounts = (Attached(volume, "/v"),)

    with (
        helper(voltar, mounts, access=Access.READ, run="t") as h,
        soon(),
        pytest.raises(HelperFailed, match=r"tar in the helper was killed \(killed, signal 9\)"),
        h.reading(TAR) as stream,
    ):
        next(iter(stream))
        kill(h.id, "tar")
        for _ in stream:
            pass


def test_a_killed_shell_is_not_taken_for_the_end(engine: testbed.Engine, volume: str) -> None:
    """On the attach plane a shell is around the command, and the command outlives it."""
    with (
        connected(engine, "attach") as voltar,
        helper(voltar, (Attached(volume, "/v"),), access=Access.READ, run="t") as h,
        soon(),
        pytest.raises(HelperFailed, match="cut off"),
        h.reading(TAR) as stream,
    ):
        next(iter(stream))
        kill(h.id, "sh")
        for _ in stream:
            pass


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("kill",), "stopped or killed"),
        (("rm", "--force"), "gone|stopped or killed"),
        (("pause",), "was paused"),
    ],
    ids=["killed", "removed", "paused"],
)
def test_a_reading_ends_when_something_happens_to_its_helper(
    voltar: Engine, volume: str, engine: testbed.Engine, how: tuple[str, ...], said: str
) -> None:
    with (
        helper(voltar, (Attached(volume, "/v"),), access=Access.READ, run="t") as h,
        soon(),
        pytest.raises(HelperFailed, match=said),
        h.reading(TAR) as stream,
    ):
        next(iter(stream))
        with happening(engine, *how, h.id):
            for _ in stream:
                pass

    assert helpers(engine) == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("kill",), "stopped or killed"),
        (("rm", "--force"), "gone|stopped or killed"),
        (("pause",), "was paused"),
    ],
    ids=["killed", "removed", "paused"],
)
def test_a_writing_ends_when_something_happens_to_its_helper(
    voltar: Engine, scratch: Scratch, engine: testbed.Engine, how: tuple[str, ...], said: str
) -> None:
    def blocks() -> Iterator[bytes]:
        more = endless()
        yield from itertools.islice(more, 400)
        # An engine loses a container for good that is paused while a command starts in it.
        awaited(lambda: processes(h.id, "tar"))
        with happening(engine, *how, h.id):
            yield from more

    with (
        helper(voltar, (Attached(scratch.volume(), "/v"),), access=Access.WRITE, run="t") as h,
        soon(),
        pytest.raises(HelperFailed, match=said),
    ):
        h.writing(UNTAR, blocks())

    assert helpers(engine) == []


def test_a_tar_that_is_killed_while_it_reads_is_noticed(voltar: Engine, scratch: Scratch) -> None:
    def blocks() -> Iterator[bytes]:
        for number, block in enumerate(endless()):
            yield block
            if number == 400:
                kill(h.id, "tar")

    with (
        helper(voltar, (Attached(scratch.volume(), "/v"),), access=Access.WRITE, run="t") as h,
        soon(),
        pytest.raises(HelperFailed, match="tar in the helper was killed"),
    ):
        h.writing(UNTAR, blocks())


@pytest.mark.parametrize("plane", PLANES)
def test_a_killed_engine_ends_a_reading(
    start_engine: Callable[..., testbed.Engine], plane: str
) -> None:
    bed = start_engine()
    volume = with_big(bed, bed.docker("volume", "create"))

    with (
        soon(30),
        connected(bed, plane) as voltar,
        pytest.raises(EngineUnavailable, match="cannot reach the Docker engine at unix:"),
        helper(voltar, (Attached(volume, "/v"),), access=Access.READ, run="t") as h,
        h.reading(TAR) as stream,
    ):
        next(iter(stream))
        bed.daemon.kill_dockerd()
        for _ in stream:
            pass


@pytest.mark.parametrize("plane", PLANES)
def test_a_killed_engine_ends_a_writing(
    start_engine: Callable[..., testbed.Engine], plane: str
) -> None:
    bed = start_engine()
    volume = bed.docker("volume", "create")

    def blocks() -> Iterator[bytes]:
        for number, block in enumerate(endless()):
            yield block
            if number == 400:
                bed.daemon.kill_dockerd()

    with (
        soon(30),
        connected(bed, plane) as voltar,
        pytest.raises(EngineUnavailable, match="cannot reach the Docker engine at unix:"),
        helper(voltar, (Attached(volume, "/v"),), access=Access.WRITE, run="t") as h,
    ):
        h.writing(UNTAR, blocks())


def test_a_run_after_a_power_cut_finds_its_orphans(
    start_engine: Callable[..., testbed.Engine],
) -> None:
    bed = start_engine()
    volume = bed.docker("volume", "create")

    with (
        connected(bed) as voltar,
        pytest.raises(EngineUnavailable),
        helper(voltar, (Attached(volume, "/v"),), access=Access.READ, run="cut") as h,
        h.reading(["sleep", "1000"]),
    ):
        bed.daemon.kill()

    bed.daemon.start()
    with connected(bed) as voltar:
        assert [one.run for one in orphans(voltar)] == ["cut"]
        assert sweep(voltar) == []
        assert orphans(voltar) == []


def test_an_image_that_was_deleted_is_built_again(
    start_engine: Callable[..., testbed.Engine],
) -> None:
    bed = start_engine()
    with connected(bed) as voltar:
        for _ in range(2):
            with helper(voltar, (), access=Access.READ, run="t") as h:
                assert h.run(["date", "+%s"])
            bed.docker("rmi", "--force", *bed.docker("images", "-q", "voltar-helper").split())


def test_tools_are_gathered_again_only_when_they_are_others(
    start_engine: Callable[..., testbed.Engine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bed = start_engine()
    gathered: list[tools.Toolbox] = []
    gather = tools.gather

    def watched(machine: Machine) -> tools.Toolbox:
        gathered.append(gather(machine))
        return gathered[-1]

    def answer() -> bytes:
        with (
            connected(bed) as voltar,
            helper(voltar, (), access=Access.READ, run="t") as h,
        ):
            return h.run(["date", "+%Y"])

    answer()
    monkeypatch.setattr(tools, "gather", watched)
    assert answer()
    assert gathered == []

    shutil.copy(shutil.which("date") or "", tmp_path / "date")
    with (tmp_path / "date").open("ab") as another:
        another.write(b"another")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert answer()
    assert answer()
    assert len(gathered) == 1


def test_a_named_image_that_is_missing_is_named(engine: testbed.Engine) -> None:
    with (
        connect(engine.url, helper_image="nonesuch:1", environ={}) as voltar,
        pytest.raises(NotOnEngine, match="no image 'nonesuch:1'") as caught,
        helper(voltar, (), access=Access.READ, run="t"),
    ):
        pass

    assert caught.value.hint == "docker pull nonesuch:1"


def test_a_named_image_that_declares_volumes_is_refused(
    engine: testbed.Engine, scratch: Scratch
) -> None:
    image = images.build(engine, f"{scratch.prefix}-db", ["sh"], changes=["VOLUME /data"])
    scratch.claim(images=[image])

    with (
        connect(engine.url, helper_image=image, environ={}) as voltar,
        pytest.raises(EngineError, match="declares volumes"),
        helper(voltar, (), access=Access.READ, run="t"),
    ):
        pass


def test_a_named_image_with_gnu_tools_serves(
    engine: testbed.Engine, scratch: Scratch, volume: str, image: str
) -> None:
    with (
        connected(engine, VOLTAR_HELPER_IMAGE=image) as voltar,
        helper(voltar, (Attached(volume, "/v"),), access=Access.READ, run="t") as h,
        h.reading(["tar", "-C", "/v", "--sparse", "-cf", "-", "."]) as stream,
    ):
        assert sum(len(block) for block in stream) < 1 << 20


def test_a_named_image_with_busybox_is_refused(engine: testbed.Engine, scratch: Scratch) -> None:
    image = images.build(engine, f"{scratch.prefix}-busy", ["busybox"])
    scratch.claim(images=[image])
    name = scratch.container(image, "busybox", "--install", "-s", "/bin")
    engine.docker("start", "--attach", name)
    engine.docker("commit", name, f"{image}-all")
    scratch.claim(images=[f"{image}-all"])

    with (
        connect(engine.url, helper_image=f"{image}-all", environ={}) as voltar,
        pytest.raises(EngineError, match="has no GNU tar"),
        helper(voltar, (), access=Access.READ, run="t"),
    ):
        pass


def test_an_interrupted_run_removes_its_helper(voltar: Engine, engine: testbed.Engine) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        helper(voltar, (), access=Access.READ, run="t") as h,
        h.reading(["cat", "/dev/zero"]) as stream,
    ):
        next(iter(stream))
        raise KeyboardInterrupt

    assert helpers(engine) == []


@pytest.mark.parametrize("plane", PLANES)
def test_a_killed_voltar_leaves_no_running_helper(
    engine: testbed.Engine, volume: str, plane: str
) -> None:
    script = f"""
        from backup.engine import Access, Attached, connect, helper
        engine = connect({engine.url!r}, environ={{"VOLTAR_DATA_PLANE": {plane!r}}})
        labels = {{"voltar.restore": {volume!r}}}
        mounts = (Attached({volume!r}, "/v"),)
        with helper(engine, mounts, access=Access.READ, run="killed", labels=labels) as h:
            with h.reading({list(TAR)!r}) as stream:
                next(iter(stream))
                print(h.id, flush=True)
                input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout
        identity = process.stdout.readline().decode().strip()
        assert helpers(engine, "running") == [identity]
        process.kill()

    awaited(lambda: not helpers(engine, "running"), within_s=WITHIN_S)
    with connected(engine) as voltar:
        (orphan,) = orphans(voltar)
        assert (orphan.id, orphan.run) == (identity, "killed")
        assert orphan.labels["voltar.restore"] == volume
        remove(voltar, orphan)
        remove(voltar, orphan)
        assert orphans(voltar) == []
    assert helpers(engine) == []


def test_a_paused_helper_is_an_orphan_and_can_be_removed(
    engine: testbed.Engine, voltar: Engine
) -> None:
    with helper(voltar, (), access=Access.READ, run="t") as h:
        assert orphans(voltar) == []
        engine.docker("pause", h.id)

        assert [one.id for one in orphans(voltar)] == [h.id]
        assert sweep(voltar) == []
        assert orphans(voltar) == []

    assert helpers(engine) == []


def test_a_helper_that_was_just_created_is_left_alone(
    engine: testbed.Engine, scratch: Scratch, image: str, voltar: Engine
) -> None:
    name = f"voltar-{scratch.prefix}"
    scratch.claim(containers=[name])
    labels = ["--label", "voltar.helper=1", "--label", f"{RUN_LABEL}=t"]
    engine.docker("create", "--name", name, *labels, image, "true")

    assert orphans(voltar) == []
    assert name not in [one.name for one in containers(voltar)]


def test_what_an_image_labels_like_a_helper_is_backed_up_all_the_same(
    engine: testbed.Engine, scratch: Scratch, image: str, voltar: Engine
) -> None:
    volume = scratch.volume()
    labels = ["--label", "voltar.helper=1", "--label", "voltar.drill-run=0123456789abcdef"]
    name = scratch.container(image, "true", options=[*labels, "-v", f"{volume}:/v"])
    engine.docker("start", name)
    engine.docker("wait", name)

    assert name in [one.name for one in containers(voltar)]
    assert [one.name for one in users(voltar, volume)] == [name]
    assert orphans(voltar) == []


def test_directories_of_dead_runs_are_removed_and_others_kept(tmp_path: Path) -> None:
    dead = tmp_path / f"{shared.PREFIX}dead"
    young = tmp_path / f"{shared.PREFIX}young"
    for path in (dead, young):
        path.mkdir()
    os.utime(dead, (1, 1))

    with shared.private_directory(tmp_path) as living:
        os.utime(living, (1, 1))
        assert shared.sweep([tmp_path]) == 1
        assert sorted(tmp_path.iterdir()) == sorted([living, young])

    assert list(tmp_path.iterdir()) == [young]


def test_a_container_that_is_not_there_is_named(voltar: Engine) -> None:
    with (
        pytest.raises(NotOnEngine, match="no container 'nonesuch'"),
        helper(voltar, VolumesFrom("nonesuch"), access=Access.READ, run="t"),
    ):
        pass
