"""Starts of the command that do not load it again: what takes it longest is loading its modules.

    with Starter() as starter:
        process = starter.popen([COMMAND, "snapshots"], env=…, stdout=PIPE)     as subprocess.Popen

A process that has loaded the command forks for each start. What comes of it is a process of its own
with its own words, environment, directory, files, group and signals: it is killed, interrupted
and waited for like one that was executed. Only what the kernel notes when a program is executed
(what `ps` shows, /proc/PID/environ) is the server's, and what Python reads when it begins.

The two talk over a socket that keeps messages apart: an order, with the three standard files and
the pipe on which its pid is told, and how it ended.
"""

import gc
import importlib
import io
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LOADED = (
    *("backup.cli.app", "docker", "paramiko", "rich.progress", "rich.table", "schedule"),
    *("obstore", "pathspec", "prometheus_client", "tomllib", "transports.ssh.link"),
)
LOCALE = {"LC_ALL": "C.UTF-8"}
"""Python chooses the encoding of its streams by it, before any of our code."""
NUMBER = struct.Struct("=i")
ORDER_LIMIT = 1 << 20
OPTIONS = {"stdin", "stdout", "stderr", "cwd", "process_group"}


class Order(NamedTuple):
    """One start."""

    argv: list[str]
    environment: dict[bytes, bytes]
    directory: bytes
    own_group: bool


class Starter:
    """The server and the way to it; ends with the server, which must have no process left."""

    def __init__(self) -> None:
        self._way, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ORDER_LIMIT)
        with there:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                env=LOCALE | {"PATH": os.environ["PATH"]},
                cwd=Path(__file__).parents[2],
            )

    @property
    def pid(self) -> int:
        """The server, whose children are the commands."""
        return self._server.pid

    def takes(self, environment: Mapping[str, str]) -> bool:
        """Whether a command in that environment is what it would be if it was executed."""
        read_at_start = ("PYTHON", "LD_", "LANG", "LC_")
        return LOCALE.items() <= environment.items() and not any(
            name.startswith(read_at_start) for name in environment.keys() - LOCALE.keys()
        )

    def popen(
        self, words: Sequence[str | Path], *, env: Mapping[str, str], **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Start a command; options are those in OPTIONS, as of subprocess.Popen."""
        assert options.keys() <= OPTIONS, f"the server of starts does not know {set(options)}"
        return _Forked(words, self._way, env=env, **options)

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, *_: object) -> None:
        self._way.close()
        self._server.wait(timeout=30)


class _Forked(subprocess.Popen[bytes]):
    """A process that the server started: it, not we, is told how the process ended."""

    def __init__(self, words: Sequence[str | Path], way: socket.socket, **options: Any) -> None:
        self._way = way
        self._told = -1
        super().__init__(words, **options)

    def _execute_child(self, args: Sequence[str | Path], *rest: Any) -> None:
        # the rest as subprocess hands it on: both ends of each pipe, ours and the child's
        cwd, env, ends, group = rest[4], rest[5], rest[9:15], rest[-1]
        files = [
            place if end == -1 else end for place, end in enumerate((ends[0], ends[3], ends[5]))
        ]
        order = Order(
            argv=[os.fspath(word) for word in args],
            environment={os.fsencode(name): os.fsencode(text) for name, text in env.items()},
            directory=os.fsencode(cwd or os.getcwd()),
            own_group=group == 0,
        )
        self._told, end = os.pipe()
        try:
            socket.send_fds(self._way, [pickle.dumps(order)], [*files, end])
        finally:
            os.close(end)
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]
        self.pid = self._number()
        self._child_created = True

    def _number(self) -> int:
        said = os.read(self._told, NUMBER.size)
        assert said, "the server of starts has died"
        return int(NUMBER.unpack(said)[0])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._told], [], [], 0)[0]:
            return 0, 0
        status = self._number()
        os.close(self._told)
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                lock.release()
        return self.returncode


def serve(way: socket.socket) -> Order | None:
    """Fork for each order until nobody can send one; in what was forked, return its order."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()  # it has no descriptor that what is forked could close by mistake
    poll.register(way, select.POLLIN)
    while True:
        for handle, _ in poll.poll():
            if handle in running:
                poll.unregister(handle)
                _tell_end(handle, *running.pop(handle))
                continue
            said, files, *_ = socket.recv_fds(way, ORDER_LIMIT, 4)
            if not said:
                return None
            order: Order = pickle.loads(said)
            if not (pid := os.fork()):
                way.close()
                _become(order, files)
                return order
            _tell_begin(pid, files, order)
            running[end := os.pidfd_open(pid)] = (pid, files[-1])
            poll.register(end, select.POLLIN)


def _tell_begin(pid: int, files: Sequence[int], order: Order) -> None:
    if order.own_group:  # here too, for whoever signals the group as soon as he knows the pid
        with suppress(OSError):
            os.setpgid(pid, pid)
    for file in files[:-1]:
        os.close(file)
    with suppress(BrokenPipeError):
        os.write(files[-1], NUMBER.pack(pid))


def _tell_end(end: int, pid: int, told: int) -> None:
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        os.write(told, NUMBER.pack(status))
    os.close(told)
    os.close(end)


def _become(order: Order, files: Sequence[int]) -> None:
    """Make this process what it would be if it had been executed."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, 4096)
    if order.own_group:
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environb.clear()
    os.environb.update(order.environment)
    time.tzset()
    os.chdir(order.directory)
    sys.argv = order.argv
    sys.stdin = _stream(0, "r", sys.stdin)
    sys.stdout = _stream(1, "w", sys.stdout)
    sys.stderr = _stream(2, "w", sys.stderr)


def _stream(number: int, mode: str, was: Any) -> io.TextIOWrapper:
    """A standard stream as Python makes it."""
    return io.TextIOWrapper(
        open(number, mode + "b", closefd=False),
        encoding=was.encoding,
        errors=was.errors,
        newline="\n",
        line_buffering=mode == "w" and (number == 2 or os.isatty(number)),
    )


def main() -> None:
    """Load the command, serve, and be it wherever this was forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    way = socket.socket(fileno=int(sys.argv[1]))
    way.set_inheritable(False)
    sys.path.pop(0)  # the directory of this file
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # what is shared with all that is forked stays shared
    if serve(way):
        importlib.import_module("backup.cli.app").main()


if __name__ == "__main__":
    main()
