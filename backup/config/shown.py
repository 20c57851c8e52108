"""A configuration as it counts, defaults and all, for people to read: without secrets."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from backup.config.mistake import Key, quoted, spelled
from backup.config.model import Config

HIDDEN: Final = "(hidden)"
_PASSWORD: Final = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")


def effective(config: Config) -> dict[str, Any]:
    """Return what counts, by key, with each job's repository named. Secrets are hidden."""
    found: dict[str, Any] = _hidden(msgspec.to_builtins(config))
    only = next(iter(config.repositories)) if len(config.repositories) == 1 else None
    for job in found["jobs"].values():
        job["repository"] = job["repository"] or only
        job["ping"] = _scheme(job["ping"])
    for one in found["repositories"].values():
        command = one["password-command"]
        one["password-command"] = command and [command[0], *[HIDDEN] * bool(command[1:])]
        for key in ("check-ping", "prune-ping"):
            one[key] = _scheme(one[key])
    notify = found["notify"]
    if notify:
        notify["urls"] = [_scheme(each) for each in notify["urls"]]
        notify["ping"] = _scheme(notify["ping"])
    return found


def _scheme(url: str | None) -> str | None:
    """Return what may be seen of a URL that is a secret as a whole."""
    return url and f"{url.partition('://')[0]}://{HIDDEN}"


def written(table: Mapping[str, Any]) -> str:
    """Return tables as TOML. What is None is left out, for TOML cannot say it."""
    return "\n".join(_lines(table, (), "")).strip("\n")


def _lines(table: Mapping[str, Any], key: Key, header: str) -> Iterator[str]:
    plain = {name: one for name, one in table.items() if not _is_table(one) and one is not None}
    if header and (plain or not any(map(_is_table, table.values()))):
        yield ""
        yield header
    for name, value in plain.items():
        yield f"{spelled((name,))} = {_value(value)}"
    for name, inner in table.items():
        here = (*key, name)
        if isinstance(inner, Mapping):
            yield from _lines(inner, here, f"[{spelled(here)}]")
        elif _is_table(inner):
            for each in inner:
                yield from _lines(each, here, f"[[{spelled(here)}]]")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", value) if isinstance(value, str) else value
