"""A container's configuration as instructions of a Dockerfile, for an image that has none.

`docker import --change` and the engine's API take them, a line each, and expand variables in most:
so what is to stay as it is must be quoted, and what no line can say is told instead. Pure.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

COMPOSE: Final = "com.docker.compose."
_PLAIN_NAME: Final = re.compile(r"""[^\s"'\\$=]+""")
_LINE_ENDS: Final = re.compile(r"[\n\0]")
_CHECKS: Final = (
    ("interval", "Interval", "ns"),
    ("timeout", "Timeout", "ns"),
    ("start-period", "StartPeriod", "ns"),
    ("start-interval", "StartInterval", "ns"),
    ("retries", "Retries", ""),
)
_Part = tuple[str, str | None]
"""What is to be said, and the line that says it, if one can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """`lines` put a configuration back; `unsaid` names what they cannot."""

    lines: tuple[str, ...]
    unsaid: tuple[str, ...]

    @property
    def named(self) -> tuple[str, ...]:
        """What there is, without values, which may be secrets: "ENV PATH, HOME"."""
        found: dict[str, list[str]] = {}
        for line in self.lines:
            word, _, rest = line.partition(" ")
            of = found.setdefault(word, [])
            if word == "ENV":
                of.append(rest.partition("=")[0])
        return tuple(" ".join(filter(None, (word, ", ".join(of)))) for word, of in found.items())


def instructions(config: Mapping[str, Any]) -> Instructions:
    """Say a configuration (that of an inspect) in instructions.

    Labels by which Compose finds its containers are left out: an image that had them would make
    every container of it one of the project.
    """
    parts = [*_tables(config), *_words(config), *_commands(config)]
    unsaid = [what for what, line in parts if line is None]
    if any(name.startswith(COMPOSE) for name in config.get("Labels") or {}):
        unsaid.append("labels of its compose project")
    if config.get("Shell"):
        unsaid.append("SHELL")
    return Instructions(lines=tuple(line for _, line in parts if line), unsaid=tuple(unsaid))


def _tables(config: Mapping[str, Any]) -> Iterator[_Part]:
    for each in config.get("Env") or ():
        name, _, value = each.partition("=")
        said = _quoted(value) if _PLAIN_NAME.fullmatch(name) else None
        yield f"ENV {name}", said and f"ENV {name}={said}"
    for name, value in sorted((config.get("Labels") or {}).items()):
        if not name.startswith(COMPOSE):
            said, key = _quoted(value), _quoted(name)
            sayable = said and key and "=" not in name
            yield f"LABEL {name}", f"LABEL {key}={said}" if sayable else None
    for port in sorted(config.get("ExposedPorts") or {}):
        yield f"EXPOSE {port}", _worded("EXPOSE", port)
    if places := sorted(config.get("Volumes") or {}):
        yield "VOLUME", f"VOLUME {json.dumps([_escaped(place) for place in places])}"


def _words(config: Mapping[str, Any]) -> Iterator[_Part]:
    for word, key in (("USER", "User"), ("WORKDIR", "WorkingDir"), ("STOPSIGNAL", "StopSignal")):
        if value := config.get(key):
            yield word, _worded(word, value)
    for trigger in config.get("OnBuild") or ():
        yield "ONBUILD", f"ONBUILD {trigger}" if _is_line(trigger) else None


def _commands(config: Mapping[str, Any]) -> Iterator[_Part]:
    check = config.get("Healthcheck") or {}
    if check.get("Test"):
        yield "HEALTHCHECK", _healthcheck(check, check["Test"])
    # an ENTRYPOINT forgets the CMD before it
    for word, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")):
        if argv := config.get(key):
            yield word, f"{word} {json.dumps(argv)}"


def _healthcheck(check: Mapping[str, Any], test: Sequence[str]) -> str | None:
    if test[0] == "NONE":
        return "HEALTHCHECK NONE"
    options = "".join(
        f"--{option}={check[key]}{unit} " for option, key, unit in _CHECKS if check.get(key)
    )
    if test[0] == "CMD":
        return f"HEALTHCHECK {options}CMD {json.dumps(list(test[1:]))}"
    # a command in brackets would be taken for a list of words
    sayable = _is_line(test[1]) and not test[1].startswith("[")
    return f"HEALTHCHECK {options}CMD {test[1]}" if sayable else None


def _quoted(text: str) -> str | None:
    if _LINE_ENDS.search(text):
        return None
    escaped = re.sub(r'(["$\\])', r"\\\1", text)
    return f'"{escaped}"'


def _worded(word: str, text: str) -> str | None:
    return f"{word} {_escaped(text)}" if _is_line(text) else None


def _escaped(text: str) -> str:
    return re.sub(r"""(["'$\\])""", r"\\\1", text)


def _is_line(text: str) -> bool:
    """Whether a text is one line and stays so: a backslash at its end would take the next one."""
    return not _LINE_ENDS.search(text) and text == text.strip() and not text.endswith("\\")
