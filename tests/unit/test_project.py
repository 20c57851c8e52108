"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements/dev.txt").read_text()
LOCKED = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", LOCK, re.MULTILINE))
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def requirements() -> list[Requirement]:
    project = DECLARED["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    lines = project["dependencies"] + extras + DECLARED["dependency-groups"]["dev"]
    return [Requirement(line) for line in lines]


def test_the_lock_has_every_declared_package_within_its_bounds() -> None:
    wrong = [
        str(wanted)
        for wanted in requirements()
        if LOCKED.get(canonicalize_name(wanted.name), "0") not in wanted.specifier
    ]

    assert wrong == []


def test_every_locked_package_has_hashes_and_no_place_is_named() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]

    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://|--index-url|--find-links", LOCK) == []


def test_dependencies_of_users_are_bounded_below_and_above() -> None:
    bounds = {line: Requirement(line).specifier for line in DECLARED["project"]["dependencies"]}

    assert [line for line, s in bounds.items() if {c.operator for c in s} != {">=", "<"}] == []
