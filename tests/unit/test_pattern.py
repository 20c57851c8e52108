"""What a pattern matches is what a shell would match, in any directory or from the root."""

import pytest

from backup.errors import UsageError
from backup.pattern import Patterns

PATHS = b"""\
a.conf
.hidden
etc/
etc/a.conf
etc/A.CONF
etc/app/
etc/app/b.conf
etc/app/deep/
etc/app/deep/c.conf
etc.conf
var/etc/
var/etc/a.conf
[x]
new\\line
\xc3\xbc
\xff""".split(b"\n")


def matched(*patterns, **options):
    found = Patterns(patterns, **options)
    return [
        path.decode("utf-8", "surrogateescape")
        for path in PATHS
        if found.match(path.rstrip(b"/"), "d" if path.endswith(b"/") else "f")
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.conf", "a.conf etc/a.conf var/etc/a.conf"),
        ("/a.conf", "a.conf"),
        ("./a.conf", "a.conf"),
        ("*.conf", "a.conf etc/a.conf etc/app/b.conf etc/app/deep/c.conf etc.conf var/etc/a.conf"),
        ("etc/*.conf", "etc/a.conf"),
        ("etc//*.conf", "etc/a.conf"),
        ("/etc/*", "etc/a.conf etc/A.CONF etc/app/"),
        ("etc/**/*.conf", "etc/a.conf etc/app/b.conf etc/app/deep/c.conf"),
        ("**/etc/*.conf", "etc/a.conf var/etc/a.conf"),
        ("etc/app/**", "etc/app/b.conf etc/app/deep/ etc/app/deep/c.conf"),
        ("etc/**/", "etc/app/ etc/app/deep/"),
        ("etc", "etc/ var/etc/"),
        ("etc/", "etc/ var/etc/"),
        ("/etc/", "etc/"),
        ("a.conf/", ""),
        ("e*c", "etc/ var/etc/"),
        ("?.conf", "a.conf etc/a.conf etc/app/b.conf etc/app/deep/c.conf var/etc/a.conf"),
        ("[bc].conf", "etc/app/b.conf etc/app/deep/c.conf"),
        ("[!a]*.conf", "etc/app/b.conf etc/app/deep/c.conf etc.conf"),
        ("[^a-b].conf", "etc/app/deep/c.conf"),
        ("etc[+-9]a.conf", ""),
        (".*", ".hidden"),
        ("[[]x]", "[x]"),
        (r"\[x]", "[x]"),
        ("[x", ""),
        (r"new\\line", r"new\line"),
        (r"new[\\]line", r"new\line"),
        ("ü", "ü"),
        ("\udcff", "\udcff"),
        ("etc/app", "etc/app/"),
        ("a.c", ""),
    ],
)  # fmt: skip
def test_what_a_pattern_matches(pattern, expected):
    assert matched(pattern) == expected.split()


def test_a_character_is_not_a_byte():
    assert "ü" in matched("?")


def test_everything_is_what_has_a_name():
    assert len(matched("*")) == len(matched("**")) == len(matched("/**")) == len(PATHS)
    assert not Patterns(["*", "**", "/*"]).match(b"", "d")


def test_one_of_several_patterns_is_enough():
    assert matched("[x]x", ".hidden", "etc.*") == [".hidden", "etc.conf"]


def test_case_counts_unless_it_is_to_be_ignored():
    assert matched("etc/a.conf") == ["etc/a.conf"]
    assert matched("etc/a.conf", ignore_case=True) == ["etc/a.conf", "etc/A.CONF"]
    assert matched("Ü", ignore_case=True) == ["ü"]


@pytest.mark.parametrize("pattern", ["", "/", "./", "[z-a]"])
def test_what_can_match_nothing_is_refused(pattern):
    with pytest.raises(UsageError):
        Patterns([pattern])
