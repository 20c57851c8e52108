"""The reference of all keys in docs/configuration.md, made from the model.

python -m tests.reference     writes it anew; a test fails where it is out of date
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from backup.config.shape import bare, choices, model

PAGE: Final = Path(__file__).parents[1] / "docs/configuration.md"
_MARK: Final = re.compile(r"(<!-- keys -->\n).*(<!-- end of keys -->)", re.DOTALL)
_TITLES: Final = {
    "Config": "The file",
    "Host": "`[hosts.NAME]`",
    "Repository": "`[repositories.NAME]`",
    "Job": "`[jobs.NAME]`",
    "Keep": "`[jobs.NAME.keep]`",
    "Hook": "`[[jobs.NAME.hooks]]`",
    "Drill": "`[jobs.NAME.drill]`",
    "Notify": "`[notify]`",
    "Metrics": "`[metrics]`",
}


def renewed(page: str) -> str:
    """Return the page with the reference as the model has it now."""
    return _MARK.sub(lambda found: f"{found[1]}\n{reference()}{found[2]}", page)


def reference() -> str:
    """Return a table of keys for each table of the file."""
    return "\n".join(line for table in _tables(model()) for line in _section(table))


def example() -> str:
    """Return the first example of the page."""
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def _tables(kind: inspect.Type) -> Iterator[inspect.StructType]:
    kind, _ = bare(kind)
    match kind:
        case inspect.StructType():
            yield kind
            for each in kind.fields:
                yield from _tables(each.type)
        case inspect.DictType():
            yield from _tables(kind.value_type)
        case inspect.ListType():
            yield from _tables(kind.item_type)


def _section(table: inspect.StructType) -> Iterator[str]:
    yield f"### {_TITLES[table.cls.__name__]}"
    yield ""
    yield " ".join((table.cls.__doc__ or "").split())
    yield ""
    yield "| key | what it is | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for each in table.fields:
        cells = (f"`{each.encode_name}`", _type(each.type), _default(each), _meaning(each.type))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _type(kind: inspect.Type) -> str:
    kind, text = bare(kind)
    match kind:
        case inspect.ListType():
            return f"list of {_type(kind.item_type)}"
        case inspect.DictType() | inspect.StructType():
            return "table"
        case inspect.EnumType() | inspect.LiteralType():
            return ", ".join(f"`{each}`" for each in choices(kind))
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.IntType():
            upto = f" to {kind.le}" if kind.le is not None else " or more"
            return f"number, {kind.ge}{upto}"
        case _:
            return text.value if text else "text"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "**needed**"
    default: Any = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory() if callable(field.default_factory) else None
    default = msgspec.to_builtins(default)
    if default is None or default in ([], {}):
        return ""
    return f"`{msgspec.json.encode(default).decode()}`"


def _meaning(kind: inspect.Type) -> str:
    assert isinstance(kind, inspect.Metadata)
    return str((kind.extra_json_schema or {})["description"]).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
