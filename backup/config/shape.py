"""Whether what a file says has the shape of the model: its keys, types and texts.

msgspec stops at the first mistake and cannot name the key of a table; this finds all of them. What
passes here, `msgspec.convert` takes.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from functools import cache
from typing import Any, Final

from msgspec import inspect

from backup.config.mistake import Key, Mistake, listed, nearest, spelled
from backup.config.model import Config
from backup.config.text import Text
from backup.config.value import complaint

_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "a text",
    list: "a list",
    dict: "a table",
    date: "a date",
    time: "a time",
}


def mistakes(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield what is wrong with a parsed file, all of it."""
    yield from _judged(document, model(), ())


@cache
def model() -> inspect.StructType:
    """Return what a configuration consists of."""
    found = inspect.type_info(Config)
    if not isinstance(found, inspect.StructType):
        raise TypeError(f"a configuration is no struct, but {found}")
    return found


def bare(kind: inspect.Type) -> tuple[inspect.Type, Text | None]:
    """Return a type without what is said about it and without None, and which text it is."""
    text: Text | None = None
    while True:
        if isinstance(kind, inspect.Metadata):
            text = (kind.extra or {}).get("text", text)
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            [kind] = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        else:
            return kind, text


def choices(kind: inspect.EnumType | inspect.LiteralType) -> list[str]:
    """Return the texts among which there is a choice."""
    if isinstance(kind, inspect.EnumType):
        return [str(each.value) for each in kind.cls]
    return list(map(str, kind.values))


def _judged(value: Any, kind: inspect.Type, key: Key) -> Iterator[Mistake]:
    kind, text = bare(kind)
    if isinstance(kind, inspect.StrType):
        yield from _text(value, key, text)
    else:
        yield from _RULES[type(kind)](value, kind, key)


def _struct(value: Any, kind: inspect.StructType, key: Key) -> Iterator[Mistake]:
    wrong = list(_of_type(value, dict, key))
    yield from wrong
    if wrong:
        return
    fields = {each.encode_name: each for each in kind.fields}
    for name, inner in value.items():
        if name in fields:
            yield from _judged(inner, fields[name].type, (*key, name))
        else:
            yield Mistake((*key, name), "there is no such key", _meant(name, list(fields)))
    for name, one in fields.items():
        if one.required and name not in value:
            yield Mistake(key, f"the key {name} is missing")


def _names(value: Any, kind: inspect.DictType, key: Key) -> Iterator[Mistake]:
    wrong = list(_of_type(value, dict, key))
    yield from wrong
    for name, inner in {} if wrong else value.items():
        yield from _judged(name, kind.key_type, (*key, name))
        yield from _judged(inner, kind.value_type, (*key, name))


def _list(value: Any, kind: inspect.ListType, key: Key) -> Iterator[Mistake]:
    if isinstance(value, str) and isinstance(bare(kind.item_type)[0], inspect.StrType):
        yield Mistake(key, "expected a list, got a text", "put brackets around it: [ … ]")
        return
    wrong = list(_of_type(value, list, key))
    yield from wrong
    if wrong:
        return
    if kind.min_length and len(value) < kind.min_length:
        yield Mistake(key, "the list is empty")
    for number, inner in enumerate(value):
        yield from _judged(inner, kind.item_type, (*key, number))


def _choice(
    value: Any, kind: inspect.EnumType | inspect.LiteralType, key: Key
) -> Iterator[Mistake]:
    known = choices(kind)
    if not isinstance(value, str):
        yield Mistake(key, f"expected {listed(known)}, got {_shown(value)}")
    elif value not in known:
        hint = nearest(value, known)
        yield Mistake(key, f"expected {listed(known)}, got {value!r}", hint)


def _number(value: Any, kind: inspect.IntType, key: Key) -> Iterator[Mistake]:
    wrong = list(_of_type(value, int, key))
    yield from wrong
    if wrong:
        return
    if kind.ge is not None and value < kind.ge:
        yield Mistake(key, f"expected {kind.ge} or more, got {value}")
    if kind.le is not None and value > kind.le:
        yield Mistake(key, f"expected {kind.le} or less, got {value}")


def _flag(value: Any, _kind_of: inspect.BoolType, key: Key) -> Iterator[Mistake]:
    yield from _of_type(value, bool, key)


def _text(value: Any, key: Key, text: Text | None) -> Iterator[Mistake]:
    if not isinstance(value, str):
        hint = 'put quotation marks around it: "…"' if type(value) in (int, float) else None
        yield Mistake(key, f"expected a text, got {_shown(value)}", hint)
        return
    if "\0" in value:
        yield Mistake(key, "no NUL can be in it")
        return
    wrong = complaint(text, value) if text else None
    if wrong:
        yield Mistake(key, *wrong)


def _of_type(value: Any, wanted: type, key: Key) -> Iterator[Mistake]:
    if type(value) is not wanted:
        yield Mistake(key, f"expected {_KINDS[wanted]}, got {_shown(value)}")


_RULES: Final[dict[type[inspect.Type], Callable[[Any, Any, Key], Iterator[Mistake]]]] = {
    inspect.StructType: _struct,
    inspect.DictType: _names,
    inspect.ListType: _list,
    inspect.EnumType: _choice,
    inspect.LiteralType: _choice,
    inspect.BoolType: _flag,
    inspect.IntType: _number,
}


def _shown(value: Any) -> str:
    """Return a value as a message shows it; a text may be a secret that has got to a wrong key."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else _kind(value)


def _kind(value: Any) -> str:
    return next(name for kind, name in _KINDS.items() if isinstance(value, kind))


def _meant(name: str, known: list[str]) -> str | None:
    """Return a hint for an unknown key: a known one that is like it, or where it belongs."""
    if "password" in name.lower() and "password-file" in known:
        return "a password is no part of a configuration: use password-file or password-command"
    for one in {f"{name}s", name.removesuffix("s")} - {name}:
        if one in known:
            return f"did you mean {one}?"
    for *place, last in _places(model(), ()):
        if last == name:
            return (
                f"it belongs into [{spelled(tuple(place))}]" if place else "it belongs to the top"
            )
    return nearest(name, known)


def _places(kind: inspect.Type, key: Key) -> Iterator[Key]:
    """Yield all keys that there are, with NAME for what is named by whoever writes the file."""
    kind, _ = bare(kind)
    match kind:
        case inspect.StructType():
            for each in kind.fields:
                yield (*key, each.encode_name)
                yield from _places(each.type, (*key, each.encode_name))
        case inspect.DictType():
            yield from _places(kind.value_type, (*key, "NAME"))
        case inspect.ListType():
            yield from _places(kind.item_type, key)
        case _:
            return
