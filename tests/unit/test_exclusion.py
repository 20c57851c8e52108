"""What a backup leaves out on request."""

import pytest

from backup.errors import UsageError
from backup.exclusion import Exclusion, Sieve, compiled
from tests.unit.test_delta import listed

TREE = {
    b"": "d",
    b"cache": "d",
    b"cache/CACHEDIR.TAG": "f",
    b"cache/deep": "d",
    b"cache/deep/CACHEDIR.TAG": "f",
    b"cache/x": "f",
    b"cache-2": "f",
    b"logs": "d",
    b"logs/a.log": "f",
    b"logs/keep.log": "f",
    b"logs/old": "d",
    b"logs/old/keep.log": "f",
    b"x": "f",
    b"\xff.log": "f",
}


def sieved(exclusion: Exclusion, caches=()) -> tuple[list[bytes], Sieve]:
    """Return what is excluded of the tree."""
    sieve = Sieve(exclusion, caches)
    kept = {each.path for each in sieve.kept(listed(p, kind=k, size=10) for p, k in TREE.items())}
    return [path for path in TREE if path not in kept], sieve


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*.log"], [b"logs/a.log", b"logs/keep.log", b"logs/old/keep.log", b"\xff.log"]),
        (["*.log", "!keep.log"], [b"logs/a.log", b"\xff.log"]),
        (["/x"], [b"x"]),
        (["x"], [b"cache/x", b"x"]),
        (["old/"], [b"logs/old", b"logs/old/keep.log"]),
        (["old/", "!keep.log"], [b"logs/old", b"logs/old/keep.log"]),
        (["x/"], []),
        (["# comment", "", "logs/*", "!logs/old"], [b"logs/a.log", b"logs/keep.log"]),
        (["*"], [path for path in TREE if path]),
    ],
    ids=str,
)
def test_patterns_mean_what_they_mean_in_a_gitignore_file(patterns, expected):
    assert sieved(Exclusion(patterns))[0] == expected


def test_below_a_cache_directory_only_the_tag_stays():
    excluded, sieve = sieved(Exclusion(caches=True), {b"cache", b"cache/deep"})

    assert excluded == [b"cache/deep", b"cache/deep/CACHEDIR.TAG", b"cache/x"]
    assert (sieve.entries, sieve.size) == (3, 20)


def test_a_volume_may_be_a_cache_itself():
    excluded, _ = sieved(Exclusion(caches=True), {b""})

    assert excluded == [path for path in TREE if path]


def test_large_files_stay_out_and_directories_do_not():
    assert sieved(Exclusion(larger_than=10))[0] == []
    assert sieved(Exclusion(larger_than=9))[0] == [path for path in TREE if TREE[path] == "f"]


def test_a_pattern_that_means_nothing_is_refused():
    with pytest.raises(UsageError, match="pattern"):
        compiled(["!"])
