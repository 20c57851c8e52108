"""What the supervisor is told, and the end of what runs, with real sockets and processes."""

import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from backup.config import Config, Job
from backup.scheduler import (
    Doors,
    Loop,
    Process,
    State,
    Supervisor,
    Told,
    serve,
    signals_held,
    tasks,
)

ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.fixture(params=["path", "abstract"])
def heard(request, tmp_path):
    """A supervisor's socket; its address, and what has come to it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@voltar-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name[0] == "@" else name)
        listening.settimeout(5)
        yield name, lambda: listening.recv(4096).decode()


def test_a_supervisor_is_told_how_things_are(heard):
    address, hear = heard
    supervisor = Supervisor(address, watchdog_s=10)
    began = time.monotonic_ns() // 1000

    supervisor.ready()
    supervisor.alive("next: run a")
    supervisor.alive("next: run a")
    supervisor.reloading()
    supervisor.stopping()

    assert hear() == "READY=1"
    assert hear() == "WATCHDOG=1\nSTATUS=next: run a"
    assert hear() == "WATCHDOG=1"
    for state in ("RELOADING=1", "STOPPING=1"):
        first, second = hear().split("\nMONOTONIC_USEC=")
        assert first == state
        assert began <= int(second) <= time.monotonic_ns() // 1000


def test_without_a_watchdog_there_is_no_sign_of_life(heard):
    address, hear = heard
    supervisor = Supervisor(address)

    supervisor.alive("one")
    supervisor.alive("one")
    supervisor.alive("two")

    assert [hear(), hear()] == ["STATUS=one", "STATUS=two"]


def test_a_supervisor_that_is_gone_ends_nothing(tmp_path):
    Supervisor(str(tmp_path / "nobody"), watchdog_s=1).alive("fine")
    Supervisor(None).ready()


def started(script):
    """A shell that runs a script, once it has said that it is up; and what else it says."""
    read, write = os.pipe()
    process = Process(["sh", "-c", script], ENVIRON, write)
    os.close(write)
    said = open(read, "rb", buffering=0)  # noqa: SIM115  for the test to close
    assert said.readline() == b"up\n"
    return process, said


def code_of(process):
    while (code := process.poll()) is None:
        time.sleep(0.01)
    return code


def test_a_process_can_be_asked_to_end():
    process, said = started("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")

    with said:
        process.terminate()

        assert code_of(process) == 7


def test_a_process_is_killed_with_all_that_it_has_started():
    process, said = started("trap '' TERM; sleep 20 & echo up; wait")
    began = time.monotonic()

    with said:
        process.kill()

        assert said.read() == b""  # the end comes when nobody is left who could write
        assert code_of(process) == -signal.SIGKILL
    assert time.monotonic() - began < 10


def test_a_process_that_has_ended_is_left_alone():
    process, said = started("echo up; exit 3")

    with said:
        assert code_of(process) == 3
        process.terminate()
        process.kill()


def test_signals_that_the_daemon_holds_reach_what_it_starts():
    with signals_held():
        process = Process(["sleep", "20"], ENVIRON, 2)
        process.terminate()

        assert code_of(process) == -signal.SIGTERM


def test_what_does_not_end_when_it_is_asked_to_is_killed():
    told: list[Told] = []
    stubborn = []
    this_thread = threading.get_ident()
    wanted = tasks(Config(jobs={"a": Job(schedule="every 1 seconds")}), UTC)

    def start(_):
        process, said = started("trap '' TERM; echo up; while :; do sleep 0.05; done")
        said.close()
        stubborn.append(process)
        signal.pthread_kill(this_thread, signal.SIGTERM)
        return process

    doors = Doors(now=lambda: datetime.now(UTC), start=start, save=lambda _: None, tell=told.append)
    loop = Loop(wanted, 1, State(), doors)
    began = time.monotonic()
    with signals_held():
        serve(loop, doors, Supervisor(watchdog_s=0.1), lambda: (wanted, 1), stop_s=0.5)

    assert time.monotonic() - began < 10
    assert [each.poll() for each in stubborn] == [-signal.SIGKILL]
    assert [e.event for e in told] == ["started", "stopping", "killed", "interrupted", "stopped"]
