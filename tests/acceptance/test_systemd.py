"""What is written for systemd, and that voltar can do its work in it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli import COMMAND, Voltar
from tests.acceptance.test_jobs import configured
from tests.testbed import cage


def settings(text: str, key: str) -> list[str]:
    """The words that a unit has for a key."""
    lines = [line.partition("=") for line in text.splitlines()]
    return [word for name, _, value in lines if name == key for word in value.split()]


class Caged:
    """The command as the service of a job runs it."""

    def __init__(self, jobs: Voltar, units: Path, home: Path) -> None:
        self.service = service = (units / "voltar-job@.service").read_text()
        drop_in = (units / "voltar-job@nightly.service.d/50-voltar.conf").read_text()
        assert settings(service, "ProtectSystem") == ["strict"]
        assert settings(service, "PrivateTmp") == ["yes"]
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(jobs.home),
            "DOCKER_HOST": jobs.url,
            **dict(each.split("=", 1) for each in settings(drop_in, "Environment")),
        }
        for kind in ("State", "Cache", "Runtime"):
            assert settings(service, f"{kind}Directory")
            (directory := home / kind).mkdir()
            name = "RUNTIME_DIRECTORY" if kind == "Runtime" else f"VOLTAR_{kind.upper()}_DIRECTORY"
            self.environ[name] = str(directory)
        allowed = [each.removeprefix("-") for each in settings(drop_in, "ReadWritePaths")]
        self.wishes: dict[str, list[str]] = {
            "writable": [*allowed, *(str(home / kind) for kind in ("State", "Cache", "Runtime"))],
            "capabilities": settings(service, "CapabilityBoundingSet"),
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        wishes = json.dumps(self.wishes)
        argv = [sys.executable, str(cage.__file__), wishes, str(COMMAND), *words]
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environ, check=False, timeout=120
        )


@pytest.fixture
def caged(voltar: Voltar, filled: Callable[..., str], tmp_path: Path) -> Caged:
    """A job with a volume, installed as a unit."""
    jobs = configured(voltar, f'[jobs.nightly]\nvolumes = ["{filled()}"]\n')
    units = tmp_path / "units"
    jobs("systemd", "install", "--directory", units)
    return Caged(jobs, units, tmp_path)


@pytest.mark.private
def test_a_job_runs_in_the_sandbox_of_its_unit(caged: Caged) -> None:
    ran = caged("run", "nightly")

    assert ran.returncode == 0, ran.stderr
    assert list((Path(caged.wishes["writable"][0]) / "snapshots").iterdir())


@pytest.mark.private
def test_the_fast_data_plane_works_in_the_sandbox_by_way_of_the_directory_of_the_unit(
    caged: Caged,
) -> None:
    repository = caged.wishes["writable"][0]
    with_it = caged("-r", repository, "doctor").stdout
    del caged.environ["RUNTIME_DIRECTORY"]

    without = caged("-r", repository, "doctor").stdout

    assert ("data plane  fifo" in with_it, "data plane  fifo" in without) == (True, False)


@pytest.mark.private
def test_the_sandbox_keeps_a_job_from_what_is_not_its_own(caged: Caged) -> None:
    caged.wishes["writable"] = caged.wishes["writable"][1:]

    ran = caged("run", "nightly")

    assert ran.returncode != 0
    assert "Read-only file system" in ran.stderr


@pytest.mark.private
def test_a_job_makes_no_system_call_that_its_unit_forbids(caged: Caged, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    traced = ["strace", "-f", "-qq", "-o", str(calls), str(COMMAND), "run", "nightly"]
    subprocess.run(traced, env=caged.environ, check=True, capture_output=True, timeout=120)

    lines = calls.read_text(errors="replace").splitlines()
    made = {found[1] for line in lines if (found := re.match(r"\d+ +([a-z0-9_]+)\(", line))}
    families = {found[1] for line in lines if (found := re.search(r" socket\((AF_\w+)", line))}

    assert {"execve", "connect", "openat"} <= made
    assert made - allowed_calls(caged.service) == set()
    assert families - set(settings(caged.service, "RestrictAddressFamilies")) == set()


def allowed_calls(service: str) -> set[str]:
    """What the sets of system calls in a unit come to."""
    found: set[str] = set()
    left = settings(service, "SystemCallFilter")
    while left:
        name = left.pop()
        if not name.startswith("@"):
            found.add(name)
            continue
        argv = ["systemd-analyze", "--no-pager", "syscall-filter", name]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines = (line.strip() for line in told.splitlines()[1:])
        left += [line for line in lines if line and not line.startswith("#")]
    return found
