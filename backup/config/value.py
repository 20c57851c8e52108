"""What texts of a configuration must be like: one check for each kind of text."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from backup.config.mistake import listed, nearest
from backup.config.text import Text
from backup.errors import BackupError, ConfigError, UsageError
from backup.exclusion import compiled
from backup.quantity import parse_rate, parse_size
from backup.retention import parse_duration
from backup.timing.sentence import parse_sentence
from backup.timing.span import parse_span
from transports.errors import TransportError
from transports.ssh.address import parse_address
from transports.store.place import parse_place

_ENGINES: Final = ("unix", "tcp", "http", "https", "ssh")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):(.*)|([A-Za-z][A-Za-z0-9+.-]+):(//.*)", re.DOTALL)
"""In capitals only what can be nothing else, as a store's location is understood."""
_OBJECT: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_EXEMPT: Final = ("volume", "container", "project", "path")
_ITS: Final = "its"


def complaint(text: Text, value: str) -> tuple[str, str | None] | None:
    """Return what is wrong with a text of some kind, and what to do; None where it is right."""
    try:
        _CHECKS[text](value)
    except (BackupError, TransportError) as error:
        return str(error).removeprefix(f"{_ITS}: "), error.hint
    return None


def parted(location: str) -> tuple[str | None, str]:
    """Return the scheme of a repository's location, None for a directory, and the rest."""
    found = _SCHEME.fullmatch(location)
    if found is None:
        return None, location
    return (found[1] or found[3]).lower(), found[2] if found[1] else found[4]


def _some(value: str) -> None:
    if not value.strip():
        raise ConfigError("expected a text, got ''")


def _span(value: str) -> None:
    parse_span(value, _ITS)


def _age(value: str) -> None:
    if not parse_duration(value, _ITS):
        raise ConfigError(f"expected a span of some length, got {value!r}")


def _size(value: str) -> None:
    parse_size(value, _ITS)


def _rate(value: str) -> None:
    parse_rate(value, _ITS)


def _sentence(value: str) -> None:
    parse_sentence(value)


def _zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (
        ValueError,
        OSError,
    ):  # a directory of zones is an OSError, all else a kind of the other
        known = False
    except KeyError:
        known = False
    else:
        known = True
    if not known:
        raise ConfigError(
            f"expected a time zone, got {value!r}",
            hint=_like_zone(value, available_timezones()),
        )


def _like_zone(value: str, known: set[str]) -> str:
    if not known:
        return "this machine knows no time zones at all: install tzdata"
    return nearest(value, known) or "write Europe/Berlin or UTC"


def _textfile(value: str) -> None:
    if not value.endswith(".prom"):
        raise ConfigError(
            f"expected the name of a file that ends with .prom, got {value!r}",
            hint="node exporter reads no other files",
        )


def _location(value: str) -> None:
    _some(value)
    scheme, rest = parted(value)
    if scheme is None:
        return
    if scheme not in _STORES:
        raise ConfigError(
            f"no repository can be at {scheme}:", hint=f"use a directory, or {listed(_STORES)}:"
        )
    _STORES[scheme](rest)


def _file(rest: str) -> None:
    if rest.startswith("//") and _netloc(rest) not in ("", "localhost"):
        raise ConfigError("file: is this machine, and names no other", hint="write file:/directory")


def _sftp(rest: str) -> None:
    parse_address(f"ssh:{'//' if rest.startswith('//') else ''}{_netloc(rest)}")
    if not re.match("//[^/]+/.", rest):
        raise ConfigError(
            "expected sftp://host/directory", hint="/~/directory is one below the home there"
        )


def _bucket(scheme: str, rest: str) -> None:
    if "@" in _netloc(rest):
        raise ConfigError(
            "the URL has a user or a password in it",
            hint="put secrets into the environment, or a file that only you can read",
        )
    parse_place(scheme, rest)


def _rclone(rest: str) -> None:
    if not re.fullmatch(r"[^:,/]+:.*", rest):
        raise ConfigError("expected rclone:REMOTE:path")


_STORES: Final[dict[str, Callable[[str], None]]] = {
    "file": _file,
    "sftp": _sftp,
    **{scheme: partial(_bucket, scheme) for scheme in ("s3", "gs", "az")},
    "rclone": _rclone,
}


def _netloc(rest: str) -> str:
    return rest.removeprefix("//").partition("/")[0]


def _engine(value: str) -> None:
    scheme, colon, rest = value.partition("://")
    expected = "expected unix:///path, tcp://host:port or ssh://user@host"
    if not colon or scheme.lower() not in _ENGINES or not rest:
        raise ConfigError(f"{expected}, got {'a URL of ' + scheme if colon else 'none of them'}")
    if scheme == "ssh":
        parse_address(f"ssh://{_netloc(rest)}")
        return
    if scheme != "unix" and (
        not _port_is_right(value) or not urlsplit(value).hostname or "@" in rest
    ):
        raise ConfigError(expected)


def _port_is_right(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _ping(value: str) -> None:
    if not re.match(r"https?://[^/\s]", value) or not _port_is_right(value):
        raise ConfigError("expected a URL that begins with https://")


def _telling(value: str) -> None:
    if not re.match(r"[A-Za-z][A-Za-z0-9_+.-]*://.", value):
        raise ConfigError(
            "expected a URL of apprise", hint="for example mailto://, ntfy:// or slack://"
        )


def _listen(value: str) -> None:
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    if (
        not colon
        or not re.fullmatch("[0-9]{1,5}", port)
        or not 0 < int(port) < 65536
        or bracketed != (":" in bare)
    ):
        raise ConfigError(
            f"expected an address and a port, got {value!r}",
            hint="write 127.0.0.1:9187, [::1]:9187, or :9187 for all addresses",
        )


def _name(value: str) -> None:
    if not _NAME.fullmatch(value):
        hint = "it becomes a part of names of files and units"
        if ":" in value or "/" in value:
            hint = "a host has a name by [hosts.NAME], a repository by [repositories.NAME]"
        raise ConfigError(f"expected a name of letters, digits, - and _, got {value!r}", hint=hint)


def _object(value: str) -> None:
    if _OBJECT.fullmatch(value):
        return
    hint = "patterns = […] is for names with * and ?" if re.search(r"[*?\[]", value) else None
    kind, colon, _ = value.partition(":")
    if colon and kind in _EXEMPT:
        hint = f"leave out {kind}:, the key says it"
    raise ConfigError(f"expected a name, got {value!r}", hint=hint)


def _label(value: str) -> None:
    if not value.partition("=")[0].strip():
        raise ConfigError(f"expected key or key=value, got {value!r}")


def _exemption(value: str) -> None:
    _some(value)
    kind, colon, name = value.partition(":")
    if not colon:
        return
    if kind not in _EXEMPT:
        raise ConfigError(
            f"expected {listed([f'{each}:' for each in _EXEMPT])} or a pattern, got {value!r}",
            hint=nearest(kind, _EXEMPT),
        )
    if kind == "path" and not name.startswith("/"):
        raise ConfigError(f"expected path:/dir with an absolute path, got {value!r}")
    if kind != "path":
        _some(name)


def _files(value: str) -> None:
    _some(value)
    compiled([value])


def _tag(value: str) -> None:
    _some(value)
    if "," in value:
        raise UsageError(f"expected one tag, got {value!r}", hint="a tag has no comma")


def _tags(value: str) -> None:
    for tag in value.split(","):
        _some(tag)


_CHECKS: Final[dict[Text, Callable[[str], None]]] = {
    Text.SPAN: _span,
    Text.AGE: _age,
    Text.SIZE: _size,
    Text.RATE: _rate,
    Text.SENTENCE: _sentence,
    Text.ZONE: _zone,
    Text.PATH: _some,
    Text.TEXTFILE: _textfile,
    Text.LOCATION: _location,
    Text.ENGINE: _engine,
    Text.PING: _ping,
    Text.TELLING: _telling,
    Text.LISTEN: _listen,
    Text.NAME: _name,
    Text.OBJECT: _object,
    Text.LABEL: _label,
    Text.EXEMPTION: _exemption,
    Text.FILES: _files,
    Text.TAG: _tag,
    Text.TAGS: _tags,
    Text.WORD: _some,
}
