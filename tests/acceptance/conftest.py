"""What the acceptance tests share.

voltar      the command on the test's engine (`engine` or `every_engine`), a repository of its own
fresh       fresh("hint"): a name for a volume that does not exist yet, removed after the test
filled      filled({"path": b"content"}): a volume with these files; returns its name
content     content(volume): what the independent walk sees in it
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.testbed import walk
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encrypted repository without snapshots, to be copied."""
    directory = tmp_path_factory.mktemp("made")
    voltar = Voltar(url="unix:///nowhere", repository=directory / "repository", home=directory)
    voltar("init")
    return directory / "repository"


@pytest.fixture
def bed(request: pytest.FixtureRequest) -> Engine:
    """The engine of this test."""
    name = "every_engine" if "every_engine" in request.fixturenames else "engine"
    found: Engine = request.getfixturevalue(name)
    return found


@pytest.fixture
def voltar(bed: Engine, made: Path, tmp_path: Path) -> Voltar:
    """The command with an engine, an empty encrypted repository and a home of its own."""
    return on(bed, made, tmp_path)


def on(engine: Engine, made: Path, directory: Path) -> Voltar:
    """The command on an engine, with what it needs in a directory."""
    (directory / "home").mkdir()
    shutil.copytree(made, directory / "repository", copy_function=shutil.copy2)
    return Voltar(url=engine.url, repository=directory / "repository", home=directory / "home")


@pytest.fixture
def fresh(scratch: Scratch) -> Callable[..., str]:
    """Names of volumes that do not exist yet."""

    def fresh(hint: str = "restored") -> str:
        name = scratch.name(hint)
        scratch.claim(volumes=[name])
        return name

    return fresh


@pytest.fixture
def filled(scratch: Scratch) -> Callable[..., str]:
    """Make a volume with these files."""

    def filled(files: Mapping[str, bytes] | None = None, *options: str) -> str:
        volume = scratch.volume(*options)
        fill(scratch.engine.volume_directory(volume), files or {"file": b"content\n"})
        return volume

    return filled


def fill(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files, and the directories above them."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def content(scratch: Scratch) -> Callable[[str], dict[bytes, Any]]:
    """See what is in a volume."""

    def content(volume: str) -> dict[bytes, Any]:
        return dict(walk.snapshot(os.fsencode(scratch.engine.volume_directory(volume))))

    return content
