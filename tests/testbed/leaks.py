"""What tests must not leave behind."""

import os
from pathlib import Path

from tests.testbed.daemon import children
from tests.testbed.engine import Engine

HELPER = "voltar.helper"


def on_engine(engine: Engine) -> list[str]:
    """Helper containers that are still on the engine, running or not."""
    listed = engine.docker(
        "ps", "--all", "--filter", f"label={HELPER}", "--format", "{{.ID}} {{.Status}} {{.Labels}}"
    )
    return [f"helper container on {engine.kind}: {line}" for line in listed.splitlines()]


def processes() -> list[str]:
    """Processes that this one started and that still run."""
    found = []
    for pid in children(os.getpid()):
        command = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
        if command.strip():
            found.append(f"process {pid}: {command.strip()}")
    return found
