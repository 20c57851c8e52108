"""What is written for systemd, and that voltar can do its work in it."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli import COMMAND, Voltar
from tests.acceptance.test_jobs import configured
from tests.acceptance.units import Caged, settings


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
