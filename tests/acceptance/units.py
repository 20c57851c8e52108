"""The services that `voltar systemd install` wrote, run as systemd would, as far as it can be had
without one: same command, environment and directories, in the cage of `tests.testbed.cage`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.cli import COMMAND, Voltar
from tests.testbed import cage


def settings(text: str, key: str) -> list[str]:
    """The words that a unit has for a key."""
    lines = [line.partition("=") for line in text.splitlines()]
    return [word for name, _, value in lines if name == key for word in value.split()]


class Caged:
    """The command as a service runs it: "job@nightly", "check@main". Services share the
    directories that systemd makes for them, and so do those with one `home`."""

    def __init__(self, jobs: Voltar, units: Path, home: Path, name: str = "job@nightly") -> None:
        kind, self.instance = name.split("@")
        self.service = service = (units / f"voltar-{kind}@.service").read_text()
        drop_in = (units / f"voltar-{name}.service.d/50-voltar.conf").read_text()
        assert settings(service, "ProtectSystem") == ["strict"]
        assert settings(service, "PrivateTmp") == ["yes"]
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(jobs.home),
            "DOCKER_HOST": jobs.url,
            **dict(each.split("=", 1) for each in settings(drop_in, "Environment")),
        }
        for directory in ("State", "Cache", "Runtime"):
            assert settings(service, f"{directory}Directory")
            (home / directory).mkdir(exist_ok=True)
            runtime = directory == "Runtime"
            key = "RUNTIME_DIRECTORY" if runtime else f"VOLTAR_{directory.upper()}_DIRECTORY"
            self.environ[key] = str(home / directory)
        allowed = [each.removeprefix("-") for each in settings(drop_in, "ReadWritePaths")]
        self.wishes: dict[str, list[str]] = {
            "writable": [*allowed, *(str(home / kind) for kind in ("State", "Cache", "Runtime"))],
            "capabilities": settings(service, "CapabilityBoundingSet"),
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command with these words."""
        wishes = json.dumps(self.wishes)
        argv = [sys.executable, str(cage.__file__), wishes, str(COMMAND), *words]
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environ, check=False, timeout=120
        )

    def start(self) -> subprocess.CompletedProcess[str]:
        """Run what the unit says."""
        command, *words = settings(self.service, "ExecStart")
        assert command == str(COMMAND)
        return self(*(self.instance if word == "%i" else word for word in words))
