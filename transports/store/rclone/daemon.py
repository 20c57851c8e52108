"""One `rclone rcd`: started with the first call, ended with the store, or with this process.

It listens on a socket in a directory that only this user may enter, so there is no port and no
password. Between it and us is a shell that waits for the end of its standard input: when this
process dies, by whatever signal, the kernel closes the other end, and the shell ends rclone.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transports.errors import Refused

_STARTS_WITHIN_S: Final = 30.0
_ENDS_WITHIN_S: Final = 0.5
"""It would wait ten seconds for answers that nobody waits for any more."""
_LONGEST_BASE: Final = 70
"""Bytes of a directory below which a socket can have a name: that may have 107."""
# $0 is the file for what rclone complains of; whichever ends first, rclone or our end of the
# standard input, takes the rest with it
_LIFELINE: Final = """
exec 3<&0
"$@" </dev/null 3<&- 2>"$0" &
child=$!
{ while read -r _ <&3; do :; done; rm -rf -- "${0%/*}"; kill "$child"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$child"
kill "$watcher" 2>/dev/null
"""
_MISSING_HINT: Final = "install Debian's package rclone, or `pip install 'voltar[rclone]'`"

Body = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of rclone's: HTTP status, headers with small letters, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """rclone's own words, where it failed."""
        try:
            found = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return f"status {self.status}"
        return " ".join(str(found).split())


def find_rclone(path: str | None) -> str:
    """Return where the program is: in PATH, or beside this Python. Raises Refused."""
    beside = Path(sys.executable).with_name("rclone")
    found = shutil.which("rclone", path=path) or (str(beside) if beside.exists() else None)
    if found is None:
        raise Refused(
            "rclone: stores need the program rclone, which is not here", hint=_MISSING_HINT
        )
    return found


class Daemon:
    """rclone's API; several threads may call it at once."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._closed = False

    def call(
        self,
        method: str,
        target: str,
        body: tuple[Body, ...] = (),
        headers: Mapping[str, str] | None = None,
        *,
        within_s: float,
    ) -> Reply:
        """Make one request. Raises OSError or HTTPException where no answer comes, and Refused
        where rclone does not start."""
        connection = _Connection(self._started() / "socket", within_s)
        sent = {"Content-Length": str(sum(len(part) for part in body)), **(headers or {})}
        try:
            connection.request(method, target, iter(body) if body else None, sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def close(self) -> None:
        """End rclone."""
        with self._lock:
            self._closed = True
            self._end()

    def _started(self) -> Path:
        with self._lock:
            if self._closed:
                raise Refused("rclone: the store was closed")
            if self._shell is not None and self._shell.poll() is not None:
                self._end()  # it died under us; a new one may live
            if self._directory is None:
                self._start()
            assert self._directory is not None  # noqa: S101  what _start has made
            return self._directory

    def _start(self) -> None:
        usual = tempfile.gettempdir()
        base = usual if len(os.fsencode(usual)) <= _LONGEST_BASE else "/tmp"  # noqa: S108  mkdtemp
        self._directory = Path(tempfile.mkdtemp(prefix="voltar-rclone-", dir=base))
        argv = [
            self._program, "rcd", "--rc-addr", f"unix://{self._directory / 'socket'}",
            "--rc-no-auth", "--rc-serve", "--use-server-modtime", "--ask-password=false",
            "--contimeout", "15s", "--timeout", "60s", "--low-level-retries", "2",
        ]  # fmt: skip
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _LIFELINE, str(self._directory / "log"), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is for us
        )
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not self._listens():
            if self._shell.poll() is not None or time.monotonic() > deadline:
                said = self._log()
                self._end()
                raise Refused(f"rclone does not start: {said}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        assert self._directory is not None  # noqa: S101  who asks has made it
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._directory / "socket")) == 0

    def _end(self) -> None:
        shell, directory = self._shell, self._directory
        self._shell = self._directory = None
        if shell is not None:
            if shell.stdin is not None:
                shell.stdin.close()
            try:
                shell.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def _log(self) -> str:
        """Return the last line that rclone has written."""
        try:
            assert self._directory is not None  # noqa: S101  who asks has made it
            lines = (self._directory / "log").read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        return next((line for line in reversed(lines) if line.strip()), "it says nothing")[-300:]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, within_s: float) -> None:
        super().__init__("localhost", timeout=within_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
