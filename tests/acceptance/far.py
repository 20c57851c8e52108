"""An engine behind SSH as somebody's script sees it, and what may be left of a run that failed.

far = reach(host)                    the command with a home whose ~/.ssh leads to that host
far.fails("backup", volume)          ends in one clear sentence, which is returned
far.assert_clean()                   nothing is left, here or there
"""

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.cli import COMMAND, Result, Running, Voltar, judge, until
from tests.acceptance.files import fill
from tests.testbed import leaks
from tests.testbed.engine import Engine
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd
from tests.testbed.walk import Facts, diff, snapshot

MIB = 1 << 20
LARGE = 6 * MIB
SENTENCE = re.compile(r"(error|warning: \S+ was not backed up): \S.{15,700}")
"""One line, of a length that somebody reads."""
TYPED_WITHIN_S = 60
NOTE = " " * 7
ON_THE_WAY = re.compile(r"backed up: 0 of 1 source$|(backup|restore) \S+:")
UNTOLD = re.compile(r"\bNone\b|\bErrno\b|<[a-z_.]+ |Exception|paramiko|\b[A-Z]\w+Error\b|b'")
"""What words for a programmer look like."""


@dataclass(frozen=True, kw_only=True)
class Far:
    """The command, and the engine and host that it reaches."""

    engine: Engine
    host: Sshd
    voltar: Voltar
    scratch: Scratch
    proxy: Proxy | None = None
    pace: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ssh(self) -> Path:
        """The client's ~/.ssh."""
        return self.voltar.home / ".ssh"

    def fails(self, *words: str | Path, code: int = 1, **options: Any) -> str:
        """Run what must fail; what it said, which must be one clear sentence and perhaps a hint."""
        return sentence(self.voltar(*words, code=code, **options), code)

    def volume(self, files: Mapping[str, bytes] | None = None) -> str:
        """A volume on the far engine."""
        name = self.scratch.volume()
        fill(self.engine.volume_directory(name), files or {"file": b"content\n", "d/e": b"x" * 99})
        return name

    def large(self) -> str:
        """A volume that takes a while on the link, and that no compression makes small."""
        half = LARGE // 2
        return self.volume({"one": os.urandom(half), "two": os.urandom(half), "small": b"s"})

    def fresh(self) -> str:
        """A name for a volume that does not exist yet."""
        name = self.scratch.name("restored")
        self.scratch.claim(volumes=[name])
        return name

    def content(self, volume: str) -> dict[bytes, Facts]:
        """What is in a volume."""
        return snapshot(self.engine.volume_directory(volume))

    def assert_round_trip(self, volume: str) -> None:
        """Demand that a volume is backed up and restored as it is."""
        target = self.fresh()

        self.voltar("backup", f"volume:{volume}")
        self.voltar("restore", f"volume:{volume}", "--to", target)

        assert diff(self.content(volume), self.content(target)) == []

    def sources(self) -> list[str]:
        """What has snapshots."""
        return [each["source"] for each in self.voltar.ask("snapshots")]

    def begin(self, *words: str, towards: Any) -> Running:
        """Start what takes a while, and wait until a good part of the data went over the link."""
        assert self.proxy
        self.proxy.slow(4 * MIB)
        proxy, before = self.proxy, self.proxy.carried[towards]
        running = self.voltar.start(*words)
        until(
            lambda: (
                proxy.carried[towards] - before > LARGE // 4 or running.process.poll() is not None
            ),
            what="the transfer",
        )
        assert running.process.poll() is None, str(running.end())
        return running

    def left(self) -> list[str]:
        """Helpers, processes and files of voltar that are still there."""
        usual = {".ssh", ".bashrc"}
        home = [str(one) for one in self.host.far.home.iterdir() if one.name not in usual]
        ours = [str(one) for one in Path(self.voltar.environment["TMPDIR"]).iterdir()]
        return leaks.on_engine(self.engine) + leaks.on_far_host(self.host) + home + ours

    def assert_clean(self) -> None:
        """Demand that nothing is left; what was just cut off may need a moment to notice."""
        deadline = time.monotonic() + 15
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []

    def assert_sound(self, volume: str) -> None:
        """Demand that a run over the healthy link succeeds and that nothing is left after it."""
        if self.proxy:
            self.proxy.slow(None)

        self.assert_round_trip(volume)

        self.assert_clean()
        assert self.voltar.summary("check")["damages"] == []


def sentence(result: Result, code: int = 1) -> str:
    """What a failed call said: one clear sentence for a person, and perhaps what became of things,
    and a hint.

    A backup tells it of each source, and then how many were backed up.
    """
    assert result.code == code, str(result)
    lines = [line for line in result.err.splitlines() if not ON_THE_WAY.match(line)]
    told = [line for line in lines if line.startswith(("error: ", "warning: "))]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert len(told) == 1, str(result)
    notes = [line for line in lines if line.startswith(NOTE)]
    assert lines == told + notes + hints, f"said by nobody in particular: {result}"
    assert SENTENCE.fullmatch(told[0]), str(result)
    assert not UNTOLD.search("\n".join(lines)), str(result)
    return "\n".join(lines)


def typed(
    voltar: Voltar, *words: str, answers: Callable[[str], str | None], hidden: bool = False
) -> Result:
    """Run at a terminal of its own: `answers` is asked what to type whenever it shows something.

    `hidden`: nobody types so fast that the terminal still shows it when a secret is asked for.
    Stderr is a pipe all the same, so that what is said there can be told from prompts.
    """
    master, slave = pty.openpty()
    began = time.monotonic()
    shown = {master: b""}
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", COMMAND, *words],
        env=voltar.environment | {"TERM": "dumb"},
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
    ) as process:
        held = [slave]
        assert process.stderr
        err = process.stderr.fileno()
        shown[err] = b""
        live = [master, err]
        while live and time.monotonic() - began < TYPED_WITHIN_S:
            if held and process.poll() is not None:
                let_go(held.pop())
            for source in select.select(live, [], [], 0.1)[0]:
                if not (block := piece(source)):
                    live.remove(source)
                elif (line := answers(block.decode(errors="replace"))) is not None:
                    enter(master, line, hidden=hidden)
                shown[source] += block
        for still in (*held, master):
            os.close(still)
        if live:
            process.kill()
    result = Result(
        words=words,
        code=process.returncode,
        out=shown[master].replace(b"\r", b""),
        err=shown[err].decode(errors="backslashreplace"),
        seconds=time.monotonic() - began,
    )
    assert not live, f"no end after {TYPED_WITHIN_S} s: {result}"
    judge(result, voltar.password)
    return result


def enter(terminal: int, line: str, *, hidden: bool) -> None:
    """Type a line."""
    if hidden:
        until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO)
    os.write(terminal, f"{line}\n".encode())


def let_go(terminal: int) -> None:
    """Close a terminal, which must show again what is typed."""
    shows = termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)
    assert shows, "the terminal does not show any more what is typed"


def piece(source: int) -> bytes:
    """What there is to read; nothing at the end, which a terminal tells by an error."""
    try:
        return os.read(source, 4096)
    except OSError:
        return b""
