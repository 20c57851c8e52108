"""Names of images, read as the docker client reads them."""

import pytest

from backup.engine.reference import Reference, names_registry, registry_and_prefix
from backup.errors import UsageError

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("written", "full", "familiar"),
    [
        ("app", "docker.io/library/app:latest", "app:latest"),
        ("team/app:1.2", "docker.io/team/app:1.2", "team/app:1.2"),
        ("docker.io/app", "docker.io/library/app:latest", "app:latest"),
        ("index.docker.io/team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("host:5000/app", "host:5000/app:latest", "host:5000/app:latest"),
        ("host.example/a/b/c:1", "host.example/a/b/c:1", "host.example/a/b/c:1"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
        (f"h:1/a:2@{DIGEST}", f"h:1/a:2@{DIGEST}", f"h:1/a:2@{DIGEST}"),
        ("UPPER/app", "UPPER/app:latest", "UPPER/app:latest"),
    ],
)
def test_a_name_has_a_full_and_a_short_form(written, full, familiar):
    reference = Reference.parse(written)

    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(full) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "written",
    [
        *("", "App", "a/B", "a:", "a:b c", "a@sha256:12", "a//b", "/a", "a/", "h:1/", "-x.y/a"),
        *("a:" + "x" * 129, "x" * 256, "0a" * 32, DIGEST, "a@md5:" + "0" * 32, "a..b", "a\n"),
    ],
)
def test_what_is_no_name_is_refused(written):
    with pytest.raises(UsageError, match="names no image"):
        Reference.parse(written)


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("app:1", "h:5000/team/app:1"),
        ("ghcr.io/org/app:1", "h:5000/team/org/app:1"),
        ("docker.io/library/app", "h:5000/team/app:latest"),
        ("library.example/library/app:1", "h:5000/team/library/app:1"),
    ],
)
def test_a_name_moves_to_another_registry(written, there):
    moved = Reference.parse(written).within("h:5000", "team")

    assert str(moved) == there


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("h:5000", ("h:5000", "")),
        ("h.example/a/b/", ("h.example", "a/b")),
        ("localhost", ("localhost", "")),
        ("[::1]:5000", ("[::1]:5000", "")),
    ],
)
def test_a_registry_may_have_a_prefix(text, read):
    assert registry_and_prefix(text) == read


@pytest.mark.parametrize("text", ["", "team", "https://h.example", "h:x", "h:1/UP", "h:1//a"])
def test_what_is_no_registry_is_refused(text):
    with pytest.raises(UsageError, match="names no"):
        registry_and_prefix(text)


@pytest.mark.parametrize(
    ("written", "says"),
    [("app", False), ("team/app", False), ("h:1/app", True), ("app:1", False), ("a.b/c", True)],
)
def test_a_name_says_its_registry_or_not(written, says):
    assert names_registry(written) is says
