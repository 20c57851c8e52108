"""The other tools: those of this machine, and those that are got for the comparison, once.

restic   the release that is in Debian unstable, unpacked beside this machine's own packages
borg     the newest 1.4 of PyPI, built in a virtual environment of its own: PyPI has its source
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.testbed import debian, workspace
from tests.testbed.command import BedFailure, attempt, located, run

BORG = "borgbackup==1.4.*"
_BORG_NEEDS: Mapping[str, str] = {
    "libacl": "libacl1-dev",
    "libcrypto": "libssl-dev",
    "liblz4": "liblz4-dev",
    "libxxhash": "libxxhash-dev",
    "libzstd": "libzstd-dev",
}
"""What it is built with: names as pkg-config has them, and the packages of Debian."""


def need(name: str) -> Path:
    """Where a command of this machine is."""
    found = located(name)
    if found is None:
        raise BedFailure(f"the comparison needs the command {name}, which is not here")
    return found


def version(
    program: str | Path, option: str = "--version", env: Mapping[str, str] | None = None
) -> str:
    """The first line of what a program says of itself, shortened."""
    said = run([program, option], env=env).decode().strip().partition("\n")[0]
    return said.strip("* ").split(" compiled")[0]


def restic() -> Path:
    """Where restic 0.19 is."""
    return (
        _once("restic", lambda root: debian.fill(root, "unstable", ["restic"])) / "usr/bin/restic"
    )


def borg() -> Path:
    """Where borg 1.4 is."""
    return _once("borg", _build_borg) / "bin/borg"


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """A directory that `make` fills when it is first asked for; later runs find it."""
    root = workspace.base() / "roots" / f"bench-{name}"
    complete = root.with_name(f"{root.name}.complete")
    with workspace.locked(root.with_name(f"{root.name}.lock")):
        if not complete.exists():
            shutil.rmtree(root, ignore_errors=True)
            make(root)
            complete.write_text(name)
    return root


def _build_borg(root: Path) -> None:
    debian.require({"gcc": "gcc", "pkg-config": "pkg-config"})
    missing = [
        package
        for library, package in _BORG_NEEDS.items()
        if attempt(["pkg-config", "--exists", library]).returncode
    ]
    if missing:
        debian.apt_get("update")
        debian.apt_get("install", "-y", "--no-install-recommends", *missing)
    run([sys.executable, "-m", "venv", root])
    run([root / "bin/python", "-m", "pip", "-qq", "install", BORG])
