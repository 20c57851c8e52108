"""ssh_config, read as OpenSSH reads it: which value has each keyword for a host.

Files are a sequence of lines; `Host` and `Match` lines say for whom those that follow count, and of
each keyword the first value that counts is taken (of some, all). `Include` is read in place, and
what is included into a part that does not count does not count either.

What a keyword means is in `settings`. A line that OpenSSH would refuse is refused here.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Final

from transports.errors import Refused
from transports.ssh.configwords import BadWords, keyword_of, split_words
from transports.ssh.keywords import KNOWN, RAW, RENAMED, REPEATED
from transports.ssh.pattern import matches, matches_list

_DEPTH: Final = 16
_SPACE: Final = " \t\r\n\f"
_OTHER_WAY: Final = {"proxyjump": "proxycommand", "proxycommand": "proxyjump"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where configuration is: read in this order, of which the first value counts."""

    user: Path | None
    system: Path | None
    checked: bool  # whether only we may be able to write the user's file
    home: Path


@dataclass(frozen=True, slots=True)
class Local:
    """Who asks, on this side; `expand` and `execute` serve `Match exec`."""

    user: str
    expand: Callable[[str, "Found"], str]
    execute: Callable[[str], bool]


@dataclass(slots=True)
class Found:
    """What has been found so far for one host, as it was asked for."""

    original: str
    host: str
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    final: bool = False
    wants_final: bool = False

    def hostname(self) -> str:
        """Return the name to connect to, as far as it is known."""
        if self.final or "hostname" not in self.values:
            return self.host
        return self.values["hostname"][0].replace("%h", self.host).replace("%%", "%")

    def first(self, keyword: str) -> str | None:
        """Return the value of a keyword that has one."""
        return self.values.get(keyword, (None,))[0]


def read_config(host: str, given: Mapping[str, str], place: Place, local: Local) -> Found:
    """Return what the files say about `host`; `given` goes before them. Raises Refused."""
    found = Found(host, host, {keyword: (value,) for keyword, value in given.items()})
    _read_files(found, place, local)
    if found.wants_final:
        found.host = found.hostname().lower()
        found.values["hostname"] = (found.host,)
        found.final = True
        _read_files(found, place, local)
    return found


def _read_files(found: Found, place: Place, local: Local) -> None:
    if place.user is not None:
        _Reader(found, local, place.home / ".ssh", place.home).read(
            place.user, checked=place.checked
        )
    if place.system is not None:
        _Reader(found, local, place.system.parent, None).read(place.system, checked=False)


class _Reader:
    """Reads one file and those that it includes; `home` is None for the system's."""

    def __init__(self, found: Found, local: Local, anchor: Path, home: Path | None) -> None:
        self._found = found
        self._local = local
        self._anchor = anchor
        self._home = home
        self._ignored: list[str] = []

    def read(self, path: Path, *, checked: bool, depth: int = 0, never: bool = False) -> None:
        """Read a file; with `never`, its lines are looked at and none counts."""
        if depth > _DEPTH:
            raise Refused(f"{path}: too many Include lines within each other")
        active = not never
        for where, line in _lines(path, checked=checked):
            keyword, rest = keyword_of(line)
            if keyword == "host":
                active = not never and _host_matches(_words(rest, where), self._found, where)
            elif keyword == "match":
                active = self._match(rest, where) and not never
            elif keyword == "include":
                for included in self._included(_words(rest, where), where):
                    self.read(included, checked=True, depth=depth + 1, never=not active)
            else:
                self._set(keyword, rest, where, active=active)

    def _set(self, keyword: str, rest: str, where: str, *, active: bool) -> None:
        if keyword not in KNOWN:
            if matches_list(keyword, ",".join(self._ignored), lower=True):
                return
            raise Refused(
                f"{where}: unknown keyword {keyword!r} of ssh_config",
                hint="IgnoreUnknown in the file passes over it; --ssh-binary leaves it to OpenSSH",
            )
        words = [rest] if keyword in RAW else _words(rest, where)
        if not words or not words[0]:
            raise Refused(f"{where}: {keyword} has no value")
        if keyword == "ignoreunknown":
            self._ignored += words[0].split(",")
        if active:
            _keep(self._found, RENAMED.get(keyword, keyword), words, where)

    def _included(self, words: list[str], where: str) -> Iterator[Path]:
        for word in words:
            if word.startswith("~"):
                if self._home is None:
                    raise Refused(f"{where}: Include of {word!r} in the system's file")
                pattern = str(self._home) + word[1:] if word[1:2] in ("", "/") else word
            else:
                pattern = word if word.startswith("/") else f"{self._anchor}/{word}"
            # pathlib's own glob takes no absolute pattern
            for path in sorted(glob(str(expand_user(pattern)))):  # noqa: PTH207
                yield Path(path)

    def _match(self, rest: str, where: str) -> bool:
        words = iter(_words(rest, where))
        result = True
        count = 0
        for word in words:
            negated, criterion = word.startswith("!"), word.lstrip("!").lower()
            count += 1
            if criterion == "all":
                if count > 2 or next(words, None) is not None:
                    raise Refused(f"{where}: `Match all` stands alone")
                return result and not negated
            if criterion in ("canonical", "final"):
                self._found.wants_final |= criterion == "final"
                met = self._found.final
            else:
                argument = next(words, None)
                if argument is None:
                    raise Refused(f"{where}: Match {criterion} has no argument")
                met = self._meets(criterion, argument, where, wanted=result)
            result = result and met != negated
        if not count:
            raise Refused(f"{where}: Match says nothing")
        return result

    def _meets(self, criterion: str, argument: str, where: str, *, wanted: bool) -> bool:
        found = self._found
        if criterion == "exec":
            return wanted and self._local.execute(self._local.expand(argument, found))
        subjects = {
            "host": found.hostname(),
            "originalhost": found.original,
            "user": found.first("user") or self._local.user,
            "localuser": self._local.user,
        }
        if criterion not in subjects:
            raise Refused(
                f"{where}: Match {criterion} is not known here",
                hint="--ssh-binary leaves it to OpenSSH",
            )
        return matches_list(subjects[criterion], argument, lower="host" in criterion)


def _host_matches(patterns: list[str], found: Found, where: str) -> bool:
    result = False
    for pattern in patterns:
        if not pattern:
            raise Refused(f"{where}: Host has an empty pattern")
        if matches(found.host, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            result = True
    return result


def _keep(found: Found, keyword: str, words: list[str], where: str) -> None:
    if keyword in REPEATED:
        values = found.lists.setdefault(keyword, [])
        if words[0] not in values:
            values.append(words[0])
    elif keyword not in found.values and _OTHER_WAY.get(keyword) not in found.values:
        found.values[keyword] = tuple(words)
        found.sources[keyword] = where


def expand_user(path: str) -> Path:
    """Return a path with the home of "~name" in place. Raises Refused for a user that is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise Refused(f"ssh_config: there is no user for {path!r}") from error


def _words(text: str, where: str) -> list[str]:
    try:
        return split_words(text)
    except BadWords as error:
        raise Refused(f"{where}: {error}") from error


def _lines(path: Path, *, checked: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines that say something, and where each is."""
    try:
        if checked:
            _check_owner(path)
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(_SPACE)
        if stripped and not stripped.startswith("#"):
            yield f"{path}, line {number}", stripped


def _check_owner(path: Path) -> None:
    """Refuse a file that others may write: it can name programs to run."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise Refused(
            f"{path} can be written by others, who could make voltar run their programs",
            hint=f"chmod go-w {path}, and look who owns it",
        )
