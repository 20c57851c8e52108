"""What tar makes of a selection, by the command that a restore gives it."""

import os
import subprocess
from pathlib import Path

import pytest

from backup import paths
from backup.capture import TAR_CREATE
from backup.members import selection
from backup.restore import extraction
from backup.survey import Selection, Survey, survey
from tests.acceptance import zoo
from tests.memory_store import MemoryStore
from tests.saved import plain, reopened, save
from tests.testbed.walk import diff, snapshot

WAITS = "--delay-directory-restore"
AREAS = (
    *("modes", "symlinks", "hard-links", "xattrs", "acls", "special-files", "times"),
    "directories-to-come-back-to",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories that are hard to get right."""
    root = tmp_path_factory.mktemp("tree")
    for name in AREAS:
        (root / name).mkdir()
        zoo.ZOO[name](os.fsencode(root / name))
    return root


def surveyed(tree: Path, *wanted: bytes, backwards: bool = False, imported: bool = False) -> Survey:
    """Save a tree, in the order of captures or in the opposite one, and choose from it."""
    names = sorted(snapshot(tree), key=paths.sort_key, reverse=backwards)
    done = subprocess.run(
        [*TAR_CREATE, "--files-from=-", "--file=-"],
        input=b"".join((name or b".") + b"\0" for name in names),
        cwd=tree,
        capture_output=True,
        check=True,
    )
    repository = plain(MemoryStore())
    saved = save(repository, [done.stdout], imported=imported)
    again = reopened(repository)
    return survey(again, again.snapshot(saved), Selection.of(wanted))


def extracted(found: Survey, target: Path) -> Path:
    """Extract what was chosen as a restore does."""
    target.mkdir()
    stream = b"".join(selection(found))
    subprocess.run(extraction(found), input=stream, cwd=target, capture_output=True, check=True)
    return target


def test_a_capture_needs_no_waiting_for_its_directories(tree: Path, tmp_path: Path) -> None:
    found = surveyed(tree)

    after = extracted(found, tmp_path / "target")

    assert WAITS not in extraction(found)
    assert diff(snapshot(tree), snapshot(after)) == []


def test_an_archive_from_elsewhere_may_have_any_order(tree: Path, tmp_path: Path) -> None:
    found = surveyed(tree, backwards=True, imported=True)

    after = extracted(found, tmp_path / "target")

    assert WAITS in extraction(found)
    assert diff(snapshot(tree), snapshot(after)) == []


@pytest.mark.parametrize(
    ("wanted", "waits"),
    [
        (b"directories-to-come-back-to/a", False),
        (b"directories-to-come-back-to/a/deep/er", False),
        (b"directories-to-come-back-to/b", True),
        (b"acls", False),
        (b"hard-links/z", True),
    ],
)
def test_what_is_chosen_and_leads_there_is_as_it_was(
    tree: Path, tmp_path: Path, wanted: bytes, waits: bool
) -> None:
    """A link whose file is not chosen becomes the file, before its directory is there."""
    found = surveyed(tree, wanted)

    before, after = snapshot(tree), snapshot(extracted(found, tmp_path / "target"))

    assert (WAITS in extraction(found)) is waits
    assert wanted in after
    assert diff({path: before[path] for path in after}, after, ignore=("names",)) == []
