"""The import rules of pyproject.toml hold, and would be noticed if they did not."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LIBRARIES = (
    "docker",
    "obstore",
    "paramiko",
    "blake3",
    "cryptography",
    "pyfastcdc",
    "zstandard",
    "typer",
    "rich",
    "pathspec",
    "apprise",
    "prometheus_client",
    "schedule",
)
RULES = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
VIOLATIONS = {
    "backup/paths.py": "import backup.engine",
    "backup/engine/door.py": "import backup.repository",
    "backup/job/run.py": f"import {', '.join(LIBRARIES)}",
    "backup/job/storing.py": "import backup.job.runner",
    "backup/selection/labels.py": "import backup.selection.choice",
    "backup/survey.py": "import tests.testbed",
    "backup/unheard_of.py": "",
    "transports/errors.py": "import backup.errors",
    "tests/testbed/walk.py": "import backup.paths",
}


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False
    )


def test_the_import_rules_hold() -> None:
    done = lint(PROJECT)

    assert done.returncode == 0, done.stdout


def test_each_import_rule_can_be_broken(tmp_path: Path) -> None:
    for name in ("backup", "transports", "tests"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for name, line in VIOLATIONS.items():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n{line}\n")

    said = " ".join(lint(tmp_path).stdout.split())

    assert f"0 kept, {len(RULES)} broken" in said
    for words in (
        "backup.paths is not allowed to import backup.engine",
        "backup.engine is not allowed to import backup.repository",
        "backup.job.storing is not allowed to import backup.job.runner",
        "backup.selection.labels is not allowed to import backup.selection.choice",
        "not listed as layers: - backup.unheard_of",
        "backup is not allowed to import tests",
        "transports is not allowed to import backup",
        "tests.testbed is not allowed to import backup",
        *(f"backup.job.run -> {library}" for library in LIBRARIES),
    ):
        assert words in said
