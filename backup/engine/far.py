"""FIFOs on the engine's host, which is at the other end of an SSH connection: our ends of them.

The engine mounts a directory of that host in the helper, and a `cat` there carries the bytes: no
daemon but sshd is in the path. Three hazards are settled here:

- *Leftovers.* A shell on that host makes a nest for the directories of this run and takes it away
  when its stdin ends, which is when voltar ends or the link breaks, whatever the cause. A nest is
  named after that shell, so whoever makes the next one removes those whose shell is dead.
- *Blocking.* A `cat` that waits for a command that never comes would wait for ever: opening the
  FIFO for both directions, which never waits, lets it go.
- *Truncation.* `cat` may be killed as well: what came through is whole only if it ended well.
"""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backup.blocks import Blocks
from backup.engine.farhost import Host
from backup.engine.gather import gathered
from backup.errors import EngineError, HelperFailed

PREFIX = "voltar-link-"
ANSWERS_WITHIN_S = 60.0
_LET_GO = 'for f in "$d"/"$n"/fifo-*; do [ -p "$f" ] && : <>"$f"; done'
_SPACE = "n=$(readlink /proc/self/ns/pid | tr -cd 0-9); "  # where the shell's number is its own
_SWEEP = (
    f'for o in "$1/{PREFIX}$n"-*; do p=${{o##*-}}; p=${{p%%.*}}; '
    '[ -d "$o" ] && [ -O "$o" ] || continue; '
    f'kill -0 "$p" 2>/dev/null && grep -q {PREFIX} "/proc/$p/cmdline" && continue; '
    'rm -rf -- "$o"; done 2>/dev/null; '
)
_NEST = (
    f'trap "" HUP INT PIPE TERM; umask 077; {_SPACE}{_SWEEP}'
    f'd=$(mktemp -d "$1/{PREFIX}$n-$$.XXXXXX") || exit; '
    'printf "ok %s\\n" "$d"; '
    "while read -r w n; do case $w in "
    'make) m=$(mkdir -- "$d/$n" 2>&1) && echo ok || echo "no $m" ;; '
    f'drop) {_LET_GO}; m=$(rm -rf -- "${{d:?}}/$n" 2>&1) && echo ok || echo "no $m" ;; '
    f'esac; done; for n in "$d"/*; do n=${{n##*/}}; {_LET_GO}; done; rm -rf -- "$d"'
)
_READ = 'mkfifo -m 0666 -- "$1" && echo && { cat -- "$1"; exit $?; }'
_WRITE = 'mkfifo -m 0666 -- "$1" && echo && { cat >"$1"; exit $?; }'
_PLACE = 'cat >"$1"; exit $?'
_RELEASE = ': <>"$1"'
_NO_MORE_WANTED = (0, 141)
"""How the `cat` into a FIFO may end: with all of it there, or since the command reads no more."""


class Nest:
    """A place on the far host with the directories of this run, until `close` or our end."""

    def __init__(self, host: Host, parent: str) -> None:
        self._host = host
        self._parent = parent
        self._lock = threading.Lock()
        self._keeper = host.start(_NEST, parent)
        self._keeper.sock.settimeout(ANSWERS_WITHIN_S)
        try:
            self.path = self._answer()
        except BaseException:
            self.close()
            raise

    def make(self) -> "FarDirectory":
        """Make a directory."""
        name = secrets.token_hex(4)
        self._told(f"make {name}")
        return FarDirectory(self._host, f"{self.path}/{name}")

    def drop(self, directory: "FarDirectory") -> None:
        """Remove a directory, and let go of whoever waits at a FIFO in it."""
        self._told(f"drop {directory.path.rpartition('/')[2]}")

    def close(self) -> None:
        """Remove the nest and all that is in it."""
        with suppress(OSError):  # the link is gone; the shell has seen that as well
            self._keeper.sock.shutdown(socket.SHUT_WR)
            while self._keeper.sock.recv(4096):
                continue
        self._keeper.close()

    def _told(self, words: str) -> None:
        with self._lock:
            try:
                self._keeper.sock.sendall(f"{words}\n".encode())
            except OSError as err:
                raise self._broken(err) from err
            self._answer()

    def _answer(self) -> str:
        """Return what follows "ok" in the shell's answer."""
        line = b""
        try:
            while not line.endswith(b"\n"):
                if not (piece := self._keeper.sock.recv(1)):
                    raise self._broken(None)
                line += piece
        except OSError as err:
            raise self._broken(err) from err
        word, _, rest = line.decode(errors="surrogateescape").rstrip("\n").partition(" ")
        if word != "ok":
            raise EngineError(f"no directory can be made in {self._parent}: {rest}")
        return rest

    def _broken(self, err: OSError | None) -> EngineError:
        """Why the shell is gone. Raises EngineUnavailable where that is due to the connection."""
        done = self._host.ended(self._keeper, 5)
        said = done.stderr.strip().rpartition("\n")[2] if done else str(err or "")
        return EngineError(f"no directory can be had in {self._parent}: {said or 'no answer'}")


class Nests:
    """The nests of one connection, made when they are needed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._made: dict[str, Nest] = {}

    @contextmanager
    def fresh(self, parent: str) -> Iterator["FarDirectory"]:
        """A fresh directory below `parent`, removed at the end."""
        if parent not in self._made:
            self._made[parent] = Nest(self._host, parent)
        nest = self._made[parent]
        directory = nest.make()
        try:
            yield directory
        finally:
            with suppress(EngineError):  # then it goes with the nest, which nothing can prevent
                nest.drop(directory)

    def close(self) -> None:
        """Remove them all."""
        while self._made:
            self._made.popitem()[1].close()


class FarDirectory:
    """A directory with FIFOs on the far host."""

    def __init__(self, host: Host, path: str) -> None:
        self._host = host
        self.path = path

    def intake(self, name: str) -> "Intake":
        """Make a FIFO for what a command writes."""
        return Intake(self._host, f"{self.path}/{name}")

    def outlet(self, name: str) -> "Outlet":
        """Make a FIFO for what a command reads."""
        return Outlet(self._host, f"{self.path}/{name}")

    def place(self, name: str, blocks: Blocks) -> None:
        """Put a file there, over one of that name. Raises EngineError: the disk is full, say."""
        remote = self._host.start(_PLACE, f"{self.path}/{name}")
        try:
            remote.sock.settimeout(ANSWERS_WITHIN_S)
            with suppress(OSError):  # it has ended, and says why
                for piece in gathered(blocks):
                    remote.sock.sendall(piece)
                remote.sock.shutdown(socket.SHUT_WR)
            done = self._host.ended(remote, ANSWERS_WITHIN_S)
        finally:
            remote.close()
        if done is None or done.status:
            said = done.stderr.strip().rpartition("\n")[2] if done else "it takes too long"
            raise EngineError(
                f"cannot put {name} into {self.path} on {self._host.link.url}: {said}"
            )


class _End:
    """What the two ends have in common: the `cat` on the far host, at a FIFO that it made."""

    def __init__(self, host: Host, path: str, script: str) -> None:
        self._host = host
        self._path = path
        self._released = False
        self._remote = host.start(script, path)
        self.sock = self._remote.sock
        try:
            self._await_fifo()
        except BaseException:
            self._remote.close()
            raise
        self.sock.setblocking(False)

    def fileno(self) -> int:
        return self.sock.fileno()

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._host.run(_RELEASE, self._path, what="cannot open a FIFO")

    def close(self) -> None:
        self._remote.close()

    def ended(self, timeout_s: float) -> tuple[int | None, str]:
        done = self._host.ended(self._remote, timeout_s)
        return (None, "") if done is None else (done.status, done.stderr.strip())

    def _await_fifo(self) -> None:
        self.sock.settimeout(ANSWERS_WITHIN_S)
        try:
            made = self.sock.recv(1)
        except OSError:
            made = b""
        if not made:
            _, said = self.ended(5)
            raise EngineError(
                f"no FIFO can be made on {self._host.link.url}: {said or 'no answer'}"
            )


class Intake:
    """The reading end of a FIFO on the far host."""

    settle_s = 60.0

    def __init__(self, host: Host, path: str) -> None:
        self._end = _End(host, path, _READ)
        self._url = host.link.url
        self.closed = False

    def fileno(self) -> int:
        """For poll."""
        return self._end.fileno()

    def receive(self, buffer: memoryview) -> int | None:
        """Read once: None when nothing is there now, 0 when nothing will come any more."""
        try:
            size = self._end.sock.recv_into(buffer)
        except BlockingIOError:
            return None
        except OSError:
            size = 0  # `confirm` finds out what happened
        self.closed = size == 0
        return size

    def release(self) -> None:
        """Let `cat` go, where it still waits for the command."""
        self._end.release()

    def confirm(self) -> None:
        """Raise HelperFailed unless `cat` read the FIFO to its end."""
        status, said = self._end.ended(self.settle_s)
        if status != 0:
            raise HelperFailed(f"reading from {self._url} was cut off: {_why(status, said)}")

    def close(self) -> None:
        """Let go; a command that still writes gets SIGPIPE."""
        self._end.close()


class Outlet:
    """The writing end of a FIFO on the far host."""

    def __init__(self, host: Host, path: str) -> None:
        self._end = _End(host, path, _WRITE)
        self._url = host.link.url

    def fileno(self) -> int:
        """For poll."""
        return self._end.fileno()

    def ready(self) -> bool:
        """`cat` waits for the command, and we need not."""
        return True

    def send(self, piece: memoryview) -> int | None:
        """Write once: None when nothing can be taken now, 0 when `cat` has ended."""
        try:
            return self._end.sock.send(piece)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def finish(self) -> None:
        """That was all: `cat` ends, and the command sees the end."""
        with suppress(OSError):  # it has ended already
            self._end.sock.shutdown(socket.SHUT_WR)

    def confirm(self) -> None:
        """Raise HelperFailed unless `cat` passed everything on, or the command wanted no more."""
        self.finish()
        status, said = self._end.ended(0.25)
        if status is None:
            self._end.release()
            status, said = self._end.ended(ANSWERS_WITHIN_S)
        if status not in _NO_MORE_WANTED and "Broken pipe" not in said:
            raise HelperFailed(f"writing to {self._url} was cut off: {_why(status, said)}")

    def close(self) -> None:
        """Let go."""
        self._end.close()


def _why(status: int | None, said: str) -> str:
    if status is None:
        return "it does not come to its end"
    return said.rpartition("\n")[2] or f"its `cat` ended with status {status}"
