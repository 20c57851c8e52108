"""Whatever is in a file, it is a configuration or has mistakes, and no bug."""

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from backup.config.reading import examine_text
from backup.config.shape import bare, choices, model
from backup.config.shown import effective, written

FILE = Path(tempfile.gettempdir()) / "voltar.toml"
ODD = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["a", "/x", "s3://b", "ssh://h", "x:y", "1d", "2M", "every day", "UTC", "~", ""]
    ),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.just([]),
    st.just({}),
)


def of(kind):
    """Values of a type, most of them wrong in some way."""
    kind, _ = bare(kind)
    if isinstance(kind, inspect.EnumType | inspect.LiteralType):
        return st.sampled_from([*choices(kind), "nope"])
    return OF.get(type(kind), lambda _: ODD)(kind)


def struct_of(kind):
    needed = {each.encode_name: of(each.type) for each in kind.fields if each.required}
    others = {each.encode_name: of(each.type) for each in kind.fields if not each.required}
    return st.fixed_dictionaries(needed, optional=others)


def names_of(kind):
    names = st.sampled_from(["a", "b", "a b", "é"])
    return st.dictionaries(names, of(kind.value_type) | ODD, max_size=2) | ODD


def list_of(kind):
    item = bare(kind.item_type)[0]
    if isinstance(item, inspect.StructType):
        return st.lists(struct_of(item), max_size=2)
    return st.lists(of(item).filter(lambda each: not isinstance(each, dict)), max_size=3) | ODD


OF: dict[Any, Any] = {
    inspect.StructType: struct_of,
    inspect.DictType: names_of,
    inspect.ListType: list_of,
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: lambda _: st.integers(-1, 20),
}


@settings(max_examples=150, deadline=None)
@given(of(model()))
def test_a_document_is_right_or_has_mistakes_with_lines(document):
    found = examine_text(written(document).encode(), FILE)

    if found.config is not None:
        assert tomllib.loads(written(effective(found.config)))
        return
    assert found.mistakes
    assert all(each.line for each in found.mistakes if each.key)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_bytes_are_right_or_have_mistakes(data):
    found = examine_text(data, FILE)

    assert (found.config is None) == bool(found.mistakes)
