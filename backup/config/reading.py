"""From a file to a configuration, strictly: all that is wrong is told at once.

Paths in a file are relative to its directory, and "~" is the home of whoever runs voltar: a
configuration that is returned has absolute ones.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backup.config import meaning, shape
from backup.config.lines import key_lines
from backup.config.mistake import Key, Mistake, in_order
from backup.config.model import Config, Host, Job, Metrics, Notify, Repository
from backup.config.places import settled
from backup.errors import ConfigError

_T = TypeVar("_T")
_LARGEST: Final = 1 << 20
_AT: Final = re.compile(r"(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a file came to: a configuration, or what is wrong with it.

    `doubts` are no mistakes, and `exposed` is who else can read or write what they should not.
    """

    file: Path
    config: Config | None
    mistakes: Sequence[Mistake] = ()
    doubts: Sequence[Mistake] = ()
    exposed: Sequence[Mistake] = ()
    lines: Mapping[Key, int] = field(default_factory=dict, repr=False)

    def demand(self) -> Config:
        """Return the configuration. Raises ConfigError, with a note for each mistake of several."""
        if self.config is not None:
            return self.config
        first, *others = self.mistakes
        if not others:
            raise ConfigError(self.told(first), hint=first.hint)
        error = ConfigError(f"{self.file} has {len(self.mistakes)} mistakes")
        for each in self.mistakes:
            error.add_note(self.advice(each))
        raise error

    def advice(self, mistake: Mistake) -> str:
        """Return a mistake with its place, and what to do about it."""
        return self.told(mistake) + (f" ({mistake.hint})" if mistake.hint else "")

    def told(self, mistake: Mistake) -> str:
        """Return a mistake with its place, in the form that editors can jump to."""
        at = f"{self.file}:{mistake.line}" if mistake.line else str(self.file)
        return f"{at}: {mistake.told}"


def examine(path: Path) -> Examined:
    """Read a file, and return all that is to be said about it. Raises ConfigError for one that
    cannot be read."""
    data, status = _content(path)
    found = examine_text(data, path)
    return replace(found, exposed=_placed(list(_exposed(found, status)), found.lines))


def _content(path: Path) -> tuple[bytes, os.stat_result]:
    """Return what is in a file. A shell's `<(command)` may be one; a FIFO in a directory would be
    waited for without an end."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode) and not str(path).startswith(("/dev/", "/proc/")):
            raise ConfigError(f"cannot read the configuration {path}: it is a FIFO and no file")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
            status = os.fstat(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ConfigError(
            f"cannot read the configuration {path}: it has more than {_LARGEST >> 20} MiB",
            hint="is it another file?",
        )
    return data, status


def examine_text(data: bytes, path: Path) -> Examined:
    """Return what is to be said about the content of a file."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        document = tomllib.loads(text)
        lines = key_lines(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Examined(
            file=path, config=None, mistakes=[Mistake((), "this is no UTF-8", line=line)]
        )
    except tomllib.TOMLDecodeError as error:
        return Examined(file=path, config=None, mistakes=[_unparsed(str(error), text)])
    except RecursionError:
        said = Mistake((), "there are too many brackets in brackets")
        return Examined(file=path, config=None, mistakes=[said])
    except ValueError as error:  # of Python's own: a number of thousands of digits
        said = Mistake((), f"this is no TOML: {_small(str(error).partition(';')[0])}")
        return Examined(file=path, config=None, mistakes=[said])
    wrong = list(shape.mistakes(document))
    wrong += _senseless(document, wrong)
    doubts: list[Mistake] = []
    config: Config | None = None
    if not wrong:
        config = msgspec.convert(document, Config)
        doubts = list(meaning.doubts(config))
        config, wrong = settled(config, path.absolute().parent)
    return Examined(
        file=path,
        config=None if wrong else config,
        mistakes=_placed(wrong, lines),
        doubts=_placed(doubts, lines),
        lines=lines,
    )


def _senseless(document: Mapping[str, Any], wrong: Sequence[Mistake]) -> Iterator[Mistake]:
    """Yield what makes no sense among the tables that are right as such."""
    names = meaning.Names(
        meaning.known_names(document, "hosts"), meaning.known_names(document, "repositories")
    )
    broken = {each.key[:depth] for each in wrong for depth in (1, 2)}
    for name, job in _tables(document, "jobs", Job, broken).items():
        yield from meaning.job_mistakes(name, job, names)
    yield from meaning.hosts_mistakes(_tables(document, "hosts", Host, broken))
    yield from meaning.repositories_mistakes(_tables(document, "repositories", Repository, broken))
    if "notify" in document and ("notify",) not in broken:
        yield from meaning.notify_mistakes(msgspec.convert(document["notify"], Notify))
    if "metrics" in document and ("metrics",) not in broken:
        yield from meaning.metrics_mistakes(msgspec.convert(document["metrics"], Metrics))


def _tables(
    document: Mapping[str, Any], table: str, kind: type[_T], broken: set[Key]
) -> dict[str, _T]:
    found = document.get(table, {})
    if not isinstance(found, dict):
        return {}
    return {
        name: msgspec.convert(one, kind)
        for name, one in found.items()
        if (table, name) not in broken
    }


def _placed(wrong: Sequence[Mistake], lines: Mapping[Key, int]) -> list[Mistake]:
    return in_order([replace(each, line=_line(each.key, lines)) for each in wrong])


def _line(key: Key, lines: Mapping[Key, int]) -> int | None:
    """Return the line of a key, or of the nearest table around it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key)


def _unparsed(said: str, text: str) -> Mistake:
    found = _AT.fullmatch(said)
    if found is None:
        what = said.removesuffix(" (at end of document)")
        return Mistake((), f"this is no TOML: {_small(what)}", line=text.count("\n") + 1)
    what = f"{_small(found['what'])}, at column {found['column']}"
    return Mistake((), f"this is no TOML: {what}", line=int(found["line"]))


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _exposed(found: Examined, status: os.stat_result) -> Iterator[Mistake]:
    """Yield who can read secrets, and who can write what runs as somebody else."""
    config, mode = found.config, stat.S_IMODE(status.st_mode)
    if mode & 0o022:
        said = f"others may write it (mode {mode:o}), and it says what is run"
        yield Mistake((), said, f"chmod go-w {found.file}")
    if mode & 0o044 and config is not None and _has_secrets(config):
        said = f"others may read it (mode {mode:o}), and it has secrets in it: urls or ping"
        yield Mistake((), said, f"chmod 600 {found.file}")
    notify = config.notify if config is not None else None
    if notify is not None and notify.urls_file is not None:
        yield from _exposed_file(("notify", "urls-file"), Path(notify.urls_file))
    for name, one in config.repositories.items() if config is not None else ():
        if one.password_file is not None:
            key = ("repositories", name, "password-file")
            yield from _exposed_file(key, Path(one.password_file))


def _has_secrets(config: Config) -> bool:
    notify = config.notify or Notify()
    pings = [notify.ping, *(job.ping for job in config.jobs.values())]
    for one in config.repositories.values():
        pings += [one.check_ping, one.prune_ping]
    return bool(notify.urls) or any(pings)


def _exposed_file(key: Key, file: Path) -> Iterator[Mistake]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        yield Mistake(key, f"cannot read {file}: {error.strerror}")
        return
    if mode & 0o077:
        said = f"others may read or write {file} (mode {mode:o})"
        yield Mistake(key, said, f"chmod 600 {file}")
