"""Lines of keys, found by a reader of our own: it must agree with Python's parser on what there
is."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config.lines import key_lines
from backup.config.shown import written

EVERYTHING = '''# comment = 1
a = 1 # b = 2
"q u" = 'x = "'
[ t . 'li.t' . "es\\"c" ] # [no]
b.c.d = """multi
line "" ]"" \\""""
e = [ 1, # x
  [2, 3],
  { f = 1, g.h = [ "]", '}' ] },
]
date = 1979-05-27 07:32:00 # no
empty = []
none = {}
[[many]]
x = 1
[[many]]
x = 2
[many.sub]
y = -1.5e3
[[many.deep]]
z = \'\'\'a
# [no]
\'\'\'\'\'
[[many.deep]]
w = true'''


def keys_of(value, key=()):
    if key:
        yield key
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys_of(inner, (*key, name))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from keys_of(inner, (*key, number))


@pytest.mark.parametrize("text", [EVERYTHING, EVERYTHING.replace("\n", "\r\n"), "", "# only"])
def test_what_has_a_line_is_what_the_parser_sees(text):
    assert set(key_lines(text)) == set(keys_of(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("a",), 2),
        (("q u",), 3),
        (("t", "li.t", 'es"c'), 4),
        (("t", "li.t", 'es"c', "b", "c", "d"), 5),
        (("t", "li.t", 'es"c', "e", 1, 1), 8),
        (("t", "li.t", 'es"c', "e", 2, "g", "h", 1), 9),
        (("many", 1), 16),
        (("many", 1, "sub", "y"), 19),
        (("many", 1, "deep", 1, "w"), 25),
    ],
)
def test_a_key_has_the_line_where_it_is_written(key, line):
    assert key_lines(EVERYTHING)[key] == line


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.one_of(texts, st.integers(-9, 9), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(texts, values.filter(lambda each: not has_mixed_list(each)), max_size=4))
def test_any_document_that_is_shown_is_parsed_again_and_has_lines(document):
    text = written(document)

    assert tomllib.loads(text) == document
    assert set(key_lines(text)) == set(keys_of(document))


def has_mixed_list(value):
    """Lists that have tables among other things are not in our model, and not written."""
    if isinstance(value, dict):
        return any(map(has_mixed_list, value.values()))
    if isinstance(value, list):
        return any(isinstance(each, dict) or has_mixed_list(each) for each in value)
    return False
