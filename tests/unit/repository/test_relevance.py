"""What is passed over without being decoded, and that nothing else is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backup.paths import ancestors, selected
from backup.repository.manifest import (
    Extent,
    Line,
    Member,
    More,
    Note,
    decode_lines,
    encode_line,
    to_text,
)
from backup.repository.relevance import Relevant

EXTENT = Extent("0f" * 32, 0, 1)
components = st.sampled_from([b"a", b"ab", b"a.b", b"\xff", b'"', b"\\", b"\n", b"..", b"+"])
paths = st.lists(components, min_size=1, max_size=3).map(b"/".join)
kinds = st.sampled_from("fdlhcbp")


def member(path: bytes, kind: str = "f") -> Member:
    return Member(to_text(path), kind, 0o644, 0, 0, 0, 0, "", "", 0, [])


def let_through(lines, *wanted):
    return list(decode_lines([b"".join(lines)], Relevant(wanted)))


@given(st.lists(st.tuples(paths, kinds), max_size=8), st.lists(paths, min_size=1, max_size=2))
@example([(b"", "d"), (b"a", "d"), (b"ab", "f"), (b"a/b", "f")], [b"a/b"])
def test_what_may_be_wanted_is_let_through(found, wanted):
    records = [member(path, kind) for path, kind in found]
    leading = {each for path in wanted for each in ancestors(path)}

    through = let_through(map(encode_line, records), *wanted)

    needed = [
        record
        for record, (path, _) in zip(records, found, strict=True)
        if selected(path, wanted) or path in leading or b".." in path
    ]
    assert needed == [record for record in through if record in needed]


def test_what_tells_nothing_of_a_path_is_passed_over():
    names = [b"", b"a", b"a/b", b"a/b/c", b"a/bc", b"a/.b", b"b", b"\xff"]
    records = [member(name, "d") for name in names]

    through = let_through(map(encode_line, records), b"a/b")

    assert [record.path for record in through] == ["", "a", "a/b", "a/b/c"]


def test_more_extents_go_with_their_member():
    more = More([EXTENT])
    records: list[Line] = [member(b"a"), more, member(b"b"), more, more]

    assert let_through(map(encode_line, records), b"a") == records[:2]
    assert let_through(map(encode_line, records), b"b") == records[2:]


def test_more_extents_go_with_their_member_in_the_next_block_too():
    records: list[Line] = [member(b"b"), More([EXTENT]), member(b"a"), More([EXTENT])]
    blocks = map(encode_line, records)

    assert list(decode_lines(blocks, Relevant([b"a"]))) == [member(b"a"), More([EXTENT])]


@pytest.mark.parametrize("more", [b'[ "+" ,[]]\n', b'["\\u002b",[]]\n', b' ["\\u002B",[]]\n'])
def test_more_extents_are_known_however_they_are_spelled(more):
    assert let_through([encode_line(member(b"a")), encode_line(member(b"b")), more], b"a") == [
        member(b"a")
    ]


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        (b'"a"', b'"\\u0061"'),
        (b'"m","', b'"m", "'),
        (b'["m"', b' ["m"'),
        (b'["m"', b'["\\u006d"'),
    ],
)
def test_what_is_spelled_in_another_way_is_decoded(usual, other):
    spelled = encode_line(member(b"a")).replace(usual, other)

    assert other in spelled
    assert let_through([encode_line(member(b"b")), spelled], b"a") == [member(b"a")]


def test_notes_are_let_through():
    assert let_through([encode_line(member(b"b")), encode_line(Note("b", "why"))], b"a") == [
        Note("b", "why")
    ]


@pytest.mark.parametrize("path", [b"../x", b"x/../y", b"x/..", b"/x"])
def test_what_a_survey_refuses_is_let_through(path):
    assert let_through([encode_line(member(path))], b"a") == [member(path)]


@pytest.mark.parametrize("kind", ["g", "z"])
def test_what_is_about_the_archive_is_let_through(kind):
    assert let_through([encode_line(member(b"x", kind))], b"a") == [member(b"x", kind)]
