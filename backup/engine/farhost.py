"""The host at the other end of an SSH connection: a POSIX shell, and what it says of itself.

Nothing is installed there and nothing is presumed but a shell with what every Unix has. Scripts get
what varies as arguments, never as a part of their text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backup.engine.address import Address
from backup.errors import EngineError, EngineUnavailable, EngineUntrusted
from transports.errors import HostKeyRefused, TransportError
from transports.ssh import Finished, Link, Remote

_WHERE = (
    'printf "%s %s\\n" "$(cat /proc/sys/kernel/random/boot_id)" "$(readlink /proc/self/ns/mnt)"'
)
_LOOK = (
    'printf "%s\\n" "$(id -u)" "${DOCKER_HOST-}" "${XDG_RUNTIME_DIR-}" "${TMPDIR-}"; '
    f"({_WHERE}) 2>/dev/null; "
    'for p in docker socat nc ncat; do command -v "$p" || echo; done'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a host says of itself. `boot` names its running kernel, `files` the view of the files
    that a process has there."""

    user: int
    docker_host: str
    runtime: str
    temporary: str
    boot: str
    files: str
    programs: dict[str, str]


class Host:
    """A shell on the far host. Raises EngineUnavailable where the connection is the trouble."""

    def __init__(self, link: Link, address: Address) -> None:
        self.link = link
        self.address = address

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Translate errors of the connection into EngineUnavailable."""
        try:
            yield
        except TransportError as err:
            raise unreachable(self.address, err) from err

    def start(self, script: str, *words: str) -> Remote:
        """Start a script with these arguments ($1 …)."""
        with self.reaching():
            return self.link.start(_argv(script, words))

    def ended(self, remote: Remote, timeout_s: float) -> Finished | None:
        """Return how a script ended; None while it runs."""
        with self.reaching():
            return remote.finished(timeout_s)

    def run(self, script: str, *words: str, stdin: bytes = b"", what: str) -> bytes:
        """Run a script, return what it prints. Raises EngineError, which says `what` failed."""
        with self.reaching():
            done = self.link.run(_argv(script, words), stdin=stdin)
        if done.status:
            raise EngineError(f"{what} on {self.link.url}: {_said(done)}")
        return done.stdout

    def look(self) -> Seen:
        """Ask the host who it is."""
        text = self.run(_LOOK, what="cannot run shell commands").decode(errors="surrogateescape")
        user, docker_host, runtime, temporary, place, *paths = (text + "\n" * 9).split("\n")[:9]
        boot, _, files = place.partition(" ")
        found = zip(("docker", "socat", "nc", "ncat"), paths, strict=True)
        return Seen(
            user=int(user) if user.isdigit() else -1,
            docker_host=docker_host,
            runtime=runtime,
            temporary=temporary or "/tmp",  # noqa: S108  where POSIX has it; a directory is made in it
            boot=boot,
            files=files,
            programs={name: path for name, path in found if path},
        )


def unreachable(address: Address, err: TransportError) -> EngineUnavailable:
    """The sentence for a connection that cannot be had or broke."""
    kind = EngineUntrusted if isinstance(err, HostKeyRefused) else EngineUnavailable
    return kind(
        f"cannot reach the Docker engine at {address.url} (from {address.origin}): {err}",
        hint=err.hint,
    )


def on_this_machine(seen: Seen) -> bool:
    """Return whether the far host is this machine after all."""
    return bool(seen.boot) and seen.boot == _read("/proc/sys/kernel/random/boot_id")


def with_our_files(seen: Seen) -> bool:
    """Return whether the far host's paths are ours, too."""
    try:
        ours = str(Path("/proc/self/ns/mnt").readlink())
    except OSError:
        return False
    return on_this_machine(seen) and seen.files == ours


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _argv(script: str, words: Sequence[str]) -> list[str]:
    return ["sh", "-c", script, "voltar", *words]


def _said(done: Finished) -> str:
    return done.stderr.strip().rpartition("\n")[2] or f"status {done.status}"
