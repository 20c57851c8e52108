"""Running commands, with their own words in the error when they fail."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class BedFailure(Exception):
    """The test bed cannot be had here; the message says why, in words for the person who ran it."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> bytes:
    """Run a command and return what it printed; BedFailure has the end of its stderr."""
    done = attempt(argv, stdin=stdin, env=env, timeout_s=timeout_s)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise BedFailure(f"{' '.join(map(str, argv))[:300]}: exit status {done.returncode}: {said}")
    return done.stdout


def attempt(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command that may fail; BedFailure only where it does not exist or does not end."""
    try:
        return subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            env=env,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as err:
        raise BedFailure(f"the test bed needs the command {argv[0]!s}, which is not here") from err
    except subprocess.TimeoutExpired as err:
        raise BedFailure(f"{' '.join(map(str, argv))[:300]}: no end after {timeout_s} s") from err


def located(name: str) -> Path | None:
    """Where a command is; directories of system tools count even if they are not in PATH."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    found = shutil.which(name, path=path)
    return Path(found) if found else None
