"""What containers and volumes say of themselves: labels `voltar.*`, and whose compose project they
belong to.

    voltar.enable=true                    back this up, in the job for what is labelled
    voltar.job=nightly                    back this up, in these jobs ("nightly, weekly")
    voltar.exclude=true                   leave this out
    voltar.quiesce=stop                   none, pause or stop while it is read
    voltar.grace=2min                     how long it may take to stop
    voltar.dump=postgres                  store what its own program dumps
    voltar.pre=COMMAND, voltar.post=…     in this container, before and after the reading: a line
                                          for /bin/sh, or a list: ["pg_isready", "-q"]
    voltar.pre.user=…                     and .directory, .timeout, .on-error (fail, warn, skip)

An image's labels show at its containers as if somebody had put them there. They do not count: who
makes an image does not decide what is backed up, and what runs for it.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import Enum
from functools import partial
from typing import Any, Final

from backup.config import Hook, OnError, Quiesce, When
from backup.errors import ConfigError
from backup.timing.span import parse_grace, parse_span, parse_timeout

PREFIX: Final = "voltar."
PROJECT: Final = "com.docker.compose.project"
_OF_A_CONTAINER: Final = "com.docker.compose.container-number"
"""Compose puts the project on the images that it builds as well, but never this."""

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1", ""), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_DUMPS: Final = ("postgres", "mariadb", "mysql")
_WHEN: Final = {"pre": When.BEFORE, "post": When.AFTER}
_OURS: Final = ("migration", "drill", "run", "helper")
"""What voltar itself puts on what it makes."""
_OF_VOLUMES: Final = ("enable", "exclude", "job", "quiesce")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a container or volume says; None and empty where it says nothing.

    What could not be understood is in `problems`, what is an image's in `notes`; neither counts.
    """

    enable: bool = False
    exclude: bool = False
    jobs: tuple[str, ...] = ()
    quiesce: Quiesce | None = None
    grace_s: float | None = None
    dump: str | None = None
    hooks: tuple[Hook, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


SILENT: Final = Labels()


def of_container(
    name: str, labels: Mapping[str, str], of_image: Mapping[str, str] | None = None
) -> Labels:
    """Read a container's labels. Its hooks run in the container of that name, and nowhere else."""
    said = _own(labels, of_image)
    found = _Reader(said, known=(*_READERS, *_HOOK_LABELS)).read(name)
    inherited = sorted(_voltars(labels).keys() - said.keys())
    if not inherited:
        return found
    listed = ", ".join(f"{PREFIX}{each}" for each in inherited)
    return replace(found, notes=(f"labels of its image do not count: {listed}",))


def of_volume(labels: Mapping[str, str]) -> Labels:
    """Read a volume's labels; what is about a container's process cannot be said by one."""
    return _Reader(_voltars(labels), known=_OF_VOLUMES).read(None)


def project_of(labels: Mapping[str, str], of_image: Mapping[str, str] | None = None) -> str | None:
    """Return the compose project that a container or volume belongs to, if any."""
    project = labels.get(PROJECT) or None
    inherited = (of_image or {}).get(PROJECT)
    if project is not None and project == inherited and _OF_A_CONTAINER not in labels:
        return None
    return project


def _voltars(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix(PREFIX): value
        for key, value in labels.items()
        if key.startswith(PREFIX) and re.split(r"[.-]", key, maxsplit=2)[1] not in _OURS
    }


def _own(labels: Mapping[str, str], of_image: Mapping[str, str] | None) -> dict[str, str]:
    of_image = of_image or {}
    return _voltars({key: value for key, value in labels.items() if of_image.get(key) != value})


@dataclass(slots=True)
class _Reader:
    """Reads labels one by one, and keeps what is wrong with them."""

    said: dict[str, str]
    known: tuple[str, ...]
    problems: list[str] = field(default_factory=list)

    def read(self, container: str | None) -> Labels:
        for label in sorted(self.said.keys() - set(self.known)):
            self.problems.append(self._unknown(label))
        found = {label: self._value(label) for label in _READERS if label in self.known}
        exclude = found["exclude"] is True or found["enable"] is False
        if exclude and (found["enable"] is True or found["job"]):
            self.problems.append("it is to be backed up and to be excluded; it is not excluded")
            exclude = False
        return Labels(
            enable=found["enable"] is True,
            exclude=exclude,
            jobs=found["job"] or (),
            quiesce=found["quiesce"],
            grace_s=found.get("grace"),
            dump=found.get("dump"),
            hooks=self._hooks(container) if container is not None else (),
            problems=tuple(self.problems),
        )

    def _unknown(self, label: str) -> str:
        if label in (*_READERS, *_HOOK_LABELS):
            return f"{PREFIX}{label} is for containers, not for volumes"
        near = get_close_matches(label, self.known, 1)
        meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        return f"{PREFIX}{label} is not known{meant}"

    def _value(self, label: str) -> Any:
        if label not in self.said:
            return None
        return self._understood(label, _READERS[label])

    def _understood(self, label: str, understand: Callable[[str], Any]) -> Any:
        value = self.said[label].strip()
        try:
            return understand(value)
        except ConfigError as error:
            self.problems.append(f"{PREFIX}{label}: {error}")
            return None

    def _hooks(self, container: str) -> tuple[Hook, ...]:
        hooks = (self._hook(container, prefix, when) for prefix, when in _WHEN.items())
        return tuple(hook for hook in hooks if hook is not None)

    def _hook(self, container: str, prefix: str, when: When) -> Hook | None:
        more = {
            key: self._understood(f"{prefix}.{label}", understand)
            for label, (key, understand) in _HOOK_READERS.items()
            if f"{prefix}.{label}" in self.said
        }
        if prefix not in self.said:
            if more:
                self.problems.append(f"there is {PREFIX}{prefix}.* without {PREFIX}{prefix}")
            return None
        command = self._understood(prefix, _command)
        if command is None or None in more.values():  # not as another user than was meant, say
            return None
        return Hook(when=when, command=command, container=container, **more)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ConfigError(f"expected true or false, got {text!r}")
    return _BOOLEANS[text.lower()]


def _jobs(text: str) -> tuple[str, ...]:
    names = [each.strip() for each in text.split(",")]
    if not all(names):
        raise ConfigError(f"expected the name of a job, got {text!r}")
    return tuple(dict.fromkeys(names))


def _one_of(kind: type[Enum]) -> Callable[[str], Any]:
    def understand(text: str) -> Any:
        return kind(_word(text, [str(each.value) for each in kind]))

    return understand


def _word(text: str, words: list[str]) -> str:
    if text.lower() not in words:
        near = get_close_matches(text.lower(), words, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"expected {', '.join(words[:-1])} or {words[-1]}, got {text!r}{meant}")
    return text.lower()


def _span(text: str, parse: Callable[[str, str], float] = parse_span) -> float:
    """Without the name of what is wrong, which is told by whoever asks."""
    try:
        return parse(text, "")
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix(": ")) from error


def _timeout(text: str) -> str:
    _span(text, parse_timeout)
    return text


def _command(text: str) -> list[str]:
    """Return the words of a command: a JSON list, or a line for the shell."""
    if not text:
        raise ConfigError("expected a command, got nothing")
    if not text.startswith("["):
        return ["/bin/sh", "-c", text]
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:  # somebody else's label must not end a run
        raise ConfigError(f"expected a list of words in JSON, got {text[:80]!r}") from error
    if not words or not all(isinstance(each, str) for each in words) or not words[0]:
        raise ConfigError(f"expected a list of words, got {text!r}")
    if any("\0" in each or not _is_text(each) for each in words):
        raise ConfigError("expected words of text, got what no program can be given")
    return list(words)


def _is_text(text: str) -> bool:
    r"""Tell whether it is text: JSON can say half of a character, as "\ud800"."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _filled(text: str) -> str:
    if not text:
        raise ConfigError("expected a value, got nothing")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ConfigError(f"expected an absolute path in the container, got {text!r}")
    return text


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "enable": _boolean,
    "exclude": _boolean,
    "job": _jobs,
    "quiesce": _one_of(Quiesce),
    "grace": partial(_span, parse=parse_grace),
    "dump": lambda text: _word(text, list(_DUMPS)),
}
_HOOK_READERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "user": ("user", _filled),
    "directory": ("directory", _absolute),
    "timeout": ("timeout", _timeout),
    "on-error": ("on_error", _one_of(OnError)),
}
_HOOK_LABELS: Final = tuple(
    label for prefix in _WHEN for label in (prefix, *(f"{prefix}.{each}" for each in _HOOK_READERS))
)
