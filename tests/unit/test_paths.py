import pytest

from backup import paths


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"a", b"a"),
        (b"./a//b/", b"a/b"),
        (b"./", b""),
        (b".", b""),
        (b"a/./b", b"a/b"),
        (b"a/b/.", b"a/b"),
        (b".a/..b/c.", b".a/..b/c."),
        (b"a/...", b"a/..."),
        (b"a\nb/ c ", b"a\nb/ c "),
        (b"\xff/-rf", b"\xff/-rf"),
        (b"/a", b"a"),
    ],
)
def test_member_names_are_normalised(raw, path):
    assert path == paths.relative(raw)


@pytest.mark.parametrize("raw", [b"..", b"a/..", b"./../x", b"a/../../x"])
def test_dot_dot_stays_visible(raw):
    assert b".." in paths.relative(raw).split(b"/")


def test_a_directory_sorts_right_before_what_is_in_it():
    wanted = [b"", b"a", b"a/b", b"a/b/c", b"a/\x01", b"a\x01", b"a b", b"a-b", b"a.b", b"b"]

    assert sorted(wanted, key=paths.sort_key) == [
        b"", b"a", b"a/\x01", b"a/b", b"a/b/c", b"a\x01", b"a b", b"a-b", b"a.b", b"b",
    ]  # fmt: skip


def test_ancestors_begin_with_the_root():
    assert paths.ancestors(b"a/b/c") == (b"", b"a", b"a/b")
    assert paths.ancestors(b"a") == (b"",)
    assert paths.ancestors(b"") == ()


@pytest.mark.parametrize(
    ("path", "patterns", "wanted"),
    [
        (b"a", [], True),
        (b"a", [b""], True),
        (b"a", [b"a"], True),
        (b"a/b", [b"a"], True),
        (b"ab", [b"a"], False),
        (b"a", [b"a/b"], False),
        (b"c/d", [b"a", b"c"], True),
        (b"", [b"a"], False),
    ],
)
def test_a_pattern_selects_its_path_and_all_below(path, patterns, wanted):
    assert wanted is paths.selected(path, patterns)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"plain-file_1.txt", "plain-file_1.txt"),
        ("grüße/日本語/📦".encode(), "grüße/日本語/📦"),
        ("a\u00a0b\u3000c".encode(), "a\u00a0b\u3000c"),
        (b"a\nb\tc\rd", r"a\nb\tc\rd"),
        (b"\x1b[2J\x07\x7f", r"\x1b[2J\x07\x7f"),
        (b"a\\nb", r"a\\nb"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        ("\u0085\u009b31m".encode(), r"\xc2\x85\xc2\x9b31m"),
        ("a\u202egpj.exe".encode(), r"a\xe2\x80\xaegpj.exe"),
        ("\u2066\u2069".encode(), r"\xe2\x81\xa6\xe2\x81\xa9"),
        ("a\u200bb\ufeff".encode(), r"a\xe2\x80\x8bb\xef\xbb\xbf"),
        ("\u2028\u2029".encode(), r"\xe2\x80\xa8\xe2\x80\xa9"),
        ("\ue000".encode(), r"\xee\x80\x80"),
        (b"", ""),
    ],
)
def test_names_are_shown_without_anything_that_acts_on_a_terminal(path, shown):
    assert shown == paths.printable(path)


LINK = "lies below a symbolic link of the same archive"
TARGET_LINK = "is a hard link whose target lies below a symbolic link of the same archive"
UNSEEN = "is a hard link to something that is not in the archive before it"
SAFE = [
    [(b"./", "d", b""), (b"./a/", "d", b""), (b"./a/b", "f", b"")],
    [(b"a", "l", b"/etc"), (b"b", "l", b"../../x"), (b"c", "l", b"..")],
    [(b"a", "f", b""), (b"b/c", "h", b"a"), (b"b/d", "h", b"./a")],
    [(b"a", "l", b"x"), (b"b", "h", b"a")],
    [(b"p", "p", b""), (b"c", "c", b""), (b"b", "b", b""), (b"h", "h", b"c")],
    [(b"", "g", b""), (b"a", "f", b""), (b"", "z", b"")],
    [(b"..a/b../...", "f", b"")],
    [(b"a", "l", b"x"), (b"ab/c", "f", b""), (b"b/a/c", "f", b"")],
    [(b"a", "l", b"x"), (b"a", "l", b"y"), (b"a", "f", b"")],
    [(b"a", "f", b""), (b"a/b", "f", b"")],
    [(b"a/..b", "l", b"/"), (b"a/.", "d", b"")],
]


@pytest.mark.parametrize("members", SAFE)
def test_members_that_stay_inside_are_let_through(members):
    assert list(paths.unsafe(members)) == []


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([(b"/etc/passwd", "f", b"")], "is absolute"),
        ([(b"//x", "f", b"")], "is absolute"),
        ([(b"/", "d", b"")], "is absolute"),
        ([(b"..", "d", b"")], 'has a ".." component'),
        ([(b"../x", "f", b"")], 'has a ".." component'),
        ([(b"./../x", "f", b"")], 'has a ".." component'),
        ([(b"a/../../x", "f", b"")], 'has a ".." component'),
        ([(b"a/../b", "f", b"")], 'has a ".." component'),
        ([(b"a/..", "d", b"")], 'has a ".." component'),
        ([(b"a/../", "d", b"")], 'has a ".." component'),
        ([(b"", "f", b"")], "has an empty name"),
        ([(b".", "l", b"/etc")], "would replace the root directory"),
        ([(b"./", "f", b"")], "would replace the root directory"),
        ([(b"a", "l", b"/etc"), (b"a/b", "f", b"")], LINK),
        ([(b"a", "l", b"b"), (b"a/b/c/d", "f", b"")], LINK),
        ([(b"./a", "l", b"b"), (b"a//b", "f", b"")], LINK),
        ([(b"a/", "l", b"b"), (b"./a/./b/", "d", b"")], LINK),
        ([(b"a/x", "f", b""), (b"a", "l", b"b"), (b"a/y", "f", b"")], LINK),
        ([(b"d/a", "l", b"b"), (b"d/y", "f", b""), (b"d/a/b", "f", b"")], LINK),
        ([(b"a", "l", b"b"), (b"a", "f", b""), (b"a/b", "f", b"")], LINK),
        ([(b"a", "l", b"b"), (b"b", "h", b"a"), (b"b/c", "f", b"")], LINK),
        (
            [(b"a", "l", b"b"), (b"a/", "d", b"")],
            "is a directory in the place of a symbolic link of the same archive",
        ),
        ([(b"a", "h", b"/etc/passwd")], "is a hard link whose target is absolute"),
        ([(b"a", "h", b"../x")], 'is a hard link whose target has a ".." component'),
        ([(b"a", "l", b"/etc"), (b"b", "h", b"a/passwd")], TARGET_LINK),
        ([(b"b/x", "f", b""), (b"a", "h", b"b")], UNSEEN),
        ([(b"a", "h", b"a")], UNSEEN),
        ([(b"a", "h", b"")], UNSEEN),
        ([(b"a", "d", b""), (b"b", "h", b"a")], UNSEEN),
    ],
)
def test_members_that_could_leave_are_named_with_the_reason(members, reason):
    assert [(members[-1][0], reason)] == list(paths.unsafe(members))


def test_every_unsafe_member_is_named():
    members = [(b"../a", "f", b""), (b"ok", "f", b""), (b"/b", "f", b"")]

    assert [name for name, _ in paths.unsafe(members)] == [b"../a", b"/b"]


def test_refused_symlinks_count_as_symlinks():
    members = [(b"x/a", "f", b""), (b"/x", "l", b"/etc"), (b"x/b", "f", b"")]

    assert list(paths.unsafe(members)) == [(b"/x", "is absolute"), (b"x/b", LINK)]


def test_members_are_judged_one_by_one():
    def members():
        yield (b"/a", "f", b"")
        pytest.fail("the second member was asked for before the first was judged")

    assert next(paths.unsafe(members())) == (b"/a", "is absolute")


def test_names_are_remembered_beyond_what_is_kept_in_a_set():
    files = [(b"f%d" % number, "f", b"") for number in range(150_000)]
    links = [(b"l%d" % number, "h", b"f%d" % number) for number in range(0, 150_000, 7)]
    strangers = [(b"x%d" % number, "h", b"y%d" % number) for number in range(1000)]

    refused = list(paths.unsafe([*files, *links, *strangers]))

    assert [name for name, _, _ in strangers] == [name for name, _ in refused]


def test_symlinks_are_remembered_however_many_there_are():
    links = [(b"l%d" % number, "l", b"x") for number in range(70_000)]
    below = [(b"l%d/x" % number, "f", b"") for number in range(0, 70_000, 11)]

    assert len(below) == len(list(paths.unsafe([*links, *below])))
