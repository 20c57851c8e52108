"""python -m tests.demo: a container's volume is backed up, lost, and brought back, step by step.

Uses the Docker engine that the `docker` command reaches (DOCKER_HOST, the current context, the
default socket), under names that nothing else has; where there is none, a private engine that the
test bed starts. Whatever happens, Ctrl-C included, all that was made is removed at the end.

Exit status: 0 all the same, 1 something differs or failed, 130 interrupted.
"""

import io
import os
import secrets
import shlex
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from backup.engine import connect
from backup.errors import BackupError
from tests.testbed import images, walk
from tests.testbed.command import BedFailure, attempt, located
from tests.testbed.engine import Pool
from tests.testbed.workspace import Run

VOLTAR = str(Path(sys.executable).with_name("voltar"))
TOOLS = (
    *("sh", "cat", "chmod", "chown", "find", "ln", "mkfifo", "sha256sum", "sleep", "tail"),
    *("tar", "touch", "truncate"),
)
ODDITIES = """\
cd /dbdata
truncate -s 63M sparse.img; echo 'the end of a long hole' >> sparse.img
ln copy.py hardlink.py
ln -s copy.py symlink.py
ln -s /nowhere/at/all dangling
mkfifo queue
chown 70:70 copy.py; chmod 0600 os.py; chmod 4755 this.py
touch -d '1969-07-20 20:17:40.123456789 UTC' this.py
: > "a name with
two lines"
"""
FACTS = ("find", "/dbdata", "-printf", r"%P\0%y %m %U %G %s %T@ %n %l\0")
CONTENTS = ("find", "/dbdata", "-type", "f", "-exec", "sha256sum", "-z", "{}", "+")
WIDTH = 80
SHOWN = 10


class Difference(Exception):
    """The demo did not come out as promised; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demo plays: an environment for commands, and names that are its own."""

    environment: Mapping[str, str]
    directory: Path
    container: str
    volume: str
    image: str

    def docker(self, *words: str, stdin: bytes = b"") -> bytes:
        """Run a docker command behind the scenes. Raises BedFailure."""
        with started([docker_command(), *words], self.environment) as process:
            printed, complaint = process.communicate(stdin)
        if process.returncode:
            said = complaint.decode(errors="replace").strip()
            raise BedFailure(f"docker {words[0]}: exit status {process.returncode}: {said}")
        return printed


@dataclass(slots=True)
class Teller:
    """Prints what is done and what comes of it; in colour on a terminal."""

    colour: bool = field(
        default_factory=lambda: sys.stdout.isatty() and "NO_COLOR" not in os.environ
    )
    step: int = 0

    def heading(self, text: str) -> None:
        """Begin a step."""
        self.step += 1
        self._print("1", f"\n{self.step}. {text}")

    def explain(self, text: str) -> None:
        """Say what this is about."""
        self._print("", textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   "))

    def command(self, text: str) -> None:
        """Show a command as the reader would type it."""
        self._print("36", f"   $ {text}")

    def output(self, line: str) -> None:
        """Show a line that a command printed."""
        margin = " " * 5
        for part in textwrap.wrap(line, WIDTH - 7, break_long_words=False, break_on_hyphens=False):
            self._print("", margin + part)
            margin = " " * 7

    def verdict(self, text: str) -> None:
        """The last word."""
        self._print("1;32", f"\n{text}")

    def _print(self, style: str, text: str) -> None:
        print(f"\x1b[{style}m{text}\x1b[0m" if self.colour and style else text, flush=True)


def main() -> int:
    """Play the demo; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    tell = Teller()
    try:
        with stage(tell) as on:
            play(on, tell)
    except KeyboardInterrupt:
        print("\ninterrupted; what the demo made is removed", file=sys.stderr)
        return 130
    except (BedFailure, Difference) as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def stage(tell: Teller) -> Iterator[Stage]:
    """Find or start an engine and choose names; on leaving, remove everything that was made."""
    with ExitStack() as stack:
        version = reachable()
        if version:
            tell.explain(f"Docker {version} answers. The demo uses it, under names of its own.")
            suffix, environment = f"-{secrets.token_hex(2)}", dict(os.environ)
            temporary = tempfile.TemporaryDirectory(prefix="voltar-demo-")
            directory = Path(stack.enter_context(temporary))
        else:
            tell.explain("No Docker engine answers here: a private one is started for the demo.")
            suffix, (environment, directory) = "", private(stack)
        for name in ("VOLTAR_PASSWORD", "VOLTAR_PASSWORD_COMMAND"):
            environment.pop(name, None)
        environment["VOLTAR_REPOSITORY"] = str(directory / "repository")
        environment["VOLTAR_PASSWORD_FILE"] = str(directory / "password")
        environment["VOLTAR_STATE_DIRECTORY"] = str(directory / "state")
        on = Stage(
            environment=environment,
            directory=directory,
            container=f"dbdata{suffix}",
            volume=f"dbfiles{suffix}",
            image=f"voltar-demo:{secrets.token_hex(4)}",
        )
        stack.callback(remove, on, helper_images(on))
        yield on


def reachable() -> str | None:
    """The version of the engine that both the docker command and voltar reach, if there is one."""
    if located("docker") is None:
        return None
    with suppress(BedFailure, BackupError), connect() as engine:
        version = attempt([docker_command(), "version", "--format", "{{.Server.Version}}"])
        return engine.version if version.returncode == 0 else None
    return None


def private(stack: ExitStack) -> tuple[dict[str, str], Path]:
    """Start an engine of our own; return an environment for commands, and a directory."""
    ours = Run()
    stack.callback(ours.close)
    pool = Pool(ours)
    stack.callback(pool.close)
    return pool.engine().environment | {"TMPDIR": str(ours.tmp)}, ours.tmp


def remove(on: Stage, helpers_before: set[str]) -> None:
    """Remove what the demo made on the engine: by name, and nothing else."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    of_ours = ("--filter", "label=voltar.helper", "--filter", f"volume={on.volume}")
    helpers = on.docker("ps", "--all", "--quiet", *of_ours).decode().split()
    for words in (
        ("rm", "--force", on.container, *helpers),
        ("volume", "rm", "--force", on.volume),
        ("rmi", "--force", on.image, *(helper_images(on) - helpers_before)),
    ):
        with suppress(BedFailure):  # what was not made yet cannot be removed
            on.docker(*words)


def helper_images(on: Stage) -> set[str]:
    """The helper images of voltar that are on the engine."""
    listed = ("images", "--filter", "label=voltar.helper-image")
    return set(on.docker(*listed, "--format", "{{.Repository}}:{{.Tag}}").decode().split())


def play(on: Stage, tell: Teller) -> None:
    """The demo itself."""
    before = lose_nothing_yet(on, tell)
    tell.heading("Disaster: the container and its volume are deleted")
    show(on, tell, f"docker rm --force {on.container}")
    show(on, tell, f"docker volume rm {on.volume}")
    bring_back(on, tell)
    tell.heading("A second opinion, by code that shares nothing with voltar")
    compare(before, look(on))
    tell.explain("Every entry was looked at and read before the disaster and after: no difference.")
    tell.heading("A drill: would all of this work again, if it were needed tonight?")
    show(on, tell, f"voltar drill container:{on.container} --settle 2s")
    tell.explain(
        "The newest snapshot went into a scratch volume, every byte was compared, and the "
        "container was started on it, cut off from everything; then all of that was removed. A "
        "schedule does this every week: docs/drills.md."
    )
    tell.verdict(f"the same bytes, owners, modes and times: {len(before)} entries")


def lose_nothing_yet(on: Stage, tell: Teller) -> dict[bytes, object]:
    """Make a container with content and back it up twice; return what is in its volume."""
    tell.heading("A container with a volume full of files")
    build(on)
    show(on, tell, creation(on), quiet=True)
    fill(on)
    before = look(on)
    tell.explain(
        f"{len(before)} entries at /dbdata: Python's own library, and things that get lost easily: "
        "a hole of 63 MiB, a hard link, a setuid bit, a date in 1969, a FIFO, odd names."
    )
    tell.heading("A repository, the place for backups; a password encrypts it")
    (on.directory / "password").write_text("correct horse battery staple\n")
    for name in ("VOLTAR_REPOSITORY", "VOLTAR_PASSWORD_FILE"):
        tell.command(f"export {name}={on.environment[name]}")
    show(on, tell, "voltar init")
    time.sleep(3)
    tell.heading("A moment later, the first backup stores everything")
    show(on, tell, f"voltar backup {on.container}")
    tell.heading("The second backup reads and stores only what is new since the first")
    show(on, tell, f"voltar backup {on.container}")
    tell.explain(
        "What changed in the two seconds before a backup would be read again by the next one: time "
        "stamps that young prove nothing."
    )
    return before


def bring_back(on: Stage, tell: Teller) -> None:
    """Restore volume and content, and make the container again."""
    tell.heading("The volume comes back; all of it is read back and compared")
    show(on, tell, f"voltar restore volume:{on.volume} --to {on.volume} --verify=full")
    tell.heading("The container is made again, and finds its files")
    show(on, tell, creation(on), quiet=True)
    show(on, tell, f"docker exec {on.container} tail -c 23 /dbdata/sparse.img")
    tell.heading("Is all that is stored readable and right?")
    show(on, tell, "voltar check")


def creation(on: Stage) -> str:
    """The command that makes the container."""
    return f"docker run -d --name {on.container} -v {on.volume}:/dbdata {on.image}"


def show(on: Stage, tell: Teller, command: str, *, quiet: bool = False) -> None:
    """Run a command in front of the reader, with or without what it prints."""
    tell.command(command)
    words = shlex.split(command)
    words[0] = VOLTAR if words[0] == "voltar" else docker_command()
    said = ""
    with started(words, on.environment, errors=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            said = line.decode(errors="replace").strip()
            if not quiet:
                tell.output(said)
    if process.returncode:
        raise Difference(f"{command!r}: exit status {process.returncode}: {said}")


@contextmanager
def started(
    words: Sequence[str], environment: Mapping[str, str], *, errors: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is under way; when this is left it has ended.

    In a process group of its own it does not see the terminal's Ctrl-C. On ours, voltar is asked to
    stop and clean up; a docker command comes to its end, so that all it made can be removed.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, env=environment, stdin=pipe, stdout=pipe, stderr=errors, process_group=0
    ) as process:
        try:
            yield process
        except KeyboardInterrupt:
            if words[0] == VOLTAR:
                process.send_signal(signal.SIGINT)
            if process.stdin:
                process.stdin.close()
                process.stdin = None
            process.communicate()
            raise


def docker_command() -> str:
    """The docker command of this machine."""
    return str(located("docker") or "docker")


def build(on: Stage) -> None:
    """Make the container's image from this machine's own tools: no registry is needed."""
    content: dict[str, bytes] = {}
    for name in TOOLS:
        found = located(name)
        if found is None:
            raise BedFailure(f"the demo's image needs the command {name}, which is not here")
        content[f"bin/{name}"] = found.read_bytes()
        content |= {str(path).lstrip("/"): path.read_bytes() for path in images.libraries(found)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    change = ("--change", "ENV PATH=/bin", "--change", 'CMD ["sleep", "3600"]')
    on.docker("import", *change, "-", on.image, stdin=buffer.getvalue())


def fill(on: Stage) -> None:
    """Unpack Python's standard library into the volume, and make what is easily lost."""
    library = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "dist-packages", "test", "tests"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(library.rglob("*.py")):
            if not left_out & {*path.relative_to(library).parts}:
                tar.add(path, path.relative_to(library))
    unpack = ("exec", "-i", on.container, "tar", "-xf", "-", "-C", "/dbdata")
    on.docker(*unpack, stdin=buffer.getvalue())
    on.docker("exec", on.container, "sh", "-c", ODDITIES)


def look(on: Stage) -> dict[bytes, object]:
    """What is in the volume, seen from the host; from a container where the host may not look."""
    place = on.docker("volume", "inspect", "--format", "{{.Mountpoint}}", on.volume)
    with suppress(OSError):
        return dict(walk.snapshot(place.strip()))
    listed = on.docker("exec", on.container, *FACTS).split(b"\0")[:-1]
    digests = on.docker("exec", on.container, *CONTENTS).split(b"\0")[:-1]
    content = {path.removeprefix(b"/dbdata/"): text for text, path in map(divided, digests)}
    return {
        path: (facts, content.get(path))
        for path, facts in zip(listed[::2], listed[1::2], strict=True)
    }


def divided(line: bytes) -> tuple[bytes, bytes]:
    """A line of sha256sum as (digest, path)."""
    digest, _, path = line.partition(b"  ")
    return digest, path


def compare(before: Mapping[bytes, object], after: Mapping[bytes, object]) -> None:
    """Raise Difference unless both are the same."""
    paths = sorted(before.keys() | after.keys())
    differing = [path for path in paths if before.get(path) != after.get(path)]
    if differing or not before:
        shown = ", ".join(map(repr, differing[:SHOWN]))
        raise Difference(f"{len(differing)} entries differ: {shown}")


if __name__ == "__main__":
    sys.exit(main())
