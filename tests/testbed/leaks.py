"""What tests must not leave behind."""

from contextlib import suppress
from pathlib import Path

from tests.testbed.daemon import children
from tests.testbed.engine import Engine
from tests.testbed.sshd import Sshd

HELPER = "voltar.helper"


def on_engine(engine: Engine) -> list[str]:
    """Helper containers that are still on the engine, running or not."""
    listed = engine.docker(
        "ps", "--all", "--filter", f"label={HELPER}", "--format", "{{.ID}} {{.Status}} {{.Labels}}"
    )
    return [f"helper container on {engine.kind}: {line}" for line in listed.splitlines()]


def on_far_host(host: Sshd) -> list[str]:
    """What sessions left on a host behind SSH: processes but sshd's, and temporary files."""
    servers = host.far.servers()
    pids = [pid for pid in host.far.pids() if pid not in servers]
    left = [f"process on the far host: {words}" for pid in pids if (words := command(pid))]
    return left + [f"file on the far host: {path}" for path in host.far.left()]


def processes(parent: int) -> list[str]:
    """Processes that one started and that still run."""
    return [f"process {pid}: {words}" for pid in children(parent) if (words := command(pid))]


def naming(directory: Path) -> list[str]:
    """Processes whose command line names a directory: the engine of a run and what it started."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [words for pid in pids if str(directory) in (words := command(pid))]


def command(pid: int) -> str:
    """The command line of a process; empty for a zombie and for one that has ended."""
    with suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        return line.replace(b"\0", b" ").decode(errors="replace").strip()
    return ""
