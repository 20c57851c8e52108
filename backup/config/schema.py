"""The JSON Schema of a configuration, for editors: they complete keys, explain them, and mark what
is wrong while it is written."""

from typing import Any

import msgspec

from backup.config.model import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema."""
    found: dict[str, Any] = _tidied(msgspec.json.schema(Config))
    return {"$schema": _DIALECT, "title": "voltar.toml", **found}


def _tidied(node: Any) -> Any:
    """Return a part of the schema without null, which TOML does not have, and on lines of its own
    what the source breaks into lines."""
    if isinstance(node, list):
        return [_tidied(each) for each in node]
    if not isinstance(node, dict):
        return " ".join(node.split()) if isinstance(node, str) else node
    tidied = {key: _tidied(value) for key, value in node.items() if not _is_null(key, value)}
    kinds = [each for each in tidied.pop("anyOf", []) if each != {"type": "null"}]
    if len(kinds) > 1:
        tidied["anyOf"] = kinds
    return {**kinds[0], **tidied} if len(kinds) == 1 else tidied


def _is_null(key: str, value: Any) -> bool:
    return key == "default" and value is None
