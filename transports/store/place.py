"""The parts of a URL of the form SCHEME://CONTAINER[/PREFIX][?NAME=VALUE&…]."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from transports.errors import Refused

_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_SHOWN: Final = ("endpoint", "account")
"""Parameters that tell one store from another of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket and a prefix in it; the prefix begins and ends without a slash."""

    scheme: str
    container: str
    prefix: str
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The URL for messages."""
        prefix = f"/{self.prefix}" if self.prefix else ""
        query = "&".join(f"{name}={self.query[name]}" for name in _SHOWN if name in self.query)
        return f"{self.scheme}://{self.container}{prefix}{'?' if query else ''}{query}"

    def options(self, known: Sequence[str]) -> Mapping[str, str]:
        """Return the parameters, all of which must be known. Raises Refused."""
        for name, value in self.query.items():
            if name not in known:
                raise Refused(
                    f"{self.scheme}: has no parameter {name!r}",
                    hint=f"it has {', '.join(known)}; secrets come from the environment or a file",
                )
            if not value:
                raise Refused(f"{self.scheme}: the parameter {name!r} has no value")
        return self.query


def parse_place(scheme: str, rest: str) -> Place:
    """Return the parts of what stands behind "SCHEME:". Raises Refused, and shows no secret."""
    example = f"{scheme}://BUCKET/prefix"
    if not rest.startswith("//"):
        raise Refused(f"{scheme}: expected {example}", hint=f"write {example}")
    path, _, query = rest[2:].partition("?")
    container, _, prefix = path.partition("/")
    if "@" in container:
        raise Refused(
            f"the {scheme}: URL holds a user or a password, which others can see on the command"
            " line",
            hint="put secrets into the environment or a file that only you can read",
        )
    if not container:
        raise Refused(f"{scheme}: no bucket is named", hint=f"write {example}")
    if not _CONTAINER.fullmatch(container):
        raise Refused(f"{scheme}: {container!r} cannot be the name of a bucket")
    return Place(
        scheme=scheme, container=container, prefix=_clean(unquote(prefix)), query=_pairs(query)
    )


def _clean(prefix: str) -> str:
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts) or not prefix.isprintable():
        raise Refused(f"the prefix {prefix!r} cannot be kept as it is on every store")
    return "/".join(parts)


def _pairs(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Refused(f"the parameter {twice!r} is there twice")
    return dict(pairs)
