"""The `voltar` command as somebody's script sees it: words in, exit code, stdout and stderr out.

    voltar = Voltar(url, repository, home)
    voltar("backup", "volume:db")                      must end with 0
    voltar("restore", "nope", "--to", "x", code=1)     must end with 1
    voltar.events("backup", "volume:db")[-1]           with --json: the summary

Within `started_by(Starter())` most calls do without loading the command's modules; `executed=True`
has them executed, for tests that look at what `ps` or the kernel show of them.

Every call runs in an environment made here, and whatever it does, it may show no traceback, no
password, no raw control character, and with --json nothing but JSON.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.starter import Starter

COMMAND = Path(sys.executable).with_name("voltar")
PASSWORD = "correct horse battery staple 77"
WITHIN_S = 180
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
"""What may not reach a pipe or a terminal: control characters but for tab and newline."""
SPEAKS_JSON = "--json"
_starters: list[Starter] = []


@contextmanager
def started_by(starter: Starter) -> Iterator[None]:
    """Let a starter start the calls that it can."""
    _starters.append(starter)
    try:
        yield
    finally:
        _starters.remove(starter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one call came to."""

    words: tuple[str, ...]
    code: int
    out: bytes
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """What stdout said."""
        return self.out.decode()

    @property
    def said(self) -> str:
        """Stdout and stderr together, for tests that do not care where something is said."""
        return self.out.decode(errors="replace") + self.err

    @property
    def document(self) -> Any:
        """The one JSON document of a query."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of long work, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last event, which must be the summary."""
        last = self.events[-1]
        assert last["type"] == "summary", last
        return last

    @property
    def error(self) -> dict[str, Any]:
        """The error of a failed call with --json: the last line of stderr."""
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return found

    def __str__(self) -> str:
        shown = self.out[-1500:].decode(errors="backslashreplace")
        return (
            f"voltar {' '.join(self.words)}\n-> {self.code}\n{shown}\n-- stderr\n{self.err[-3000:]}"
        )


@dataclass(frozen=True, kw_only=True)
class Voltar:
    """The command with an engine, a repository and a home directory of its own."""

    url: str
    repository: Path | None
    home: Path
    password: str | None = PASSWORD
    more: Mapping[str, str] = field(default_factory=dict)
    executed: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """All that the command sees."""
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "LC_ALL": "C.UTF-8",
            "VOLTAR_STATE_DIRECTORY": str(self.home / "state"),
            "DOCKER_HOST": self.url,
        }
        if self.repository is not None:
            known["VOLTAR_REPOSITORY"] = str(self.repository)
        if self.password is not None:
            known["VOLTAR_PASSWORD"] = self.password
        return known | dict(self.more)

    def changed(self, **values: Any) -> "Voltar":
        """The same with something else: password, repository, url, …; environment as `more`."""
        names = ("url", "repository", "home", "password", "executed")
        now = {name: getattr(self, name) for name in names}
        more = {**self.more, **values.pop("more", {})}
        return Voltar(**(now | values), more=more)

    def __call__(
        self, *words: str | Path, code: int | Sequence[int] = 0, stdin: bytes = b""
    ) -> Result:
        """Run to the end; the exit code must be the one that is expected."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with self._running(*words, **pipes) as running:
            result = running.end(stdin, within_s=WITHIN_S)
        assert result.code in ([code] if isinstance(code, int) else code), str(result)
        return result

    def ask(self, *words: str | Path, **options: Any) -> Any:
        """Run a query with --json; its document."""
        return self("--json", *words, **options).document

    def summary(self, *words: str | Path, **options: Any) -> dict[str, Any]:
        """Run long work with --json; its summary."""
        return self("--json", *words, **options).summary

    def start(self, *words: str | Path, **options: Any) -> "Running":
        """Start without waiting, in a process group of its own."""
        pipes: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        given = {"stdin": subprocess.DEVNULL, "process_group": 0} | pipes | options
        return self._running(*words, **given)

    def _running(self, *words: str | Path, **options: Any) -> "Running":
        able = [each for each in _starters if not self.executed and each.takes(self.environment)]
        popen: Callable[..., Any] = able[0].popen if able else subprocess.Popen
        process = popen([COMMAND, *words], env=self.environment, **options)
        return Running(tuple(map(str, words)), process, self.password)


@dataclass(slots=True)
class Running:
    """A call that runs; `end` waits for it."""

    words: tuple[str, ...]
    process: "subprocess.Popen[bytes]"
    password: str | None
    began: float = field(default_factory=time.monotonic)

    def end(self, stdin: bytes | None = None, *, within_s: float = 60) -> Result:
        """Wait for the end, which must come in time."""
        try:
            out, err = self.process.communicate(stdin, timeout=within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"voltar {self.words}: no end after {within_s} s") from None
        result = Result(
            words=self.words,
            code=self.process.returncode,
            out=out or b"",
            err=(err or b"").decode(errors="backslashreplace"),
            seconds=time.monotonic() - self.began,
        )
        judge(result, self.password)
        return result

    def kill(self) -> None:
        """End it with SIGKILL, which it cannot see coming."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def judge(result: Result, password: str | None) -> None:
    """Demand what holds for every call."""
    error = result.err.encode()
    words = result.words
    is_data = "export" in words or ("image" in words and "save" in words and "-" in words)
    assert "Traceback" not in result.err, str(result)
    assert result.code != 70, str(result)
    assert not CONTROL.search(error), f"raw control characters on stderr: {result.err!r}"
    if not is_data:
        assert not CONTROL.search(result.out), f"raw control characters on stdout: {result.out!r}"
        assert b"Traceback" not in result.out, str(result)
    if password:
        assert password.encode() not in result.out + error, "the password was printed"
    if SPEAKS_JSON in result.words and not is_data and result.code >= 0:
        assert_json(result)


def assert_json(result: Result) -> None:
    """Demand that stdout is a document or events, stderr JSON too, and a failure told in either."""
    if result.out.strip():
        try:
            json.loads(result.out)
        except ValueError:
            for event in result.out.splitlines():
                json.loads(event)
    for line in result.err.splitlines():
        json.loads(line)
    if result.code:
        assert result.said.strip(), f"no error was told: {result}"


def until(true: Callable[[], Any], *, within_s: float = 30, what: str = "it") -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} did not come about in {within_s} s"
        time.sleep(0.05)
    return found
